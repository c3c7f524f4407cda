// A worker process: a cache in memory in front of the primary, serving viewers from the listener that all workers share.
// Started by workers.ts; ends with its channel to the primary.
import { open } from '../cache.ts';
import type { Cache, ServedRecord } from '../contract.ts';
import { CacheError } from '../errors.ts';
import { tuneHeap } from '../heap.ts';
import { openPrimaryRoutes } from './primary.ts';
import type { FromWorker, ToWorker } from './worker-messages.ts';

/** Records that wait for the primary; one more is dropped and counted. */
const MAX_RECORDS = 4096;
/** Keys of hits that the primary is told of at once, so that its eviction knows what is in use. */
const MAX_KEYS = 4096;
const BATCH_MS = 100;
const STATS_MS = 1_000;

function send(message: FromWorker, onSent: () => void = () => undefined): void {
  // A channel that has gone ends this process; what could not be sent is lost with it.
  process.send?.(message, undefined, {}, () => onSent());
}

/** Gathers what was served and sends it in batches, one on its way at a time. */
class Records {
  readonly #isWanted: boolean;
  #records: ServedRecord[] = [];
  #keys = new Set<string>();
  #isSending = false;
  dropped = 0;

  constructor(isWanted: boolean) {
    this.#isWanted = isWanted;
    setInterval(() => this.flush(), BATCH_MS).unref();
  }

  add(record: ServedRecord): void {
    if (record.result === 'hit' && this.#keys.size < MAX_KEYS) this.#keys.add(record.key);
    if (!this.#isWanted) return;
    if (this.#records.length < MAX_RECORDS) this.#records.push(record);
    else this.dropped += 1;
  }

  /** `isLast`: whatever is on its way. */
  flush(isLast = false): void {
    if ((this.#isSending && !isLast) || (this.#records.length === 0 && this.#keys.size === 0)) return;
    this.#isSending = true;
    const message = { type: 'served', records: this.#records, keys: [...this.#keys] } as const;
    this.#records = [];
    this.#keys = new Set();
    send(message, () => {
      this.#isSending = false;
    });
  }
}

type Start = Extract<ToWorker, { type: 'start' }>;
type Worker = { readonly cache: Cache; readonly records: Records };

async function openWorker({ options, socketPath }: Start): Promise<Worker> {
  const { ramBytes, routes, hasListener, ...rest } = options;
  const records = new Records(hasListener);
  const cache = await open(
    {
      ...rest,
      store: { ramBytes, dirs: [], required: false },
      routes: openPrimaryRoutes(routes, socketPath),
      onServed: (record) => records.add(record),
      now: Date.now,
      log: (level, event, fields) => send({ type: 'log', level, event, fields }),
    },
    socketPath,
  );
  return { cache, records };
}

const tellStats = ({ cache, records }: Worker, onSent?: () => void): void =>
  send({ type: 'stats', stats: cache.stats(), dropped: records.dropped }, onSent);

async function drain(worker: Worker, drainMs: number): Promise<void> {
  await worker.cache.close(drainMs);
  worker.records.flush(true);
  tellStats(worker, () => process.exit(0));
}

tuneHeap();
/** Set by the first message. What comes while it opens waits for it: it may serve, and store, before it has said so. */
let opened: Promise<Worker> | undefined;
/** Reloads run one after another. */
let reloaded: Promise<void> = Promise.resolve();

async function hear(message: ToWorker): Promise<void> {
  if (message.type === 'start') {
    opened = openWorker(message);
    const worker = await opened;
    send({ type: 'listening', ports: await worker.cache.serve(message.where.plain, message.where.secure) });
    setInterval(() => tellStats(worker), STATS_MS).unref();
    return;
  }
  const worker = await opened;
  if (message.type === 'drain') {
    if (worker === undefined) process.exit(0);
    return await drain(worker, message.drainMs);
  }
  if (message.type === 'purge') await worker?.cache.purge(message.selector);
  else {
    const { next } = message;
    reloaded = reloaded.then(() => worker?.cache.reload(next));
    await reloaded;
  }
  send({ type: 'done', id: message.id });
}

process.on('message', (message: ToWorker) => {
  hear(message).catch((error: unknown) => {
    const text = error instanceof CacheError ? error.message : String(error);
    send({ type: 'failed', message: text }, () => process.exit(1));
  });
});
// Only the primary ends workers: a terminal's Ctrl-C reaches them too, and their viewers are to be drained.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
