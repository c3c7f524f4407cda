// One origin fetch per key however many wait: its bytes go to every viewer and to the store at once, and no viewer
// owns it. An object larger than the window is paced by its fastest reader; who falls behind goes on by itself.
import type { Priority } from './contract.ts';
import { CacheError } from './errors.ts';
import type { Exchange, OriginHead } from './exchange.ts';
import { type FillRequest, type FillTools, type KeptHead, keptHead, revalidated } from './fill-head.ts';
import { type FillHead, FillReader, type Listener } from './reader.ts';
import { validatorsOf } from './rules/conditional.ts';
import type { Fields } from './rules/fields.ts';
import { variantOf } from './rules/vary.ts';
import { isPrefetch } from './stats.ts';
import type { BodyWriter, StoredObject } from './store/object.ts';
import { FillWindow } from './window.ts';

/** Bytes of one fill that stay in memory, so that who comes late gets everything from the start. */
export const WINDOW_BYTES = 16 * 1024 * 1024;
/** The same for all fills together; above it each keeps only what its readers have not read. */
const ALL_WINDOWS_BYTES = 192 * 1024 * 1024;
/** What each fill has whatever the others hold, so that only its own readers can make it wait. */
const OWN_WINDOW_BYTES = 1024 * 1024;
/** How often a background fill looks whether somebody more urgent is still being filled. */
const YIELD_MS = 100;
/** What it takes meanwhile: little, yet its connection stays alive. */
const YIELDING_BYTES_PER_SECOND = 32 * 1024;
/** A fill that nobody waits for any more still ends when the caller expects at least this of its key. */
const WORTH_FINISHING = 0.5;

/** How a fill ended, for those who wait for nothing else. */
export type FillEnd =
  | { readonly end: 'stored'; readonly object: StoredObject }
  | { readonly end: 'refused'; readonly reason: string }
  | { readonly end: 'failed'; readonly error: CacheError };

/** A running fill. */
export class Fill {
  readonly request: FillRequest;
  readonly window = new FillWindow();
  readonly done: Promise<FillEnd>;
  isComplete = false;
  /** Bytes a second for a fill without viewers; Infinity: no cap. */
  bytesPerSecond = Number.POSITIVE_INFINITY;
  /** The largest body that is fetched for keepers alone; Infinity: whatever the store takes. */
  maxBytes = Number.POSITIVE_INFINITY;
  priority: Priority;
  /** Those who wait for the end without reading. */
  keepers = 0;
  hadViewer = false;
  readonly #tools: FillTools;
  readonly #onOver: (fill: Fill) => void;
  readonly #readers = new Set<FillReader>();
  #head: FillHead | undefined;
  #exchange: Exchange | undefined;
  #writer: BodyWriter | undefined;
  #isOver = false;
  #isForgotten = false;
  #isFull = false;
  #isWanted = false;
  #paceTimer: NodeJS.Timeout | undefined;
  #paceAt = 0;
  #yieldUntil = 0;
  #counted = 0;
  #resolveDone: (end: FillEnd) => void = () => undefined;

  constructor(request: FillRequest, priority: Priority, tools: FillTools, onEnd: (fill: Fill) => void) {
    this.#onOver = onEnd;
    this.request = request;
    this.priority = priority;
    this.#tools = tools;
    this.done = new Promise((resolve) => {
      this.#resolveDone = resolve;
    });
  }

