// One body on its way to a file: blocks are queued without waiting and written one after the other.
import type { FileHandle } from 'node:fs/promises';
import type { Disk } from './disk.ts';

/** Bytes waiting for the disk, shared by the bodies of one directory. */
export type Backlog = { bytes: number };

/** Writes one body file. Nothing here throws but drained() and sync(), which reject with what the file system says. */
export class BodyFile {
  readonly id: number;
  readonly #disk: Disk;
  readonly #backlog: Backlog;
  readonly #queue: Buffer[] = [];
  #pendingBytes = 0;
  #offset = 0;
  #pump: Promise<void> | undefined;
  #file: FileHandle | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(disk: Disk, id: number, backlog: Backlog) {
    this.#disk = disk;
    this.id = id;
    this.#backlog = backlog;
  }

  /** Bytes queued and not yet written. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** What went wrong so far. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  /** Queues bytes; they must not change until they are written. */
  push(bytes: Buffer): void {
    if (this.#failure !== undefined) return;
    this.#queue.push(bytes);
    this.#pendingBytes += bytes.length;
    this.#backlog.bytes += bytes.length;
    this.#pump ??= this.#run();
  }

  async #run(): Promise<void> {
    try {
      this.#file ??= await this.#disk.create(this.id);
      for (let bytes = this.#queue.shift(); bytes !== undefined; bytes = this.#queue.shift()) {
        await this.#writeAll(this.#file, bytes);
        if (this.#failure === undefined) this.#settle(bytes.length); // Given up meanwhile: settled then, all at once.
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#pump = undefined;
    }
  }

  /** A write may be short (signals, quotas): loops until everything is written. */
  async #writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await file.write(bytes, written, bytes.length - written, this.#offset);
      written += bytesWritten;
      this.#offset += bytesWritten;
    }
  }

  #settle(bytes: number): void {
    this.#pendingBytes -= bytes;
    this.#backlog.bytes -= bytes;
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#queue.length = 0;
    this.#settle(this.#pendingBytes);
  }

  /** Resolves when everything that was pushed can be read from the file. */
  async drained(): Promise<void> {
    await this.#pump;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** After drained(): syncs, unless `isSynced` is false, and closes. */
  async sync(isSynced: boolean): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    try {
      if (isSynced) await file?.datasync();
    } finally {
      await file?.close();
    }
  }

  /** Stops and removes the file; nothing is reported, for the body is given up already. */
  async discard(): Promise<void> {
    this.#fail(undefined);
    await this.#pump;
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => undefined); // Given up: a late write error changes nothing.
    await this.#disk.remove(this.id).catch(() => undefined); // The next start's sweep finds it.
  }
}
