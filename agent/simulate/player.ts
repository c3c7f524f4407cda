// A simulated player of segmented video: one request at a time, a buffer, and one of two ways to choose renditions. It
// plays on a clock that is handed in. Pure.
import { partAt, type Timeline, type TimelineTrack } from '../prefetch/timeline.ts';

/** A request under way, as the edge fills it in. */
export type Transfer = {
  readonly url: string;
  readonly bytes: number;
  readonly isHit: boolean;
  readonly startedMs: number;
  received: number;
};

/** Where a player sends its requests. */
export type Edge = {
  readonly request: (url: string, bytes: number) => Transfer;
  /** The player no longer waits for it. */
  readonly abandon: (transfer: Transfer) => void;
};

/** By what a player was asked for. */
export type Cause = 'start' | 'seek' | 'switch' | 'next';

/** One finished or begun request, for the figures. */
export type PlayerRequest = { readonly transfer: Transfer; readonly cause: Cause };

/** How a player chooses renditions: by throughput as hls.js, or by its buffer once it is filled, as dash.js. */
export type AbrKind = 'throughput' | 'buffer';

/** hls.js 1.x defaults. */
const DEFAULT_ESTIMATE_BPS = 500_000;
const FAST_SECONDS = 3;
const SLOW_SECONDS = 9;
const UP_FACTOR = 0.7;
const STAY_FACTOR = 0.95;
const BUFFER_SECONDS = 30;
/** A picture is shown from so much on, and choice by the buffer begins with so much. */
const START_SECONDS = 2;
const FILLED_SECONDS = 10;
/** Behind the picture nothing is dropped that is nearer. */
const BACK_BUFFER_SECONDS = 30;
/** Buffer-based choice: lowest rendition below, highest above, in proportion between (Huang et al., SIGCOMM 2014). */
const RESERVOIR_SECONDS = 6;
const CUSHION_SECONDS = 22;
const PLAYLIST_BYTES = 20_000;

/** Exponential mean by seconds of download, corrected for its zero start (hls.js utils/ewma). */
class Ewma {
  readonly #halfLife: number;
  #value = 0;
  #weight = 0;

  constructor(halfLife: number) {
    this.#halfLife = halfLife;
  }