  /** Asks the origin. `validates` false: unconditionally. */
  start(validates = true): void {
    const { origin, resource, fields, revalidates, purpose } = this.request;
    this.#tools.counters.originRequests[purpose] += 1;
    const conditions = validates && revalidates !== undefined ? validatorsOf(revalidates.headers) : [];
    this.#exchange = origin.fetch(
      { method: 'GET', resource, headers: [...fields, ...conditions] },
      {
        onHead: (head) => this.#onHead(head),
        onBytes: (bytes) => this.#onBytes(bytes),
        onEnd: () => this.#onEnd(),
        onError: (error) => this.#fail(error),
      },
    );
  }

  /** Whether a viewer may still join and get everything. `variantNames`: fields that this key is known to vary on. */
  accepts(fields: Fields, variantNames: readonly string[]): boolean {
    if (this.#isOver || this.#isForgotten || this.window.start > 0) return false;
    if (this.#head === undefined) {
      return variantOf(variantNames, fields) === variantOf(variantNames, this.request.fields);
    }
    return this.#head.outcome === 'response' && this.#head.isFresh && this.#isFor(this.#head, fields);
  }

  /** Fields that the head's Vary names, once it has come. */
  get variesOn(): readonly string[] {
    return this.#head?.outcome === 'response' ? this.#head.response.varyOn : [];
  }

  /** Names of what comes (tags, groups), once its head has come. */
  get tags(): readonly string[] | undefined {
    return this.#head?.outcome === 'response' ? this.#head.response.tags : undefined;
  }

  join(fields: Fields, listener: Listener): FillReader {
    const reader = new FillReader(this, fields, listener, this.#exchange !== undefined);
    this.#readers.add(reader);
    this.hadViewer = true;
    if (this.priority !== 'viewer') {
      this.priority = 'viewer';
      this.#endPause();
    }
    const head = this.#head;
    if (head !== undefined) listener.onHead(head, reader);
    return reader;
  }

  leave(reader: FillReader): void {
    if (!this.#readers.delete(reader)) return;
    // Who got all that it asked for, a range perhaps, has shown that the object is wanted; who left early has not.
    if (reader.isAtEnd()) this.#isWanted = true;
    if (this.#isOver) {
      if (this.#readers.size === 0) this.#release();
      return;
    }
    if (this.#readers.size === 0 && this.keepers === 0 && !this.#isWorthFinishing()) this.cancel();
    else this.balance();
  }

  /** A keeper no longer waits. */
  release(): void {
    this.keepers -= 1;
    if (!this.#isOver && this.#readers.size === 0 && this.keepers === 0) this.cancel();
  }

  /** Ends it; whoever still waits hears an error. */
  cancel(): void {
    this.#exchange?.abort();
    this.#fail(new CacheError('CACHE_CANCELLED', 'The fill was no longer wanted.', { retryable: true }));
  }

  /** What comes is outdated (purge, unsafe method): nobody may join and it is not stored. */
  forget(): void {
    this.#isForgotten = true;
    this.#writer?.abort();
    this.#writer = undefined;
  }

  /** Keeps the window within its bounds; called whenever bytes came or were read. */
  balance(): void {
    if (!this.#isRoomy()) this.#makeRoom();
    this.#account();
    const isFull = !this.#isOver && !this.#isRoomy();
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    if (isFull) this.#exchange?.pause();
    else if (this.#paceTimer === undefined) this.#exchange?.resume();
  }

  #isRoomy(): boolean {
    const { sizeBytes } = this.window;
    return sizeBytes < OWN_WINDOW_BYTES || (sizeBytes < WINDOW_BYTES && this.#tools.windows.bytes < ALL_WINDOWS_BYTES);
  }

  #makeRoom(): void {
    const trimToSlowest = () => {
      let slowest = this.window.end;
      for (const { offset } of this.#readers) slowest = Math.min(slowest, offset);
      this.window.trim(slowest);
      this.#account();
    };
    trimToSlowest();
    if (this.#isRoomy() || this.#isOver) return;
    let fastest = 0;
    for (const { offset } of this.#readers) fastest = Math.max(fastest, offset);
    // The fastest reader paces the origin; once it has everything, who holds the window back must let go.
    if (fastest < this.window.end || this.#readers.size < 2) return;
    const middle = this.window.start + (this.window.sizeBytes >> 1);
    for (const reader of [...this.#readers]) {
      if (reader.offset >= middle) continue;
      this.#readers.delete(reader);
      reader.listener.onBehind(reader);
    }
    trimToSlowest();
  }

  #account(): void {
    this.#tools.windows.bytes += this.window.sizeBytes - this.#counted;
    this.#counted = this.window.sizeBytes;
  }

  #release(): void {
    this.window.trim(this.window.end);
    this.#account();
  }

  #isWorthFinishing(): boolean {
    if (this.#head?.outcome !== 'response' || this.#writer === undefined || this.#writer.isAbandoned()) return false;
    const { lengthBytes } = this.#head.response;
    if (this.#isWanted || (lengthBytes !== undefined && this.window.end * 2 > lengthBytes)) return true;
    return (this.#tools.worth?.(this.request.key) ?? 0) >= WORTH_FINISHING;
  }

  #isFor(head: KeptHead, fields: Fields): boolean {
    return variantOf(head.response.varyOn, fields) === head.response.variant;
  }

  #onHead(received: OriginHead): void {
    const { request } = this;
    if (received.status === 304) {
      // What was purged meanwhile is not confirmed by an answer that may be older than the purge.
      const object = this.#isForgotten ? undefined : revalidated(received, request, this.#tools);
      if (object !== undefined) {
        this.#confirm(object);
        return;
      }
      this.#exchange?.abort();
      this.start(false);
      return;
    }
    if (request.prefersStale && received.status >= 500) {
      this.#exchange?.abort();
      this.#fail(new CacheError('CACHE_ORIGIN_STATUS', `The origin answered ${received.status}.`, { retryable: true }));
      return;
    }
    const kept = keptHead(received, request, this.#tools);
    if (kept.refusal === null && !this.#isForgotten) {
      const hint = { isPinned: request.isPinned, worth: this.#tools.worth?.(request.key) };
      this.#writer = this.#tools.store.write(kept.response, hint);
    }
    const head = { outcome: 'response', ...kept, isStored: this.#writer !== undefined } as const;
    this.#head = head;
    // The origin's own failure is nobody's in particular: who waits gets it too, instead of asking again one by one.
    const isFailure = received.status >= 500 && kept.refusal === 'no-freshness';
    if (!isFailure) this.#tools.onHead(request.key, kept.refusal);
    let isFirst = true;
    for (const reader of [...this.#readers]) {
      const isShared = isFirst || ((kept.refusal === null || isFailure) && this.#isFor(kept, reader.fields));
      isFirst = false;
      if (isShared) reader.listener.onHead(head, reader);
      else {
        this.#readers.delete(reader);
        reader.listener.onUnshared();
      }
    }
    this.#refuseUseless(kept.response.lengthBytes ?? 0);
  }

  /** Ends a fetch without viewers whose object, at least `sizeBytes` large, will not be stored or is larger than wanted. */
  #refuseUseless(sizeBytes: number): void {
    if (this.#isOver || this.#readers.size > 0 || this.#head?.outcome !== 'response') return;
    const isTooLarge = sizeBytes > this.maxBytes;
    if (!isTooLarge && this.#writer !== undefined && !this.#writer.isAbandoned()) return;
    this.#exchange?.abort();
    this.#writer?.abort();
    const reason = this.#isForgotten ? 'purged' : (this.#head.refusal ?? 'store');
    this.#finish({ end: 'refused', reason: isTooLarge ? 'size' : reason });
  }

  #confirm(object: StoredObject): void {
    const head = { outcome: 'confirmed', object } as const;
    this.#head = head;
    this.#finish({ end: 'stored', object });
    for (const reader of [...this.#readers]) {
      this.#readers.delete(reader);
      reader.listener.onHead(head, reader);
    }
  }

  #onBytes(bytes: Buffer): void {
    if (this.#isOver || this.#head?.outcome !== 'response') return;
    this.#tools.counters.originBytes[this.request.purpose] += bytes.length;
    this.window.append(bytes);
    this.#writer?.write(bytes);
    this.#wake();
    this.balance();
    if (this.priority !== 'viewer') this.#pace(bytes.length);
    this.#refuseUseless(this.window.end);
  }

  /** Slows a fill that no viewer waits for: to its cap, and behind whoever is more urgent. */
  #pace(count: number): void {
    const now = performance.now();
    this.#paceAt = Math.max(this.#paceAt, now) + (count / this.bytesPerSecond) * 1000;
    this.#yieldUntil = now + (count / YIELDING_BYTES_PER_SECOND) * 1000;
    if (this.#paceTimer === undefined && this.#waitMs() >= 1) {
      this.#exchange?.pause();
      this.#awaitTurn();
    }
  }

  #waitMs(): number {
    const until = this.#tools.isOutranked(this.priority) ? Math.max(this.#paceAt, this.#yieldUntil) : this.#paceAt;
    return until - performance.now();
  }

  #awaitTurn(): void {
    const waitMs = this.#waitMs();
    if (waitMs < 1) this.#endPause();
    else this.#paceTimer = setTimeout(() => this.#awaitTurn(), Math.min(waitMs, YIELD_MS));
  }

  #endPause(): void {
    clearTimeout(this.#paceTimer);
    this.#paceTimer = undefined;
    if (!this.#isFull) this.#exchange?.resume();
  }

  #wake(): void {
    for (const reader of [...this.#readers]) reader.listener.onReady(reader);
  }

  #onEnd(): void {
    if (this.#isOver || this.#head?.outcome !== 'response') return;
    const { lengthBytes } = this.#head.response;
    if (lengthBytes !== undefined && lengthBytes !== this.window.end) {
      this.#fail(new CacheError('CACHE_ORIGIN_CUT', 'The body has not the length that its head said.'));
      return;
    }
    this.isComplete = true;
    this.#wake();
    const writer = this.#writer;
    const refused = { end: 'refused', reason: this.#head.refusal ?? 'store' } as const;
    if (writer === undefined) {
      this.#finish(refused);
      return;
    }
    writer.finish().then(
      (object) => {
        if (object === undefined) return this.#finish(refused);
        if (this.#isForgotten) {
          this.#tools.store.remove(object);
          return this.#finish({ end: 'refused', reason: 'purged' });
        }
        this.#countPrefetch(object);
        this.#finish({ end: 'stored', object });
      },
      (error: unknown) => {
        this.#tools.log('error', 'store.finish-failed', { error: String(error) });
        this.#finish(refused);
      },
    );
  }

  #countPrefetch(object: StoredObject): void {
    if (!isPrefetch(object.purpose)) return;
    const { prefetch } = this.#tools.counters;
    prefetch.storedBytes += object.lengthBytes;
    // A viewer joined while it was still coming: that was its first use.
    if (this.hadViewer && this.#tools.store.touch(object).isFirst) prefetch.usefulBytes += object.lengthBytes;
  }

  #fail(error: CacheError): void {
    if (this.#isOver || this.isComplete) return;
    this.#writer?.abort();
    this.#finish({ end: 'failed', error });
    for (const reader of [...this.#readers]) {
      this.#readers.delete(reader);
      reader.listener.onError(error);
    }
    this.#release();
  }

  #finish(end: FillEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#paceTimer);
    this.#onOver(this);
    this.#resolveDone(end);
    if (this.#readers.size === 0) this.#release();
  }
}
