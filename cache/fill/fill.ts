// One origin fetch per key however many wait: its bytes go to every viewer and to the store at once, and no viewer
// owns it. An object larger than the window is paced by its fastest reader; who falls behind goes on by itself.
import type { Priority } from '../contract.ts';
import { type FillHead, FillReader, type Listener } from '../deliver/reader.ts';
import { CacheError } from '../errors.ts';
import type { Exchange, OriginHead } from '../origin/exchange.ts';
import { validatorsOf } from '../rules/conditional.ts';
import type { Fields } from '../rules/fields.ts';
import { type Part, rangeField } from '../rules/range.ts';
import { isSameVersion } from '../rules/slices.ts';
import { variantOf } from '../rules/vary.ts';
import { type PartHead, partHead } from '../slices/part-head.ts';
import { SliceWriter } from '../slices/slice-writer.ts';
import type { BodyWriter, StoredObject } from '../store/object.ts';
import type { FillRequest, FillTools, KeptHead } from './fill-head.ts';
import { countPrefetch, hintFor, isAdmitted, isForAll, keptHead, revalidated } from './fill-head.ts';
import { Pace } from './pace.ts';
import { OWN_WINDOW_BYTES, Room } from './room.ts';
import type { FillWindow } from './window.ts';

/** A fill that nobody waits for any more still ends when the caller expects at least this of its key. */
const WORTH_FINISHING = 0.5;

/** A head that takes longer is being held back by the origin, as that of a live playlist. */
const HELD_AFTER_MS = 1000;

/** How a fill ended, for those who wait for nothing else. */
export type FillEnd =
  | { readonly end: 'stored'; readonly object: StoredObject }
  | { readonly end: 'refused'; readonly reason: string }
  | { readonly end: 'failed'; readonly error: CacheError };

/** A running fill. */
export class Fill {
  readonly request: FillRequest;
  /** The blocks that it brings; undefined: all of the object. */
  part: Part | undefined;
  readonly done: Promise<FillEnd>;
  isComplete = false;
  /** Of a fill without viewers. */
  readonly pace: Pace;
  /** The largest body that is fetched for keepers alone; Infinity: whatever the store takes. */
  maxBytes = Number.POSITIVE_INFINITY;
  priority: Priority;
  /** Those who wait for the end without reading. */
  keepers = 0;
  hadViewer = false;
  readonly #tools: FillTools;
  readonly #onOver: (fill: Fill) => void;
  readonly #room: Room;
  #head: FillHead | undefined;
  /** The head of what is coming: of the whole representation, even when only blocks of it come. */
  #kept: KeptHead | undefined;
  /** Where the body must end; undefined: not known. */
  #end: number | undefined;
  #exchange: Exchange | undefined;
  #writer: BodyWriter | undefined;
  #startedMs = 0;
  #isOver = false;
  #isForgotten = false;
  #isAdmitted: boolean | undefined;
  #isFull = false;
  #isWanted = false;
  #resolveDone: (end: FillEnd) => void = () => undefined;

