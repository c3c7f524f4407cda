// How much of a running fill stays in memory, and who is let go when it is too much.
import type { FillReader } from '../deliver/reader.ts';
import { FillWindow } from './window.ts';

/** Bytes of one fill that stay in memory, so that who comes late gets everything from the start. */
export const WINDOW_BYTES = 16 * 1024 * 1024;
/** The same for all fills together; above it each keeps only what its readers have not read. */
const ALL_WINDOWS_BYTES = 192 * 1024 * 1024;
/** What each fill has whatever the others hold, so that only its own readers can make it wait. */
export const OWN_WINDOW_BYTES = 1024 * 1024;

/** A fill's window and those who read from it. */
export class Room {
  window = new FillWindow();
  readonly readers = new Set<FillReader>();
  /** Bytes in the windows of all fills. */
  readonly #windows: { bytes: number };
  #counted = 0;

  constructor(windows: { bytes: number }) {
    this.#windows = windows;
  }

  /** Takes bytes from this offset on; before any have come. */
  restart(start: number): void {
    this.window = new FillWindow(start);
  }

  isRoomy(): boolean {
    const { sizeBytes } = this.window;
    return sizeBytes < OWN_WINDOW_BYTES || (sizeBytes < WINDOW_BYTES && this.#windows.bytes < ALL_WINDOWS_BYTES);
  }

  /** Lets go of what everybody has read; `forced`, when that is not enough, also of the slowest readers. */
  make(forced: boolean): void {
    this.#trim();
    if (this.isRoomy() || !forced) return;
    let fastest = 0;
    for (const { offset } of this.readers) fastest = Math.max(fastest, offset);
    // The fastest reader paces the origin; once it has everything, who holds the window back must let go.
    if (fastest < this.window.end || this.readers.size < 2) return;
    const middle = this.window.start + (this.window.sizeBytes >> 1);
    for (const reader of [...this.readers]) {
      if (reader.offset >= middle) continue;
      this.readers.delete(reader);
      reader.listener.onBehind(reader);
    }
    this.#trim();
  }

  #trim(): void {
    let slowest = this.window.end;
    for (const { offset } of this.readers) slowest = Math.min(slowest, offset);
    this.window.trim(slowest);
    this.account();
  }

  /** Counts the window among all windows. */
  account(): void {
    this.#windows.bytes += this.window.sizeBytes - this.#counted;
    this.#counted = this.window.sizeBytes;
  }

  /** Nobody reads any more. */
  release(): void {
    this.window.trim(this.window.end);
    this.account();
  }
}
