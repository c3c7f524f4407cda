// Asks the cache to fill URLs ahead of viewers: a bounded queue, one entry a URL, under a rate cap, a daily budget and
// a breaker, and only while viewers leave room. Nothing here throws to who asks: how an item ended is an outcome.
import type { FillOptions, FillOutcome } from '../../cache/cache.ts';
import { type BreakerOptions, type BreakerState, createBreaker } from './breaker.ts';
import { createBucket } from './bucket.ts';
import {
  type Decision,
  type DecisionLog,
  PREFETCH_REASONS,
  type PrefetchOutcome,
  type PrefetchReason,
} from './decisions.ts';
import { nextInTurn } from './turn.ts';

/** One URL to fill. In-session items go before off-peak ones. */
export type FetchItem = {
  readonly url: string;
  readonly titleId: string;
  readonly reason: PrefetchReason;
  readonly why: string;
  readonly priority: 'in-session' | 'off-peak';
  /** Expected size; 0 when unknown. Only for the budget. */
  readonly bytes: number;
  /** Keep what was filled until it is unpinned. */
  readonly pin?: boolean;
  /** Useless after this time; absent: never. Milliseconds since the epoch. */
  readonly expiresAt?: number;
  /** When a viewer is expected to ask for it; in-session items go by it, those without before all others. */
  readonly dueAt?: number;
};

/** The day's byte budget, kept by the caller so that it survives a restart. */
export type DayBudget = {
  readonly leftBytes: () => number;
  readonly spend: (bytes: number, priority: FetchItem['priority']) => void;
};

/** What the fetcher works with. */
export type FetcherOptions = {
  readonly fill: (url: string, options: FillOptions) => Promise<FillOutcome>;
  readonly isHeld: (url: string) => boolean;
  readonly budget: DayBudget;
  readonly bytesPerSecond: number;
  readonly decisions: DecisionLog;
  readonly now: () => number;
  /** Viewers first: while false nothing of that priority starts; asked again every RETRY_MS. Default: always true. */
  readonly hasRoom?: (priority: FetchItem['priority']) => boolean;
  /** Of off-peak items. False: the item waits, and others go before it; asked again every RETRY_MS. Default: always true. */
  readonly mayStart?: (item: FetchItem) => boolean;
  /** False: nothing is taken but what an operator asks for. Default: always true. */
  readonly isOn?: () => boolean;
  /** Fills at once; default 4. */
  readonly concurrency?: number;
  /** Most items waiting; default 20 000. */
  readonly maxQueued?: number;
  /** A fill is given up after this long; default 60 000. */
  readonly fillTimeoutMs?: number;
  readonly breaker?: BreakerOptions;
};

/** What became of an item that was pushed. `duplicate`: its URL waits or runs already. */
export type Pushed = 'queued' | 'duplicate' | 'held' | 'full' | 'stopped';

/** Counters since start, and how it stands. */
export type FetcherStats = {
  readonly outcomes: Readonly<Record<PrefetchOutcome, number>>;
  readonly storedBytes: Readonly<Record<PrefetchReason, number>>;
  readonly queued: number;
  readonly running: number;
  readonly isPaused: boolean;
  readonly breaker: BreakerState;
};

/** An open fetcher. */
export type Fetcher = {
  /** `ended` hears the item's outcome once, whatever it is; not called when the item was not queued. */
  readonly push: (item: FetchItem, ended?: (decision: Decision) => void) => Pushed;
  /** Drops waiting items and aborts running ones that `matches` picks; gives how many. */
  readonly cancel: (matches: (item: FetchItem) => boolean) => number;
  readonly pause: () => void;
  readonly resume: () => void;
  readonly stats: () => FetcherStats;
  /** Cancels everything; resolves when nothing runs any more. */
  readonly close: () => Promise<void>;
};

/** Off-peak items that are looked at for one that may start. */
const MAX_LOOKED_AT = 64;
/** Pause before hasRoom is asked again. */
const RETRY_MS = 250;
/** The least that a fill may fetch, where the day's budget has it: a size that was expected is an estimate. */
const LEAST_ALLOWED_BYTES = 64 * 1024 * 1024;

type Entry = {
  readonly item: FetchItem;
  readonly ended: (decision: Decision) => void;
  readonly abort: AbortController;
  /** Of the day's budget, set aside while it runs. */
  allowedBytes: number;
};

function noBytes(): Record<PrefetchReason, number> {
  // Every reason of the list gets its entry here, so the record is whole.
  return Object.fromEntries(PREFETCH_REASONS.map((reason) => [reason, 0])) as Record<PrefetchReason, number>;
}

