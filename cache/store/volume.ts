// The health of one store directory: counts its errors, lowers its limit when the disk is full, takes it out when it
// fails and tries again later.
import { statfs } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { Demand, Log, StoreDirectory, StoreStats } from '../contract.ts';
import { CacheError } from '../errors.ts';
import { isDamaged, isFull } from './database.ts';
import { errorCode } from './disk.ts';
import { type Found, Mount, type MountEvents } from './mount.ts';
import { compareUtf8 } from './order.ts';
import { type ScrubCounters, type ScrubParts, scrub } from './scrub.ts';
import type { HostShares } from './shares.ts';

/** Errors of a directory within STRIKE_WINDOW_MS that take it out. */
const MAX_STRIKES = 5;
const STRIKE_WINDOW_MS = 10 * 60_000;
/** Until a directory that was taken out is tried again, and between two steps by which a lowered limit comes back. */
const RETRY_MS = 10_000;
/** Of the free room that a disk has again, this much is taken; the rest is the database's and the file system's own. */
const REGAINED_RATIO = 0.9;
/** Errors that say nothing about the disk: too many open files, a file that somebody removed, a name that is taken. */
const INNOCENT = new Set(['EMFILE', 'ENFILE', 'ENOENT', 'EEXIST', 'EBADF']);
/** Least time between two lowerings of the limit. */
const SHRINK_MS = 1000;
const FULL = new Set(['ENOSPC', 'EDQUOT']);

/** What may fail. */
export type Operation = StoreStats['errors'][number]['op'];

/** What a volume asks of the store. */
export type VolumeEvents = Pick<MountEvents, 'onEvict' | 'onEvictCold' | 'onCommitted' | 'onLost'> & {
  /** The scrub found something. */
  readonly onDamaged: ScrubParts['onDamaged'];
  /** It is there again, or for the first time after it was not. */
  readonly onUp: () => void;
  /** Everything of that mount that is only there is lost. */
  readonly onDown: (mount: Mount) => void;
};

/** A directory, whether what is written there is synced, in how many days it is scrubbed (0: never), and hosts' quotas. */
export type VolumeOptions = StoreDirectory & {
  readonly isSynced: boolean;
  readonly scrubDays: number;
  readonly shares: HostShares;
  readonly demand?: Demand | undefined;
};

/** One directory of the store, usable (`mount`) or not. */
export class Volume {
  readonly path: string;
  readonly maxBytes: number;
  readonly #options: VolumeOptions;
  readonly #events: VolumeEvents;
  readonly #log: Log;
  readonly #counts = new Map<Operation, number>();
  #strikes: number[] = [];
  #mount: Mount | undefined;
  #retry: NodeJS.Timeout | undefined;
  #wasMounted = false;
  #isOpening = false;
  #isClosed = false;
  /** The last mount that was taken out, letting go of the directory. */
  #leaving: Promise<void> = Promise.resolve();
  readonly scrubbed: ScrubCounters = { bytes: 0, damaged: 0, passes: 0 };
  #scrubbing = new AbortController();
  #shrunkAt = Number.NEGATIVE_INFINITY;
  #evictions = 0;

  constructor(directory: VolumeOptions, events: VolumeEvents, log: Log) {
    this.path = directory.path;
    this.maxBytes = directory.maxBytes;
    this.#options = directory;
    this.#events = events;
    this.#log = log;
  }

  /** The open directory; undefined while it is out. */
  get mount(): Mount | undefined {
    return this.#mount;
  }

  get isDegraded(): boolean {
    return this.#mount === undefined || this.#mount.limitBytes < this.maxBytes;
  }

  get evictions(): number {
    return this.#evictions + (this.#mount?.evictions ?? 0);
  }

