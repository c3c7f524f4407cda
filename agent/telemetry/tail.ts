// Follows a log file while another program writes and rotates it: by renaming and creating it anew, or by copying and
// truncating it. Lines come whole, in order and once; what is written between two looks and truncated at once is lost.
import { type FileHandle, open, stat } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as wait } from 'node:timers/promises';
import type { Log } from '../../cache/cache.ts';

/** What openTail() needs. */
export type TailOptions = {
  readonly file: string;
  /** Lines without their ends, at most as many as CHUNK_BYTES hold; the next ones are read when this resolves. */
  readonly onLines: (lines: readonly string[]) => void | Promise<void>;
  /** From the file's beginning; default: from its end on. */
  readonly fromStart?: boolean;
  /** How often the file is looked at; default 1,000. */
  readonly pollMs?: number;
  readonly log: Log;
};

/** Counts since start. */
export type TailStats = {
  readonly lines: number;
  /** Lines over MAX_LINE characters, which are skipped. */
  readonly tooLong: number;
  /** Files that took the place of the one before, and truncations. */
  readonly rotations: number;
};

/** A tail. */
export type Tail = {
  /** Reads what there is to read by now. */
  readonly poll: () => Promise<void>;
  readonly stats: () => TailStats;
  readonly close: () => Promise<void>;
};

const CHUNK_BYTES = 256 * 1024;
/** A longer line is no line of a log. */
const MAX_LINE = 65_536;
/** The first bytes of a file tell whether it was truncated and has grown past the old place since. */
const HEAD_BYTES = 256;
const POLL_MS = 1_000;

/** Cuts text into lines; the rest waits for its end. */
class Cutter {
  #decoder = new StringDecoder('utf8');
  #rest = '';
  #isSkipping = false;
  tooLong = 0;

  cut(bytes: Buffer): readonly string[] {
    const lines = (this.#rest + this.#decoder.write(bytes)).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#isSkipping && lines.length > 0) {
      lines.shift();
      this.#isSkipping = false;
    }
    if (this.#rest.length > MAX_LINE) {
      this.tooLong += this.#isSkipping ? 0 : 1;
      this.#isSkipping = true;
      this.#rest = '';
    }
    const whole = lines.filter((line) => line.length <= MAX_LINE);
    this.tooLong += lines.length - whole.length;
    return whole.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line)).filter((line) => line !== '');
  }

  /** Another file begins; the last line of a renamed one counts without its end, a truncated one's is lost. */
  end(): readonly string[] {
    const last = this.#isSkipping ? '' : this.#rest;
    this.#decoder = new StringDecoder('utf8');
    this.#rest = '';
    this.#isSkipping = false;
    return last === '' ? [] : [last];
  }
}

/** The file that is read, which may have another name by now. */
type Source = { readonly handle: FileHandle; readonly inode: number; place: number; head: Buffer };

async function openSource(file: string, atEnd: boolean): Promise<Source | undefined> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const { ino, size } = await handle.stat();
    const head = await readHead(handle, Math.min(size, HEAD_BYTES));
    return { handle, inode: ino, place: atEnd ? size : 0, head };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readHead(handle: FileHandle, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
  return buffer.subarray(0, bytesRead);
}

/** What was written since the last look, in pieces. */
async function* newBytes(source: Source): AsyncGenerator<Buffer> {
  const buffer = Buffer.alloc(CHUNK_BYTES);
  for (;;) {
    const { bytesRead } = await source.handle.read(buffer, 0, CHUNK_BYTES, source.place);
    if (bytesRead === 0) break;
    source.place += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
  if (source.head.length < HEAD_BYTES) {
    source.head = await readHead(source.handle, Math.min(source.place, HEAD_BYTES));
  }
}

async function isTruncated({ handle, place, head }: Source): Promise<boolean> {
  const { size } = await handle.stat();
  return size < place || !(await readHead(handle, head.length)).equals(head);
}

/** A file that cannot be looked at is as good as absent: it may come. */
async function inodeOf(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined);
  return found?.ino;
}

/** Follows a file, which need not be there yet. Never rejects: what cannot be read is told to the log once. */
export function openTail(options: TailOptions): Tail {
  const { file, onLines, log } = options;
  const closing = new AbortController();
  const cutter = new Cutter();
  const counts = { lines: 0, rotations: 0 };
  let source: Source | undefined;
  let isFirst = true;
  let isTold = false;

  const give = async (lines: readonly string[]): Promise<void> => {
    if (lines.length === 0) return;
    counts.lines += lines.length;
    await onLines(lines);
  };
  const readOn = async (from: Source): Promise<void> => {
    for await (const bytes of newBytes(from)) {
      await give(cutter.cut(bytes));
      if (closing.signal.aborted) return;
    }
  };
  const look = async (): Promise<void> => {
    if (source === undefined) {
      source = await openSource(file, isFirst && options.fromStart !== true);
      isFirst = false;
      if (source === undefined) return;
    }
    if (await isTruncated(source)) {
      counts.rotations += 1;
      cutter.end();
      Object.assign(source, { place: 0, head: Buffer.alloc(0) });
    }
    await readOn(source);
    const inode = await inodeOf(file);
    if (inode === undefined || inode === source.inode) return;
    // The writer may have gone on with the old file until it was told; what came since is read before the new one.
    await readOn(source);
    await give(cutter.end());
    await source.handle.close();
    counts.rotations += 1;
    source = await openSource(file, false);
    if (source !== undefined) await readOn(source);
  };
  let turn = Promise.resolve();
  const poll = (): Promise<void> => {
    turn = turn.then(look).catch((error: unknown) => {
      if (!isTold) log('warn', 'tail.unreadable', { file, message: String(error) });
      isTold = true;
    });
    return turn;
  };
  const run = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      await poll();
      // Aborted: the tail is closed.
      await wait(options.pollMs ?? POLL_MS, undefined, { signal: closing.signal, ref: false }).catch(() => undefined);
    }
  };
  const running = run();
  return {
    poll,
    stats: () => ({ ...counts, tooLong: cutter.tooLong }),
    close: async () => {
      closing.abort();
      await running;
      await turn;
      await source?.handle.close();
      source = undefined;
    },
  };
}
