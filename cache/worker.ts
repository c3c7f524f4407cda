// A worker process: a cache in memory in front of the primary, serving viewers from the listener that all workers share.
// Started by workers.ts; ends with its channel to the primary.
import { open } from './cache.ts';
import type { Cache, ServedRecord } from './contract.ts';
import { CacheError } from './errors.ts';
import { tuneHeap } from './heap.ts';
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

type Worker = { readonly cache: Cache; readonly records: Records };

async function start({ options, socketPath, where }: Extract<ToWorker, { type: 'start' }>): Promise<Worker> {
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
  const ports = await cache.serve(where.plain, where.secure);
  send({ type: 'listening', ports });
  return { cache, records };
}

const tellStats = ({ cache, records }: Worker, onSent?: () => void): void =>
  send({ type: 'stats', stats: cache.stats(), dropped: records.dropped }, onSent);

async function drain(worker: Worker | undefined, drainMs: number): Promise<void> {
  if (worker === undefined) process.exit(0);
  await worker.cache.close(drainMs);
  worker.records.flush(true);
  tellStats(worker, () => process.exit(0));
}

tuneHeap();
let worker: Worker | undefined;

async function hear(message: ToWorker): Promise<void> {
  if (message.type === 'start') {
    worker = await start(message);
    const { cache, records } = worker;
    setInterval(() => tellStats({ cache, records }), STATS_MS).unref();
    return;
  }
  if (message.type === 'drain') return await drain(worker, message.drainMs);
  // What is not open yet holds nothing.
  if (message.type === 'purge') {
    await worker?.cache.purge(message.selector);
    send({ type: 'done', id: message.id });
  } else await worker?.cache.reload(message.next);
}

process.on('message', (message: ToWorker) => {
  hear(message).catch((error: unknown) => {
    const text = error instanceof CacheError ? error.message : String(error);
    send({ type: 'failed', message: text }, () => process.exit(1));
  });
});
// Only the primary ends workers: a terminal's Ctrl-C reaches them too, and their viewers are to be drained.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