  errors(): StoreStats['errors'] {
    return [...this.#counts].map(([op, count]) => ({ disk: this.path, op, count }));
  }

  /** Opens for the first time. Rejects with a CacheError when the directory can't be used. */
  async open(): Promise<void> {
    try {
      await this.#bringUp();
    } catch (error) {
      this.#count('open');
      if (error instanceof CacheError) throw error;
      const cause = errorCode(error) ?? String(error);
      const message = `store directory ${this.path} can't be used (${cause}): mend it, or set store.required to false`;
      throw new CacheError('CACHE_STORE_UNUSABLE', message, { cause: error, retryable: true });
    }
  }

  async #bringUp(): Promise<void> {
    // What was removed while a directory was out would come back with it: then it begins empty.
    const { isSynced, shares, demand } = this.#options;
    const start = { path: this.path, maxBytes: this.maxBytes, isSynced, shares, demand, isEmptied: this.#wasMounted };
    let mine: Mount | undefined;
    const events: MountEvents = {
      ...this.#events,
      onError: (op, error) => this.report(op, error),
      onCounted: (objects) => this.#log('info', 'store.counted', { disk: this.path, objects }),
      onDied: (error) => {
        this.report('index', error);
        if (mine !== undefined && this.#mount === mine) this.#takeOut(false);
      },
    };
    const mount = await Mount.open(start, events);
    mine = mount;
    if (this.#isClosed) {
      await mount.close(false);
      return;
    }
    this.#mount = mount;
    this.#wasMounted = true;
    this.#strikes = [];
    this.#events.onUp();
    this.#startScrub(mount);
    mount.sweep().then(
      (count) => this.#log('info', 'store.swept', { disk: this.path, count }),
      (error: unknown) => this.report('remove', error),
    );
  }

  #startScrub(mount: Mount): void {
    const { scrubDays: days } = this.#options;
    if (days === 0) return;
    this.#scrubbing = new AbortController();
    const { onDamaged } = this.#events;
    const onError: ScrubParts['onError'] = (op, error) => this.report(op, error);
    void scrub({ mount, days, counters: this.scrubbed, onDamaged, onError }, this.#scrubbing.signal);
  }

  /** From now on an absent or failing directory is tried again every RETRY_MS. */
  watch(): void {
    if (this.#isClosed || this.#retry !== undefined) return;
    this.#retry = setInterval(() => void this.#heal(), RETRY_MS);
    this.#retry.unref();
  }

  async #heal(): Promise<void> {
    const mount = this.#mount;
    if (mount !== undefined) {
      if (mount.limitBytes < this.maxBytes) await this.#regain(mount);
      return;
    }
    if (this.#isOpening) return;
    this.#isOpening = true;
    try {
      await this.#leaving; // Its lock is ours, and held until then.
      await this.#bringUp();
      this.#log('info', 'store.disk.back', { disk: this.path });
    } catch {
      this.#count('open'); // It was logged when it went out; the next retry comes by itself.
    } finally {
      this.#isOpening = false;
    }
  }

  /** Raises a lowered limit to what the file system has room for now; a slower disk than this waits for is asked later. */
  async #regain(mount: Mount): Promise<void> {
    if (this.#isOpening) return;
    this.#isOpening = true;
    try {
      const { bavail, bsize } = await statfs(this.path);
      const room = Math.max(0, mount.usedBytes) + Math.floor(bavail * bsize * REGAINED_RATIO);
      mount.limitBytes = Math.min(this.maxBytes, Math.max(mount.limitBytes, room));
    } catch (error) {
      this.report('open', error);
    } finally {
      this.#isOpening = false;
    }
  }

  /** Counts an error of this directory and judges it. */
  report(op: Operation, error: unknown): void {
    const count = this.#count(op);
    const code = errorCode(error);
    const isLoud = (count & (count - 1)) === 0; // The 1st, 2nd, 4th, 8th...: a failing disk must not flood the log.
    if (isLoud) this.#log('warn', 'store.disk.error', { disk: this.path, op, count, code, cause: String(error) });
    if (this.#mount === undefined || (code !== undefined && INNOCENT.has(code))) return;
    if (isFull(error) || (code !== undefined && FULL.has(code))) this.#shrink(this.#mount);
    else if (isDamaged(error)) this.#takeOut(true);
    else if (code === 'EROFS') this.#takeOut(false);
    else this.#strike();
  }

  #count(op: Operation): number {
    const count = (this.#counts.get(op) ?? 0) + 1;
    this.#counts.set(op, count);
    return count;
  }

  /** Once per SHRINK_MS, for many writes fail at once of the same lack of room. */
  #shrink(mount: Mount): void {
    const now = performance.now();
    if (now - this.#shrunkAt < SHRINK_MS) return;
    this.#shrunkAt = now;
    mount.limitBytes = Math.floor(Math.min(mount.limitBytes, Math.max(0, mount.usedBytes)) * 0.95);
    mount.evictTo(mount.limitBytes);
    this.#log('warn', 'store.disk.full', { disk: this.path, limitBytes: mount.limitBytes });
  }

  /** Objects of a key that are not at hand; none when the rows cannot be read. */
  lookUp(key: string): readonly Found[] {
    return this.#read((mount) => mount.lookUp(key)) ?? [];
  }

  /** At most `limit` keys that begin with `prefix` and come after `after`, in the order of their UTF-8 bytes. */
  keys(range: { readonly prefix: string; readonly limit: number; readonly after: string }): ReadonlySet<string> {
    const { prefix, limit, after } = range;
    const found = new Set<string>();
    const isFarther = compareUtf8(after, prefix) > 0;
    this.#read((mount) =>
      mount.rows.keys(isFarther ? after : prefix, (key, id) => {
        if (!key.startsWith(prefix)) return false;
        if (key !== after && !mount.group.isRemoving(id)) found.add(key);
        return found.size < limit;
      }),
    );
    return found;
  }

  /** At most `limit` keys of objects there with that tag that come after `after`, in the same order. */
  tagged(range: { readonly tag: string; readonly limit: number; readonly after: string }): ReadonlySet<string> {
    const { tag, limit, after } = range;
    const found = new Set<string>();
    this.#read((mount) =>
      mount.rows.tagged(tag, after, (key, id) => {
        const isTagged = mount.entries.get(id)?.head.tags.includes(tag) ?? true;
        if (isTagged && !mount.group.isRemoving(id)) found.add(key);
        return found.size < limit;
      }),
    );
    return found;
  }

  #read<T>(read: (mount: Mount) => T): T | undefined {
    try {
      return this.#mount === undefined ? undefined : read(this.#mount);
    } catch (error) {
      this.report('index', error);
      return undefined;
    }
  }

  /** A body could not be written; undefined: it was only given up. */
  reportWrite(error: unknown): void {
    if (error !== undefined) this.report('write', error);
  }

  #strike(): void {
    const now = performance.now();
    this.#strikes = [...this.#strikes.filter((at) => now - at < STRIKE_WINDOW_MS), now];
    if (this.#strikes.length >= MAX_STRIKES) this.#takeOut(false);
  }

  /** With `isDatabaseOnly` the disk is sound, and a new database is begun at once. */
  #takeOut(isDatabaseOnly: boolean): void {
    const mount = this.#mount;
    if (mount === undefined) return;
    this.#evictions += mount.evictions;
    this.#mount = undefined;
    this.#scrubbing.abort();
    this.#log('error', 'store.disk.out', { disk: this.path });
    this.#events.onDown(mount);
    this.#leaving = this.#leave(mount, isDatabaseOnly);
  }

