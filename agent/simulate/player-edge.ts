// The edge of the simulated site: a cache, one link to the origin that all share, and prefetch that gives way to viewers as
// the real cache's fills do, deciding by the real code (agent/prefetch/decide.ts). Time is handed in. Pure.
import type { Intent } from '../predict/anticipate.ts';
import { type Decided, type Decider, type Happened, openDecider } from '../prefetch/decide.ts';
import type { FetchItem } from '../prefetch/fetcher.ts';
import { beginningOf } from '../prefetch/follow.ts';
import type { Viewing } from '../prefetch/rendition.ts';
import type { Timeline } from '../prefetch/timeline.ts';
import { nextInTurn } from '../prefetch/turn.ts';
import { openUsefulness, type Usefulness } from '../prefetch/usefulness.ts';
import type { Transfer } from './player.ts';

/** The network of the site. */
export type Link = {
  /** From a request at the origin to its first byte. */
  readonly originMs: number;
  /** Of one fetch: what a connection with a window of 80 KB gets over 80 ms. */
  readonly fetchBps: number;
  /** Of all fetches together. */
  readonly originBps: number;
  /** From a player's request to the edge's first byte, when it has it. */
  readonly edgeMs: number;
};

/** What the edge is. `prefetch` false: it only caches. */
export type EdgeOptions = {
  readonly link: Link;
  readonly cacheBytes: number;
  readonly prefetch: boolean;
  readonly titles: ReadonlyMap<string, Timeline>;
  readonly nextOf: (titleId: string) => string | undefined;
  /** With prefetch, so many seconds of these titles are in the cache before anybody comes: what is protected, and kept. */
  readonly warm: ReadonlyMap<string, number>;
  readonly maxWastedRatio: number;
  /** Titles that the region's other viewers keep in the cache, with prefetch and without. */
  readonly kept: ReadonlySet<string>;
};

type Fetch = {
  readonly url: string;
  readonly bytes: number;
  readonly startedMs: number;
  received: number;
  /** Undefined: a viewer's. */
  item: FetchItem | undefined;
  viewers: number;
};

type Sending = {
  readonly transfer: Transfer;
  readonly bps: () => number;
  readonly onEnd: (transfer: Transfer, ms: number) => void;
};

/** As agent/prefetch/fetcher.ts and cache/fill/pace.ts have them. */
const FETCHES = 4;
const YIELDING_BPS = 32 * 1024 * 8;
const FOREIGN_BYTES = 20_000;

/** Bytes that came from the origin, and objects of prefetch by what became of them. */
export type EdgeFigures = { viewerBytes: number; prefetchBytes: number; warmBytes: number };

/** The edge of a site. */
export class SiteEdge {
  readonly #options: EdgeOptions;
  /** Least recently used first. */
  readonly #held = new Map<string, number>();
  readonly #kept = new Set<string>();
  readonly #pinned = new Map<string, number>();
  #usedBytes = 0;
  readonly #fetches = new Map<string, Fetch>();
  readonly #sending = new Set<Sending>();
  readonly #waiting = new Map<string, FetchItem>();
  readonly usefulness: Usefulness;
  readonly #decider: Decider;
  readonly figures: EdgeFigures = { viewerBytes: 0, prefetchBytes: 0, warmBytes: 0 };
  #nowMs = 0;

  constructor(options: EdgeOptions) {
    this.#options = options;
    this.usefulness = openUsefulness({ maxWastedRatio: options.maxWastedRatio });
    this.#decider = openDecider({ usefulness: this.usefulness, isHeld: (url) => this.holds(url) });
    for (const titleId of options.kept) this.#keep(options.titles.get(titleId));
    if (!options.prefetch) return;
    for (const [titleId, seconds] of options.warm) {
      const timeline = options.titles.get(titleId);
      for (const { url, bytes } of timeline === undefined ? [] : beginningOf(timeline, seconds)) {
        if (this.holds(url)) continue;
        this.#pinned.set(url, bytes || FOREIGN_BYTES);
        this.figures.warmBytes += bytes || FOREIGN_BYTES;
      }
    }
    this.#usedBytes = this.figures.warmBytes;
  }

