// The thread that writes one directory's rows: takes changes, commits them, reads all rows at start.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type RowChanges, type RowFacts, type RowScan, type RowSlice, RowWriter } from './row-writer.ts';

/** What the thread is started with. */
export type RowThreadData = { readonly path: string; readonly isSynced: boolean };

/** What the thread is told, in this order it is done. */
export type RowCommand =
  | { readonly kind: 'apply'; readonly changes: RowChanges }
  /** Ends the transaction of all changes since the last one. */
  | { readonly kind: 'commit' }
  | { readonly kind: 'scan'; readonly scan: RowScan }
  | { readonly kind: 'close' };

/** An error on its way between threads: SQLite's code, or one of ours. */
export type RowError = {
  readonly message: string;
  readonly errcode: number | undefined;
  readonly code: string | undefined;
};

/** What the thread says: `opened` or `failed` first, then one reply to each commit, scan and close, in their order. */
export type RowReply =
  | { readonly kind: 'opened'; readonly facts: RowFacts }
  | { readonly kind: 'done'; readonly slice: RowSlice | undefined }
  | { readonly kind: 'failed'; readonly error: RowError };

function portable(error: unknown): RowError {
  if (!(error instanceof Error)) return { message: String(error), errcode: undefined, code: undefined };
  const errcode = 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return { message: error.message, errcode, code };
}

/** Serves one directory until it is told to close. */
class RowThread {
  readonly #port: MessagePort;
  readonly #writer: RowWriter;
  /** The first error of the open transaction; what comes until its end belongs to it and is dropped. */
  #failure: { readonly error: unknown } | undefined;

  constructor(port: MessagePort, { path, isSynced }: RowThreadData) {
    this.#port = port;
    this.#writer = new RowWriter(path, isSynced);
    port.on('message', (command: RowCommand) => {
      try {
        this.#run(command);
      } catch (error) {
        this.#reply({ kind: 'failed', error: portable(error) });
      }
    });
    this.#reply({ kind: 'opened', facts: this.#writer.facts() });
  }

  #reply(message: RowReply, buffers: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, buffers);
  }

  #run(command: RowCommand): void {
    switch (command.kind) {
      case 'apply':
        this.#apply(command.changes);
        return;
      case 'commit':
        this.#commit();
        this.#reply({ kind: 'done', slice: undefined });
        return;
      case 'scan': {
        const slice = this.#writer.scan(command.scan);
        const { ids, hashes, bytes, purposes, hosts, pins, hits, recents } = slice;
        const arrays = [ids, hashes, bytes, purposes, hosts, pins, hits, recents];
        this.#reply(
          { kind: 'done', slice },
          arrays.map(({ buffer }) => buffer),
        );
        return;
      }
      case 'close':
        this.#writer.close();
        this.#reply({ kind: 'done', slice: undefined });
        this.#port.close();
        return;
      default:
        command satisfies never;
    }
  }

  #apply(changes: RowChanges): void {
    try {
      if (this.#failure === undefined) this.#writer.apply(changes);
    } catch (error) {
      this.#failure = { error };
    }
  }

  #commit(): void {
    const failed = this.#failure;
    this.#failure = undefined;
    if (failed !== undefined) throw failed.error;
    this.#writer.commit();
  }
}

if (parentPort !== null) {
  try {
    // Sound: rows.ts, which alone starts this thread, gives it this.
    new RowThread(parentPort, workerData as RowThreadData);
  } catch (error) {
    parentPort.postMessage({ kind: 'failed', error: portable(error) } satisfies RowReply);
    parentPort.close();
  }
}