  async #leave(mount: Mount, isDatabaseOnly: boolean): Promise<void> {
    try {
      await mount.close(false);
      if (isDatabaseOnly && !this.#isClosed) void this.#heal();
    } catch (error) {
      this.report('index', error);
    }
  }

  async close(isOrderly: boolean): Promise<void> {
    this.#isClosed = true;
    this.#scrubbing.abort();
    clearInterval(this.#retry);
    await this.#leaving;
    await this.#mount?.close(isOrderly);
  }
}

/**
 * Where a key lives: the usable volume of the highest weighted hash (rendezvous hashing), so that losing a directory
 * moves only its own keys. Weights are the directories' sizes.
 */
export function chooseVolume(volumes: readonly Volume[], key: string): Volume | undefined {
  let best: Volume | undefined;
  let bestScore = -1;
  for (const volume of volumes) {
    if (volume.mount === undefined) continue;
    const uniform = (crc32(`${volume.path} ${key}`) + 1) / (2 ** 32 + 1);
    const score = volume.maxBytes / -Math.log(uniform);
    if (score > bestScore) [best, bestScore] = [volume, score];
  }
  return best;
}

/** Figures over all directories; sums are of those that are usable. */
export function diskStats(volumes: readonly Volume[]) {
  const sum = (of: (mount: Mount) => number): number =>
    volumes.reduce((total, { mount }) => total + (mount === undefined ? 0 : of(mount)), 0);
  return {
    objects: sum((mount) => mount.objects),
    used: sum((mount) => mount.usedBytes),
    limit: sum((mount) => mount.limitBytes),
    evictions: volumes.reduce((total, volume) => total + volume.evictions, 0),
    isDegraded: volumes.some((volume) => volume.isDegraded),
    errors: volumes.flatMap((volume) => volume.errors()),
    scrub: {
      bytes: volumes.reduce((total, { scrubbed }) => total + scrubbed.bytes, 0),
      damaged: volumes.reduce((total, { scrubbed }) => total + scrubbed.damaged, 0),
      passes: volumes.reduce((total, { scrubbed }) => total + scrubbed.passes, 0),
    },
  };
}