  #keep(timeline: Timeline | undefined): void {
    for (const { parts, playlistUrl, initUrl } of timeline?.tracks ?? []) {
      for (const url of [timeline?.masterUrl, playlistUrl, initUrl]) if (url !== undefined) this.#kept.add(url);
      for (const { url } of parts) this.#kept.add(url);
    }
  }

  holds(url: string): boolean {
    return this.#kept.has(url) || this.#pinned.has(url) || this.#held.has(url);
  }

  /** A player asks; bytes come at most as fast as `bps`. `onEnd` hears of its end and how long it took. */
  request(url: string, bytes: number, last: Omit<Sending, 'transfer'>): Transfer {
    const isHit = this.holds(url);
    this.usefulness.asked(url, isHit);
    const transfer = { url, bytes, isHit, startedMs: this.#nowMs, received: 0 };
    if (isHit) this.#touch(url);
    else this.#join(url, bytes);
    this.#sending.add({ transfer, ...last });
    return transfer;
  }

  #join(url: string, bytes: number): void {
    this.#waiting.delete(url);
    const running = this.#fetches.get(url);
    if (running !== undefined) running.viewers += 1;
    else this.#fetches.set(url, { url, bytes, startedMs: this.#nowMs, received: 0, item: undefined, viewers: 1 });
  }

  /** A player left before the end. */
  abandon(transfer: Transfer): void {
    for (const sending of this.#sending) if (sending.transfer === transfer) this.#sending.delete(sending);
    const filling = this.#fetches.get(transfer.url);
    if (filling === undefined) return;
    filling.viewers -= 1;
    const isMostlyThere = filling.received * 2 > filling.bytes;
    if (filling.viewers <= 0 && filling.item === undefined && !isMostlyThere) this.#end(filling, false);
  }

  /** A request was answered. */
  served(path: string, titleId: string, viewing: Viewing, intent: Intent): void {
    const timeline = this.#options.titles.get(titleId);
    if (!this.#options.prefetch || timeline === undefined) return;
    const nextId = this.#options.nextOf(titleId);
    const isNear = nextId !== undefined && this.#decider.isNearEnd(timeline, path);
    const next = isNear ? this.#options.titles.get(nextId) : undefined;
    const decided = this.#decider.asked({ path, timeline, next, viewing, intent, now: this.#nowMs });
    if (decided !== undefined) this.#obey(decided);
  }

  happened(what: Happened): void {
    if (!this.#options.prefetch) return;
    this.#obey(this.#decider.happened(what, this.#nowMs));
    const timeline = this.#options.titles.get(what.titleId);
    if (what.type !== 'hover' || timeline === undefined) return;
    this.#obey(this.#decider.start(timeline, { reason: 'hover', chance: 0.4, sid: what.sid }, this.#nowMs));
  }

  #obey({ cancel, push }: Decided): void {
    for (const url of cancel) {
      this.#waiting.delete(url);
      const filling = this.#fetches.get(url);
      if (filling?.item === undefined) continue;
      filling.item = undefined;
      if (filling.viewers === 0) this.#end(filling, false);
    }
    for (const item of push) if (!this.#fetches.has(item.url)) this.#waiting.set(item.url, item);
  }

  /** Goes on until `nowMs`, `ms` after the last time. */
  step(nowMs: number, ms: number): void {
    this.#nowMs = nowMs;
    this.#pump();
    this.#move(ms);
    for (const sending of this.#sending) this.#send(sending, ms);
  }

  sweep(): void {
    this.usefulness.sweep(this.#nowMs);
  }

  #pump(): void {
    const running: FetchItem[] = [];
    for (const { item } of this.#fetches.values()) if (item !== undefined) running.push(item);
    while (running.length < FETCHES && this.#waiting.size > 0) {
      const item = nextInTurn(this.#waiting.values(), running);
      if (item === undefined) return;
      this.#waiting.delete(item.url);
      const isLate = item.expiresAt !== undefined && item.expiresAt <= this.#nowMs;
      if (isLate || this.holds(item.url) || this.#fetches.has(item.url)) {
        if (isLate) this.#decider.settled(item.url, 'none', 0);
        continue;
      }
      const bytes = item.bytes > 0 ? item.bytes : FOREIGN_BYTES;
      this.#fetches.set(item.url, { url: item.url, bytes, startedMs: this.#nowMs, received: 0, item, viewers: 0 });
      running.push(item);
    }
  }

  /** Viewers' fetches share the link; prefetch has what they leave, and next to nothing while they move. */
  #move(ms: number): void {
    const { originMs, originBps, fetchBps } = this.#options.link;
    const isMoving = ({ startedMs }: Fetch): boolean => this.#nowMs - startedMs >= originMs;
    const all = [...this.#fetches.values()];
    const viewers = all.filter((filling) => filling.viewers > 0);
    const ahead = all.filter((filling) => filling.viewers === 0 && isMoving(filling));
    const aheadBps =
      ahead.length === 0 ? 0 : viewers.length > 0 ? YIELDING_BPS : Math.min(fetchBps, originBps / ahead.length);
    for (const filling of ahead) this.#take(filling, (aheadBps * ms) / 8000);
    const moving = viewers.filter(isMoving);
    const left = Math.max(0, originBps - aheadBps * ahead.length);
    for (const filling of moving) this.#take(filling, (Math.min(fetchBps, left / moving.length) * ms) / 8000);
  }

  #take(filling: Fetch, bytes: number): void {
    const taken = Math.min(bytes, filling.bytes - filling.received);
    filling.received += taken;
    if (filling.item === undefined) this.figures.viewerBytes += taken;
    else this.figures.prefetchBytes += taken;
    if (filling.received >= filling.bytes) this.#end(filling, true);
  }

  #end(filling: Fetch, isStored: boolean): void {
    this.#fetches.delete(filling.url);
    if (isStored) this.#store(filling.url, filling.bytes);
    if (filling.item !== undefined) this.#decider.settled(filling.url, isStored ? 'stored' : 'none', filling.bytes);
  }

  #store(url: string, bytes: number): void {
    if (this.holds(url)) return;
    this.#held.set(url, bytes);
    this.#usedBytes += bytes;
    for (const [oldest, size] of this.#held) {
      if (this.#usedBytes <= this.#options.cacheBytes) break;
      this.#held.delete(oldest);
      this.#usedBytes -= size;
    }
  }

  #touch(url: string): void {
    const bytes = this.#held.get(url);
    if (bytes === undefined) return;
    this.#held.delete(url);
    this.#held.set(url, bytes);
  }

  #send(sending: Sending, ms: number): void {
    const { transfer, bps, onEnd } = sending;
    const tookMs = this.#nowMs - transfer.startedMs;
    if (tookMs < this.#options.link.edgeMs) return;
    const there = this.holds(transfer.url)
      ? transfer.bytes
      : (this.#fetches.get(transfer.url)?.received ?? transfer.bytes);
    transfer.received = Math.min(there, transfer.received + (bps() * ms) / 8000);
    if (transfer.received < transfer.bytes) return;
    this.#sending.delete(sending);
    const filling = this.#fetches.get(transfer.url);
    if (filling !== undefined) filling.viewers -= 1;
    onEnd(transfer, tookMs);
  }
}