  sample(weight: number, value: number): void {
    const old = 0.5 ** (weight / this.#halfLife);
    this.#value = old * this.#value + (1 - old) * value;
    this.#weight += weight;
  }

  get estimate(): number {
    const known = 1 - 0.5 ** (this.#weight / this.#halfLife);
    return known > 0 ? this.#value / known : 0;
  }
}

/** What is told to the edge with each request, as CMCD has it. */
export type PlayerState = {
  readonly throughputKbps: number;
  readonly bufferMs: number;
  readonly topBitrateKbps: number;
};

/** A player with one title after another. */
export class Player {
  readonly #edge: Edge;
  readonly #abr: AbrKind;
  readonly #onRequest: (request: PlayerRequest) => void;
  #fast = new Ewma(FAST_SECONDS);
  #slow = new Ewma(SLOW_SECONDS);
  #hasSample = false;
  #timeline: Timeline | undefined;
  #video: readonly TimelineTrack[] = [];
  /** URLs still to be asked for before the next segment. */
  #before: { readonly url: string; readonly bytes: number }[] = [];
  #transfer: Transfer | undefined;
  #isSegment = false;
  #cause: Cause = 'start';
  #track: TimelineTrack | undefined;
  #known = new Set<TimelineTrack>();
  #index = 0;
  /** Media seconds that are there: from, to. */
  #from = 0;
  #to = 0;
  /** Of a player that can choose both ways: by which it does now. */
  #isByBuffer = false;
  /** What it shows no picture for. */
  #waitsFor: 'start' | 'seek' | 'stall' | undefined = 'start';
  positionSeconds = 0;
  isPaused = false;
  /** Wall time of the last start or jump; first picture: that of its end. */
  waitedMs = 0;
  hasPicture = false;
  stalls = 0;
  stalledMs = 0;

  constructor(edge: Edge, abr: AbrKind, onRequest: (request: PlayerRequest) => void) {
    this.#edge = edge;
    this.#abr = abr;
    this.#onRequest = onRequest;
  }

  get state(): PlayerState {
    const top = this.#video.at(-1)?.bandwidthBps ?? 0;
    return {
      throughputKbps: this.#estimateBps / 1000,
      bufferMs: this.#bufferSeconds * 1000,
      topBitrateKbps: top / 1000,
    };
  }

  get titleId(): string | undefined {
    return this.#timeline?.titleId;
  }

  get isEnded(): boolean {
    return this.#timeline !== undefined && this.positionSeconds >= this.#timeline.durationSeconds - 0.1;
  }

  get #bufferSeconds(): number {
    return Math.max(0, this.#to - this.positionSeconds);
  }

  get #estimateBps(): number {
    return this.#hasSample ? Math.min(this.#fast.estimate, this.#slow.estimate) : DEFAULT_ESTIMATE_BPS;
  }

  /** Opens a title at its beginning. */
  open(timeline: Timeline): void {
    this.close();
    this.#timeline = timeline;
    this.#video = timeline.tracks
      .filter(({ kind }) => kind === 'video')
      .toSorted((one, other) => one.bandwidthBps - other.bandwidthBps);
    this.#before = [{ url: timeline.masterUrl, bytes: 2_000 }];
    this.#known = new Set();
    this.#track = undefined;
    this.#restart(0, 'start');
    this.hasPicture = false;
    if (this.#abr === 'buffer') return;
    // hls.js measures anew for each title; dash.js keeps what it knows.
    this.#fast = new Ewma(FAST_SECONDS);
    this.#slow = new Ewma(SLOW_SECONDS);
    this.#hasSample = false;
  }

  close(): void {
    if (this.#transfer !== undefined) this.#edge.abandon(this.#transfer);
    this.#transfer = undefined;
    this.#timeline = undefined;
  }

  /** Jumps; true when what is there does not reach that far. */
  seek(seconds: number): boolean {
    const isThere = seconds >= this.#from && seconds < this.#to - 0.1;
    this.positionSeconds = seconds;
    if (isThere) {
      // At the edge of what is there it waits for what is on its way: for the jump, not for a stall.
      if (this.#bufferSeconds < START_SECONDS && this.#waitsFor === undefined) this.#waitsFor = 'seek';
      return false;
    }
    if (this.#transfer !== undefined && this.#isSegment) {
      this.#edge.abandon(this.#transfer);
      this.#transfer = undefined;
    }
    this.#restart(seconds, this.hasPicture ? 'seek' : 'start');
    return true;
  }

  #restart(seconds: number, cause: 'start' | 'seek'): void {
    this.#cause = cause;
    this.#waitsFor = cause;
    this.positionSeconds = seconds;
    this.#from = seconds;
    this.#to = seconds;
    this.#isByBuffer = false;
    this.waitedMs = 0;
    const track = this.#video[0];
    this.#index = track === undefined ? 0 : partAt(track, seconds);
  }

  /** Goes on by `ms`. */
  step(nowMs: number, ms: number): void {
    if (this.#timeline === undefined) return;
    this.#receive(nowMs);
    if (this.#transfer === undefined) this.#ask();
    this.#play(ms);
  }

  #receive(nowMs: number): void {
    const transfer = this.#transfer;
    if (transfer === undefined) return;
    const seconds = Math.max(0.001, (nowMs - transfer.startedMs) / 1000);
    if (transfer.received < transfer.bytes) {
      this.#giveUpSlow(transfer, seconds);
      return;
    }
    this.#transfer = undefined;
    if (!this.#isSegment) return;
    this.#fast.sample(seconds, (transfer.bytes * 8) / seconds);
    this.#slow.sample(seconds, (transfer.bytes * 8) / seconds);
    this.#hasSample = true;
    const part = this.#track?.parts[this.#index];
    if (part === undefined) return;
    this.#to = part.startSeconds + part.durationSeconds;
    this.#from = Math.max(Math.min(this.#from, part.startSeconds), this.positionSeconds - BACK_BUFFER_SECONDS);
    this.#index += 1;
    this.#show();
  }

  /** Shows the picture as soon as there is enough of it. */
  #show(): void {
    const isEnd = this.#timeline !== undefined && this.#to >= this.#timeline.durationSeconds - 0.1;
    if (this.#waitsFor === undefined || (this.#bufferSeconds < START_SECONDS && !isEnd)) return;
    this.#waitsFor = undefined;
    this.hasPicture = true;
    this.#cause = 'next';
  }

  /** A segment that comes too slowly for the buffer is given up for a lower rendition (hls.js, abandonment rule). */
  #giveUpSlow(transfer: Transfer, seconds: number): void {
    const lowest = this.#video[0];
    if (!this.#isSegment || this.#track === lowest || seconds < 1 || lowest === undefined) return;
    if (this.isPaused || this.#waitsFor !== undefined) return;
    const bps = Math.max(1, (transfer.received * 8) / seconds);
    const leftSeconds = ((transfer.bytes - transfer.received) * 8) / bps;
    const lowSeconds = (lowest.bandwidthBps * 4) / bps;
    if (leftSeconds <= this.#bufferSeconds + 0.5 || lowSeconds >= leftSeconds) return;
    this.#edge.abandon(transfer);
    this.#transfer = undefined;
    this.#fast.sample(seconds, bps);
    this.#slow.sample(seconds, bps);
    this.#hasSample = true;
  }

  #ask(): void {
    const track = this.#track;
    const isOver = track !== undefined && this.#index >= track.parts.length;
    if (isOver || this.#bufferSeconds >= BUFFER_SECONDS) return;
    const first = this.#before.shift();
    if (first !== undefined) {
      this.#send(first.url, first.bytes, false);
      return;
    }
    const chosen = this.#choose();
    const isSwitch = track !== undefined && chosen !== track;
    this.#track = chosen;
    if (chosen === undefined) return;
    if (!this.#known.has(chosen)) {
      this.#known.add(chosen);
      this.#before = [
        ...(chosen.playlistUrl === undefined ? [] : [{ url: chosen.playlistUrl, bytes: PLAYLIST_BYTES }]),
        ...(chosen.initUrl === undefined ? [] : [{ url: chosen.initUrl, bytes: chosen.initBytes ?? 0 }]),
      ];
    }
    if (isSwitch && this.#cause === 'next') this.#cause = 'switch';
    this.#askChosen(chosen);
  }

  #askChosen(chosen: TimelineTrack): void {
    const first = this.#before.shift();
    const part = chosen.parts[this.#index];
    if (first !== undefined) this.#send(first.url, first.bytes, false);
    else if (part !== undefined) {
      this.#send(part.url, part.bytes ?? 0, true);
      if (this.#waitsFor !== 'start') this.#cause = 'next';
    }
  }

  #send(url: string, bytes: number, isSegment: boolean): void {
    const transfer = this.#edge.request(url, bytes);
    this.#transfer = transfer;
    this.#isSegment = isSegment;
    if (isSegment || this.#cause === 'start') this.#onRequest({ transfer, cause: this.#cause });
  }

  #choose(): TimelineTrack | undefined {
    const byThroughput = this.#chooseByThroughput();
    if (this.#abr === 'throughput') return byThroughput;
    // dash.js DYNAMIC: by the buffer once there is some and it asks for no less (Spiteri et al., MMSys 2018, section 4).
    const byBuffer = this.#chooseByBuffer();
    const isMore = (byBuffer?.bandwidthBps ?? 0) >= (byThroughput?.bandwidthBps ?? 0);
    const hasEnough = this.#bufferSeconds >= FILLED_SECONDS;
    if (isMore === hasEnough) this.#isByBuffer = isMore;
    return this.#isByBuffer ? byBuffer : byThroughput;
  }

  #chooseByThroughput(): TimelineTrack | undefined {
    const track = this.#track;
    const bps = this.#estimateBps;
    const best = this.#video.findLast(({ bandwidthBps }) => bandwidthBps <= bps * UP_FACTOR) ?? this.#video[0];
    if (track === undefined || best === undefined || best.bandwidthBps > track.bandwidthBps) return best;
    return track.bandwidthBps <= bps * STAY_FACTOR ? track : best;
  }

  #chooseByBuffer(): TimelineTrack | undefined {
    const low = this.#video[0]?.bandwidthBps ?? 0;
    const high = this.#video.at(-1)?.bandwidthBps ?? 0;
    const share = (this.#bufferSeconds - RESERVOIR_SECONDS) / (CUSHION_SECONDS - RESERVOIR_SECONDS);
    const bps = low + Math.max(0, Math.min(1, share)) * (high - low);
    return this.#video.findLast(({ bandwidthBps }) => bandwidthBps <= bps);
  }

  #play(ms: number): void {
    if (this.#waitsFor !== undefined) {
      this.waitedMs += ms;
      if (this.#waitsFor === 'stall') this.stalledMs += ms;
      return;
    }
    if (this.isPaused) return;
    this.positionSeconds = Math.min(this.#to, this.positionSeconds + ms / 1000);
    if (this.#bufferSeconds > 0.01 || this.isEnded) return;
    this.#waitsFor = 'stall';
    this.stalls += 1;
  }
}
