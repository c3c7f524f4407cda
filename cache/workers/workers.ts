// The primary's side of workers: starts them over one shared listener, replaces those that die or no longer answer, tells
// them of purges and reloads, and takes in what they served and counted.
import cluster, { type Worker } from 'node:cluster';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { CacheOptions, CacheStats, Listen, ServedRecord } from '../contract.ts';
import type { PurgeSelector } from '../contract-rights.ts';
import { CacheError } from '../errors.ts';
import { Handler, type HandlerParts } from '../handler.ts';
import type { ViewerRequest } from '../listen/viewer.ts';
import { sumStats } from '../stats.ts';
import type { RemoteHasher } from './remote.ts';
import { REMOTE_FIELD, reloadFor, type WorkerReload, workerOptions } from './tier.ts';
import type { FromWorker, Ports, ToWorker, Where } from './worker-messages.ts';

/** A worker that has not begun to listen by then is replaced. */
const START_MS = 20_000;
/** A worker that has not answered a purge by then is killed, so that it cannot serve what was purged. */
const PURGE_MS = 5_000;
/** A reload waits so long for a worker. One that hangs is killed as silent; one that is slow uses it when it hears of it. */
const RELOAD_MS = 5_000;
/** A worker that has said nothing for so long is killed; it speaks every second. */
const SILENT_MS = 10_000;
const CHECK_MS = 2_000;
/** Pause before a dead worker is replaced; it doubles with each that did not live for STEADY_MS, up to the last. */
const FIRST_PAUSE_MS = 50;
const LAST_PAUSE_MS = 5_000;
const STEADY_MS = 30_000;
/** After its drain a worker has so long to end. */
const END_MS = 2_000;

/** What workers need of the primary. */
export type WorkersParts = {
  readonly options: CacheOptions;
  readonly count: number;
  /** Answers a worker's request. */
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
  /** Hears what a worker served, remoteHash being the address yet, and the keys that it has hit. */
  readonly onServed: (records: readonly ServedRecord[], keys: readonly string[]) => void;
};

/** One worker process and what is known of it. */
type Hand = {
  readonly worker: Worker;
  readonly startedMs: number;
  heardMs: number;
  stats: CacheStats | undefined;
  dropped: number;
  readonly waiting: Map<number, () => void>;
  readonly listening: PromiseWithResolvers<Ports>;
  readonly ended: PromiseWithResolvers<void>;
};

/** What workers have counted: those that live and those that have died. */
export type WorkersStats = {
  readonly running: number;
  readonly restarts: number;
  readonly droppedRecords: number;
  readonly each: readonly CacheStats[];
};

/** The workers of one cache. */
export class Workers {
  readonly #parts: WorkersParts;
  #options: CacheOptions;
  readonly #hands = new Set<Hand>();
  #where: Where = { plain: { host: '127.0.0.1', port: 0 }, secure: undefined };
  #directory: string | undefined;
  #server: Server | undefined;
  #check: NodeJS.Timeout | undefined;
  #gone: CacheStats | undefined;
  #goneDropped = 0;
  #restarts = 0;
  #shortLives = 0;
  #nextId = 1;
  #isClosing = false;

  constructor(parts: WorkersParts) {
    this.#parts = parts;
    this.#options = parts.options;
  }

  get #socketPath(): string {
    return join(this.#directory ?? '', 'primary.sock');
  }