  constructor(request: FillRequest, priority: Priority, tools: FillTools, onEnd: (fill: Fill) => void) {
    this.#onOver = onEnd;
    this.request = request;
    this.part = request.part;
    this.#room = new Room(tools.windows);
    this.priority = priority;
    this.pace = new Pace({
      isOutranked: () => tools.isOutranked(this.priority),
      spare: tools.spare,
      onPause: () => this.#exchange?.pause(),
      onResume: () => {
        if (!this.#isFull) this.#exchange?.resume();
      },
    });
    this.#tools = tools;
    this.done = new Promise((resolve) => {
      this.#resolveDone = resolve;
    });
  }

  /** Whether it takes bytes now or soon; one whose head the origin holds back for long does not. */
  get isMoving(): boolean {
    return this.#kept !== undefined || performance.now() - this.#startedMs < HELD_AFTER_MS;
  }

  get window(): FillWindow {
    return this.#room.window;
  }

  /** Asks the origin. `validates` false: unconditionally. */
  start(validates = true): void {
    const { origin, resource, fields, revalidates, purpose } = this.request;
    this.#tools.counters.originRequests[purpose] += 1;
    this.#startedMs = performance.now();
    const conditions = validates && revalidates !== undefined ? validatorsOf(revalidates.headers) : [];
    const range: Fields = this.part === undefined ? [] : [['range', rangeField(this.part)]];
    this.#exchange = origin.fetch(
      { method: 'GET', resource, headers: [...fields, ...conditions, ...range] },
      {
        onInterim: (interim) => {
          for (const { listener } of this.#room.readers) listener.onInterim?.(interim);
        },
        onHead: (head) => this.#onHead(head),
        onBytes: (bytes) => this.#onBytes(bytes),
        onEnd: () => this.#onEnd(),
        onError: (error) => this.#fail(error),
      },
    );
  }

  /** Whether a viewer may still join and get what it asks for. `variantNames`: fields that its key is known to vary on. */
  accepts({ fields, part, version }: FillRequest, variantNames: readonly string[]): boolean {
    if (this.#isOver || this.#isForgotten || !this.#reaches(part)) return false;
    const head = this.#head;
    if (head === undefined) return variantOf(variantNames, fields) === variantOf(variantNames, this.request.fields);
    if (this.#kept === undefined || !this.#isFor(this.#kept, fields)) return false;
    if (version === undefined) return this.#kept.isFresh;
    return head.outcome === 'slices' && isSameVersion(head.sliced.version, version);
  }

  #reaches(part: Part | undefined): boolean {
    if (part !== undefined && this.part !== undefined) return this.brings(part.start);
    if (this.part !== undefined || this.window.start > 0) return false;
    // All of it is coming: worth waiting for what is near.
    return part === undefined || part.start <= this.window.end + OWN_WINDOW_BYTES;
  }

  /** Whether it is a fetch of blocks that brings, or still has, the byte at this offset. */
  brings(offset: number): boolean {
    if (this.part === undefined || this.#isForgotten || this.#isOver) return false;
    const start = this.#head === undefined ? this.part.start : Math.max(this.part.start, this.window.start);
    return start <= offset && offset < this.part.end;
  }

  /** Fields that the head's Vary names, once it has come. */
  get variesOn(): readonly string[] {
    return this.#kept?.response.varyOn ?? [];
  }

  /** Names of what comes (tags, groups), once its head has come. */
  get tags(): readonly string[] | undefined {
    return this.#head?.outcome === 'response' ? this.#head.response.tags : undefined;
  }

  join(fields: Fields, listener: Listener): FillReader {
    const reader = new FillReader(this, fields, listener, this.#exchange !== undefined);
    this.#room.readers.add(reader);
    this.hadViewer = true;
    if (this.priority !== 'viewer') {
      this.priority = 'viewer';
      this.pace.release();
    }
    const head = this.#head;
    if (head !== undefined) listener.onHead(head, reader);
    return reader;
  }

  leave(reader: FillReader): void {
    if (!this.#room.readers.delete(reader)) return;
    // Who got all that it asked for, a range perhaps, has shown that the object is wanted; who left early has not.
    if (reader.isAtEnd()) this.#isWanted = true;
    if (this.#isOver) {
      if (this.#room.readers.size === 0) this.#room.release();
      return;
    }
    if (this.#room.readers.size === 0 && this.keepers === 0 && !this.#isWorthFinishing()) this.cancel();
    else this.balance();
  }

  /** A keeper no longer waits. */
  release(): void {
    this.keepers -= 1;
    if (!this.#isOver && this.#room.readers.size === 0 && this.keepers === 0) this.cancel();
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
    if (!this.#room.isRoomy()) this.#room.make(!this.#isOver);
    this.#room.account();
    const isFull = !this.#isOver && !this.#room.isRoomy();
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    if (isFull) this.#exchange?.pause();
    else if (!this.pace.isWaiting) this.#exchange?.resume();
  }

  #isWorthFinishing(): boolean {
    if (this.#kept === undefined || this.#writer === undefined || this.#writer.isAbandoned()) return false;
    const start = this.part?.start ?? 0;
    const isMostlyThere = this.#end !== undefined && (this.window.end - start) * 2 > this.#end - start;
    if (this.#isWanted || isMostlyThere) return true;
    return this.part === undefined && (this.#tools.worth?.(this.request.key) ?? 0) >= WORTH_FINISHING;
  }

  #isFor(kept: KeptHead, fields: Fields): boolean {
    return variantOf(kept.response.varyOn, fields) === kept.response.variant;
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
    if (this.part === undefined) this.#onWholeHead(received);
    else this.#onPartHead(received, this.part);
  }

  #onPartHead(received: OriginHead, part: Part): void {
    const keeps = !this.#isForgotten && this.#admitted();
    const head = partHead(received, { part, keeps }, this.request, this.#tools);
    if (head.outcome === 'whole') {
      this.part = undefined;
      this.#onWholeHead(head.received);
      return;
    }
    if (head.outcome === 'slices') {
      this.#onSlices(head, part.start);
      return;
    }
    this.#exchange?.abort();
    if (head.outcome === 'confirmed') this.#confirm(head.object);
    else if (head.outcome === 'invalid') {
      this.#fail(new CacheError('CACHE_ORIGIN_INVALID', 'The 206 is not the part that was asked for.'));
    } else this.#close(head, { end: 'refused', reason: head.outcome });
  }

  #admitted(): boolean {
    this.#isAdmitted ??= isAdmitted(this.request, this.#tools);
    return this.#isAdmitted;
  }

  #onSlices({ sliced, kept, end }: Extract<PartHead, { outcome: 'slices' }>, start: number): void {
    const { store } = this.#tools;
    this.part = { start, end };
    this.#room.restart(start);
    this.#kept = kept;
    this.#end = end;
    if (kept.isStored && !this.#isForgotten) {
      this.#writer = new SliceWriter({
        ...{ store, response: kept.response, version: sliced.version, start },
        hint: hintFor(this.request, this.#tools),
        head: () => store.find(this.request.key).find(({ variant }) => variant === kept.response.variant),
      });
    }
    this.#tools.onHead(this.request.key, null);
    this.#announce({ outcome: 'slices', sliced, isStored: this.#writer !== undefined }, kept);
  }

  #onWholeHead(received: OriginHead): void {
    const { request } = this;
    const kept = keptHead(received, request, this.#tools);
    if (kept.refusal === null && !this.#isForgotten && this.#admitted()) {
      this.#writer = this.#tools.store.write(kept.response, hintFor(request, this.#tools));
    }
    this.#kept = kept;
    this.#end = kept.response.lengthBytes;
    if (!isForAll(kept)) this.#tools.onHead(request.key, kept.refusal);
    this.#announce({ outcome: 'response', ...kept, isStored: this.#writer !== undefined }, kept);
    this.#refuseUseless(kept.response.lengthBytes ?? 0);
  }

  /** Tells the head to those whose answer it is. */
  #announce(head: FillHead, kept: KeptHead): void {
    this.#head = head;
    const isForOthers = kept.refusal === null || isForAll(kept);
    let isFirst = true;
    for (const reader of [...this.#room.readers]) {
      const isShared = isFirst || (isForOthers && this.#isFor(kept, reader.fields));
      isFirst = false;
      if (isShared) reader.listener.onHead(head, reader);
      else {
        this.#room.readers.delete(reader);
        reader.listener.onUnshared();
      }
    }
  }

  /** Ends a fetch without viewers whose object, at least `sizeBytes` large, will not be stored or is larger than wanted. */
  #refuseUseless(sizeBytes: number): void {
    if (this.#isOver || this.#room.readers.size > 0 || this.#kept === undefined) return;
    const isTooLarge = sizeBytes > this.maxBytes;
    if (!isTooLarge && this.#writer !== undefined && !this.#writer.isAbandoned()) return;
    this.#exchange?.abort();
    this.#writer?.abort();
    const reason = this.#isForgotten ? 'purged' : (this.#kept.refusal ?? 'store');
    this.#finish({ end: 'refused', reason: isTooLarge ? 'size' : reason });
  }

  #confirm(object: StoredObject): void {
    this.#close({ outcome: 'confirmed', object }, { end: 'stored', object });
  }

  /** Ends with a head that no body follows. */
  #close(head: FillHead, end: FillEnd): void {
    this.#head = head;
    this.#finish(end);
    for (const reader of [...this.#room.readers]) {
      this.#room.readers.delete(reader);
      reader.listener.onHead(head, reader);
    }
  }

  #onBytes(bytes: Buffer): void {
    if (this.#isOver || this.#kept === undefined) return;
    this.#tools.counters.originBytes[this.request.purpose] += bytes.length;
    this.window.append(bytes);
    this.#writer?.write(bytes);
    this.#wake();
    this.balance();
    if (this.priority !== 'viewer') this.pace.took(bytes.length);
    if (this.part === undefined) this.#refuseUseless(this.window.end);
  }

  #wake(): void {
    for (const reader of [...this.#room.readers]) reader.listener.onReady(reader);
  }

  #onEnd(): void {
    if (this.#isOver || this.#kept === undefined) return;
    if (this.#end !== undefined && this.#end !== this.window.end) {
      this.#fail(new CacheError('CACHE_ORIGIN_CUT', 'The body has not the length that its head said.'));
      return;
    }
    this.isComplete = true;
    this.#wake();
    const writer = this.#writer;
    const refused = { end: 'refused', reason: this.#kept.refusal ?? 'store' } as const;
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
        countPrefetch(object, this.hadViewer, this.#tools);
        this.#finish({ end: 'stored', object });
      },
      (error: unknown) => {
        this.#tools.log('error', 'store.finish-failed', { error: String(error) });
        this.#finish(refused);
      },
    );
  }

  #fail(error: CacheError): void {
    if (this.#isOver || this.isComplete) return;
    this.#writer?.abort();
    this.#finish({ end: 'failed', error });
    for (const reader of [...this.#room.readers]) {
      this.#room.readers.delete(reader);
      reader.listener.onError(error);
    }
    this.#room.release();
  }

  #finish(end: FillEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.pace.stop();
    this.#onOver(this);
    this.#resolveDone(end);
    if (this.#room.readers.size === 0) this.#room.release();
  }
}