/** Opens a fetcher with an empty queue. */
export function openFetcher(options: FetcherOptions): Fetcher {
  return new PrefetchQueue(options).face();
}

class PrefetchQueue {
  readonly #options: Required<Omit<FetcherOptions, 'breaker'>>;
  readonly #breaker;
  readonly #bucket;
  readonly #waiting = { 'in-session': new Map<string, Entry>(), 'off-peak': new Map<string, Entry>() };
  readonly #running = new Map<string, Entry>();
  readonly #idle = new Set<() => void>();
  readonly #outcomes = { stored: 0, held: 0, refused: 0, failed: 0, cancelled: 0, dropped: 0, budget: 0 };
  readonly #bytes = noBytes();
  #isPaused = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor({ breaker, ...options }: FetcherOptions) {
    this.#options = {
      ...{ hasRoom: () => true, mayStart: () => true, isOn: () => true },
      concurrency: 4,
      maxQueued: 20_000,
      fillTimeoutMs: 60_000,
      ...options,
    };
    this.#breaker = createBreaker(breaker);
    this.#bucket = createBucket(options.bytesPerSecond, options.now());
  }

  face(): Fetcher {
    return {
      push: (item, ended = () => undefined) =>
        this.#push({ item, ended, abort: new AbortController(), allowedBytes: 0 }),
      cancel: (matches) => this.#cancel(matches),
      pause: () => {
        this.#isPaused = true;
      },
      resume: () => {
        this.#isPaused = false;
        this.#pump();
      },
      stats: () => ({
        outcomes: { ...this.#outcomes },
        storedBytes: { ...this.#bytes },
        queued: this.#queued(),
        running: this.#running.size,
        isPaused: this.#isPaused,
        breaker: this.#breaker.state(this.#options.now()),
      }),
      close: async () => {
        this.#isClosed = true;
        clearTimeout(this.#timer);
        this.#cancel(() => true);
        if (this.#running.size > 0) await new Promise<void>((resolve) => this.#idle.add(resolve));
      },
    };
  }

  #queued(): number {
    return this.#waiting['in-session'].size + this.#waiting['off-peak'].size;
  }

  #push(entry: Entry): Pushed {
    const { url, priority } = entry.item;
    if (this.#isClosed || (entry.item.reason !== 'operator' && !this.#options.isOn())) return 'stopped';
    if (this.#running.has(url) || this.#waiting['in-session'].has(url)) return 'duplicate';
    const later = this.#waiting['off-peak'].get(url);
    if (later !== undefined && priority === 'off-peak') return 'duplicate';
    if (this.#options.isHeld(url)) return 'held';
    // A breaker that is open does not collect work for viewers of now: by the time it closes, it is too late for them.
    if (priority === 'in-session' && this.#breaker.state(this.#options.now()) === 'open') return 'stopped';
    if (later === undefined && this.#queued() >= this.#options.maxQueued) return 'full';
    if (later !== undefined) {
      // The same URL is wanted sooner now: who asked for it first hears that this entry took its place.
      this.#waiting['off-peak'].delete(url);
      this.#end(later, 'cancelled', 0);
    }
    this.#waiting[priority].set(url, entry);
    this.#pump();
    return 'queued';
  }

  #cancel(matches: (item: FetchItem) => boolean): number {
    let cancelled = 0;
    for (const queue of [this.#waiting['in-session'], this.#waiting['off-peak']]) {
      for (const [url, entry] of queue) {
        if (!matches(entry.item)) continue;
        queue.delete(url);
        this.#end(entry, 'cancelled', 0);
        cancelled += 1;
      }
    }
    for (const entry of this.#running.values()) {
      if (!matches(entry.item)) continue;
      entry.abort.abort();
      cancelled += 1;
    }
    return cancelled;
  }

  #end({ item, ended }: Entry, outcome: PrefetchOutcome, bytes: number): void {
    this.#outcomes[outcome] += 1;
    if (outcome === 'stored') this.#bytes[item.reason] += bytes;
    const { url, titleId, reason, why } = item;
    const decision = { at: this.#options.now(), url, titleId, reason, why, outcome, bytes };
    this.#options.decisions.add(decision);
    ended(decision);
  }

  /** What is left of the day's budget beside what runs already; the other is the same without that. */
  #budgetBytes(): { readonly free: number; readonly left: number } {
    const left = this.#options.budget.leftBytes();
    let free = left;
    for (const { allowedBytes } of this.#running.values()) free -= allowedBytes;
    return { free, left };
  }

  /** The next item to run; undefined: none, or none before something that runs has ended. */
  #next(): Entry | undefined {
    const { free, left } = this.#budgetBytes();
    for (let entry = this.#first(); entry !== undefined; entry = this.#first()) {
      const { expiresAt, bytes, url, priority } = entry.item;
      const isLate = expiresAt !== undefined && expiresAt <= this.#options.now();
      const over = isLate ? 'dropped' : this.#options.isHeld(url) ? 'held' : undefined;
      const isSpent = bytes > left || left <= 0;
      if (over === undefined && !isSpent && Math.max(1, bytes) > free) return undefined;
      this.#waiting[priority].delete(url);
      if (over === undefined && !isSpent) {
        entry.allowedBytes = Math.min(free, Math.max(LEAST_ALLOWED_BYTES, 2 * bytes));
        return entry;
      }
      this.#end(entry, over ?? 'budget', 0);
    }
    return undefined;
  }

  /** Of in-session items the one that is due first, else the off-peak item that has waited longest and may start. */
  #first(): Entry | undefined {
    const running = [...this.#running.values()].map(({ item }) => item);
    const items = [...this.#waiting['in-session'].values()].map(({ item }) => item);
    const sooner = nextInTurn(items, running);
    if (sooner !== undefined) return this.#waiting['in-session'].get(sooner.url);
    let looked = 0;
    for (const entry of this.#waiting['off-peak'].values()) {
      if (this.#options.mayStart(entry.item)) return entry;
      looked += 1;
      if (looked >= MAX_LOOKED_AT) break;
    }
    return undefined;
  }

  /** Milliseconds until something may start; 0 when it may now. */
  #waitMs(): number {
    const now = this.#options.now();
    const waitMs = Math.max(this.#breaker.waitMs(now), this.#bucket.waitMs(now));
    const priority = this.#waiting['in-session'].size > 0 ? 'in-session' : 'off-peak';
    return waitMs === 0 && !this.#options.hasRoom(priority) ? RETRY_MS : waitMs;
  }

  #pump(): void {
    clearTimeout(this.#timer);
    while (!this.#isClosed && !this.#isPaused && this.#queued() > 0) {
      const isTrial = this.#breaker.state(this.#options.now()) === 'trial';
      if (this.#running.size >= (isTrial ? 1 : this.#options.concurrency)) return;
      const waitMs = this.#waitMs();
      if (waitMs > 0) {
        this.#retry(waitMs);
        return;
      }
      const entry = this.#next();
      if (entry === undefined) {
        // What may not start now is asked for again, also when nothing that runs will end.
        if (this.#queued() > 0 && this.#running.size === 0) this.#retry(RETRY_MS);
        return;
      }
      void this.#run(entry);
    }
  }

  #retry(waitMs: number): void {
    this.#timer = setTimeout(() => this.#pump(), waitMs);
    this.#timer.unref();
  }

  async #run(entry: Entry): Promise<void> {
    const { item, abort, allowedBytes } = entry;
    this.#running.set(item.url, entry);
    const { fill, bytesPerSecond, concurrency, fillTimeoutMs, now, budget } = this.#options;
    const signal = AbortSignal.any([abort.signal, AbortSignal.timeout(fillTimeoutMs)]);
    const outcome = await fill(item.url, {
      priority: item.priority,
      purpose: item.priority,
      bytesPerSecond: Math.max(1, Math.floor(bytesPerSecond / concurrency)),
      // What an operator asks for by name may be as large as it is.
      ...(item.reason === 'operator' ? {} : { maxBytes: allowedBytes }),
      ...(item.pin === true ? { pin: true } : {}),
      signal,
    }).catch((error: unknown): FillOutcome => ({ outcome: 'failed', reason: String(error) }));
    this.#running.delete(item.url);
    const bytes = 'bytes' in outcome ? outcome.bytes : 0;
    if (outcome.outcome === 'stored') {
      this.#bucket.spend(bytes, now());
      budget.spend(bytes, item.priority);
    }
    // A fill that took too long is the origin's trouble; one that we cancelled says nothing.
    const isOurs = outcome.outcome === 'cancelled' && abort.signal.aborted;
    const isBad = outcome.outcome === 'failed' || (outcome.outcome === 'cancelled' && !isOurs);
    if (!isOurs && outcome.outcome !== 'refused') this.#breaker.note(isBad ? 'bad' : 'good', now());
    this.#end(entry, outcome.outcome === 'already' ? 'held' : isBad ? 'failed' : outcome.outcome, bytes);
    if (this.#running.size === 0) {
      for (const resolve of this.#idle) resolve();
      this.#idle.clear();
    }
    this.#pump();
  }
}