  /** Starts all; resolves when each listens. Rejects with CACHE_LISTEN_FAILED. */
  async listen(plain: Listen, secure?: Listen): Promise<Ports> {
    this.#directory = await mkdtemp(join(tmpdir(), 'nearcast-workers-'));
    // The directory is this user's alone: who reaches the socket may name any viewer.
    const server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0 }, (request, response) => {
      response.sendDate = false;
      this.#parts.handle(request, response);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#socketPath, resolve));
    // Workers accept by themselves: connections that wait survive the worker that might have taken them, and whoever is idle
    // takes the next. Handed out in turn, one given to a worker that is just dying would stay open, with nobody to answer it.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    cluster.setupPrimary({
      exec: fileURLToPath(new URL('./worker.ts', import.meta.url)),
      args: [],
      execArgv: [],
      serialization: 'advanced',
    });
    this.#where = { plain, secure };
    // Those that listen on the same words share one listener, with port 0 as well.
    const starting = Array.from({ length: this.#parts.count }, () => this.#start().listening.promise);
    const [ports = { port: 0 }] = await Promise.all(starting);
    this.#check = setInterval(() => this.#killSilent(), CHECK_MS);
    return ports;
  }

  #start(): Hand {
    const worker = cluster.fork();
    const now = performance.now();
    const hand: Hand = {
      ...{ worker, startedMs: now, heardMs: now, stats: undefined, dropped: 0, waiting: new Map() },
      ...{ listening: Promise.withResolvers(), ended: Promise.withResolvers() },
    };
    this.#hands.add(hand);
    // Whoever waits hears of a failure; a replacement that fails is replaced again.
    const late = setTimeout(() => worker.process.kill('SIGKILL'), START_MS);
    const settle = () => clearTimeout(late);
    hand.listening.promise.then(settle, settle);
    // One that cannot be forked or told ends, which is heard below.
    worker.on('message', (message: FromWorker) => this.#hear(hand, message));
    worker.on('error', (error) => this.#log('warn', 'worker.error', { error: String(error) }));
    worker.once('exit', (code, signal) => this.#onExit(hand, code, signal));
    const options = workerOptions(this.#options, this.#parts.count);
    this.#tell(hand, { type: 'start', options, where: this.#where, socketPath: this.#socketPath });
    return hand;
  }

  #tell(hand: Hand, message: ToWorker): void {
    // One that cannot be told any more is about to end.
    if (hand.worker.isConnected()) hand.worker.send(message, () => undefined);
  }

  #log(...line: Parameters<CacheOptions['log']>): void {
    this.#options.log(...line);
  }

  #hear(hand: Hand, message: FromWorker): void {
    hand.heardMs = performance.now();
    if (message.type === 'served') this.#parts.onServed(message.records, message.keys);
    else if (message.type === 'stats') {
      hand.stats = message.stats;
      hand.dropped = message.dropped;
    } else if (message.type === 'done') hand.waiting.get(message.id)?.();
    else if (message.type === 'log') this.#log(message.level, message.event, message.fields);
    else if (message.type === 'listening') hand.listening.resolve(message.ports);
    else hand.listening.reject(new CacheError('CACHE_LISTEN_FAILED', message.message));
  }

  #onExit(hand: Hand, code: number | null, signal: string | null): void {
    this.#hands.delete(hand);
    hand.ended.resolve();
    for (const settle of hand.waiting.values()) settle();
    const { host, port } = this.#where.plain;
    hand.listening.reject(new CacheError('CACHE_LISTEN_FAILED', `A worker for ${host}:${port} ended at its start.`));
    if (hand.stats !== undefined) {
      const last = { ...hand.stats, openConnections: 0 };
      this.#gone = this.#gone === undefined ? last : sumStats([this.#gone, last]);
    }
    this.#goneDropped += hand.dropped;
    if (this.#isClosing || this.#check === undefined) return;
    this.#restarts += 1;
    this.#shortLives = performance.now() - hand.startedMs < STEADY_MS ? this.#shortLives + 1 : 0;
    const pauseMs = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, this.#shortLives - 1));
    this.#log('warn', 'worker.died', { code, signal, restarts: this.#restarts, pauseMs });
    setTimeout(() => {
      if (!this.#isClosing) this.#start();
    }, pauseMs);
  }

  #killSilent(): void {
    const now = performance.now();
    for (const { worker, heardMs, startedMs } of this.#hands) {
      const isStarting = now - startedMs < START_MS;
      if (isStarting || now - heardMs < SILENT_MS) continue;
      this.#log('warn', 'worker.silent', { silentMs: Math.round(now - heardMs) });
      worker.process.kill('SIGKILL');
    }
  }

  /** Resolves when no worker has any more what the selector covers; one that does not answer in time is replaced. */
  async purge(selector: PurgeSelector): Promise<void> {
    await Promise.all([...this.#hands].map((hand) => this.#purgeAt(hand, selector)));
  }

  async #purgeAt(hand: Hand, selector: PurgeSelector): Promise<void> {
    const id = this.#nextId++;
    await this.#ask(hand, { type: 'purge', id, selector }, PURGE_MS, () => {
      this.#log('warn', 'worker.purge-late', {});
      // Its end answers.
      hand.worker.process.kill('SIGKILL');
    });
  }

  /** Resolves when the worker has answered or ended, or `onLate` has answered for it. */
  async #ask(
    hand: Hand,
    message: Extract<ToWorker, { type: 'purge' | 'reload' }>,
    lateMs: number,
    onLate: (answer: () => void) => void,
  ): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    hand.waiting.set(message.id, resolve);
    const late = setTimeout(() => onLate(resolve), lateMs);
    this.#tell(hand, message);
    await promise;
    clearTimeout(late);
    hand.waiting.delete(message.id);
  }

  /** From now on workers use these; resolves when they do, or are late. */
  async reload(next: WorkerReload): Promise<void> {
    this.#options = { ...this.#options, ...next };
    const share = reloadFor(next, this.#parts.count);
    const ask = (hand: Hand) =>
      this.#ask(hand, { type: 'reload', id: this.#nextId++, next: share }, RELOAD_MS, (answer) => {
        this.#log('warn', 'worker.reload-late', {});
        answer();
      });
    await Promise.all([...this.#hands].map(ask));
  }

  stats(): WorkersStats {
    const living = [...this.#hands].map(({ stats }) => stats).filter((each) => each !== undefined);
    const dropped = [...this.#hands].reduce((sum, hand) => sum + hand.dropped, this.#goneDropped);
    return {
      ...{ running: this.#hands.size, restarts: this.#restarts, droppedRecords: dropped },
      each: this.#gone === undefined ? living : [...living, this.#gone],
    };
  }

  /** Drains all for at most `drainMs`, then ends them. */
  async close(drainMs: number): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#check);
    const hands = [...this.#hands];
    for (const hand of hands) this.#tell(hand, { type: 'drain', drainMs });
    const ended = Promise.all(hands.map((hand) => hand.ended.promise));
    const deadline = new AbortController();
    const isLate = delay(drainMs + END_MS, true, { signal: deadline.signal }).catch(() => false);
    if (await Promise.race([ended.then(() => false), isLate]))
      for (const { worker } of hands) worker.process.kill('SIGKILL');
    await ended;
    deadline.abort();
    this.#server?.closeAllConnections();
    await new Promise<void>((resolve) =>
      this.#server === undefined ? resolve() : this.#server.close(() => resolve()),
    );
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }
}

/** The workers that the options ask for, if any: answered from here, and what they served taken in. */
export function openWorkers(options: CacheOptions, parts: HandlerParts, hasher: RemoteHasher): Workers | undefined {
  const { workers: count = 1, onServed, titleOf, log } = options;
  if (count < 2) return undefined;
  const remoteHash = ({ headers }: ViewerRequest): string => {
    const address = headers[REMOTE_FIELD];
    return hasher.ofAddress(typeof address === 'string' ? address : '');
  };
  const handler = new Handler({ ...parts, remoteHash, role: 'primary' });
  const handle = (request: IncomingMessage, response: ServerResponse) => handler.handle(request, response);
  const hear = (record: ServedRecord): void => {
    const title = titleOf?.(record.path);
    const remoteHash = hasher.ofAddress(record.remoteHash);
    onServed?.({ ...record, remoteHash, ...(title !== undefined && { title }) });
  };
  return new Workers({
    ...{ options, count, handle },
    onServed: (records, keys) => {
      for (const key of keys) for (const object of parts.store.find(key)) parts.store.touch(object);
      try {
        for (const record of records) hear(record);
      } catch (error) {
        log('error', 'served.hook-failed', { error: String(error) });
      }
    },
  });
}
