// How much of the disks each host takes, and its quota: who is above it makes room among its own objects.
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { StoreStats } from '../contract.ts';
import type { DiskShare } from './object.ts';

/** Hosts told apart, which bounds the lanes of eviction; those beyond are nobody's. */
const MAX_LANES = 65_536;
/** No code of a host is greater: 48 bits. */
const MAX_CODE = 2 ** 48;
/** Objects evicted at once for one host: some 5 ms of the loop. */
const MAX_AT_ONCE = 2048;

/** The number that stands for a host in rows: the first 48 bits of SHA-256 of its name; 0: nobody's. */
export function hostCode(name: string): number {
  return name === '' ? 0 : createHash('sha256').update(name).digest().readUIntBE(0, 6);
}

/** What makes room in one directory. */
export type Evictor = {
  /** Lets one object of a lane go; false when there is none that may. */
  readonly evictOf: (lane: number) => boolean;
};

/** A host with a quota. */
type Account = { readonly name: string; readonly maxBytes: number; readonly lanes: Set<number>; usedBytes: number };

/** The part of one directory in what hosts take. */
export class DirectoryUse {
  readonly #shares: HostShares;
  readonly #bytes: number[] = [];
  #isOut = false;

  constructor(shares: HostShares) {
    this.#shares = shares;
  }

  /** Adds bytes, of which there may be fewer than none. Once the directory is out, nothing counts. */
  add(lane: number, bytes: number): void {
    if (this.#isOut) return;
    while (this.#bytes.length <= lane) this.#bytes.push(0);
    this.#bytes[lane] = (this.#bytes[lane] ?? 0) + bytes;
    this.#shares.add(lane, bytes);
  }

  /** The directory is out: what it holds is not there. */
  clear(): void {
    for (const [lane, bytes] of this.#bytes.entries()) this.#shares.add(lane, -bytes);
    this.#isOut = true;
  }
}

/** Bytes on all disks by host. A host is known by the code of any of its names; each code has a lane of its own. */
export class HostShares {
  readonly #lanes = new Map<number, number>([[0, 0]]);
  readonly #codes: number[] = [0];
  readonly #usedBytes: number[] = [0];
  #accounts: readonly Account[] = [];
  /** By code of each of its names. */
  #byCode: ReadonlyMap<number, Account> = new Map();
  /** By lane; lanes without a quota have none. */
  #byLane: (Account | undefined)[] = [];
  readonly #evictors = new Set<Evictor>();
  #isShrinkDue = false;
  #isShrinking = false;

  /** The lane of a host's code, 0 to 65,535; codes that nobody gave are nobody's. */
  laneOf(code: number): number {
    const known = this.#lanes.get(code);
    if (known !== undefined) return known;
    if (!Number.isInteger(code) || code < 0 || code >= MAX_CODE || this.#codes.length === MAX_LANES) return 0;
    const lane = this.#codes.length;
    this.#lanes.set(code, lane);
    this.#codes.push(code);
    this.#usedBytes.push(0);
    this.#assign(lane, code);
    return lane;
  }

  /** The code of a lane that laneOf() gave. */
  codeOf(lane: number): number {
    return this.#codes[lane] ?? 0;
  }

  #assign(lane: number, code: number): void {
    const account = this.#byCode.get(code);
    this.#byLane[lane] = account;
    if (account === undefined) return;
    account.lanes.add(lane);
    account.usedBytes += this.#usedBytes[lane] ?? 0;
  }

  /** From now on these quotas are in force; who is above its own loses objects, a few at a time. */
  limit(quotas: readonly DiskShare[]): void {
    this.#accounts = quotas.map(({ names, maxBytes }) => ({
      ...{ name: names[0] ?? '', maxBytes, usedBytes: 0, lanes: new Set() },
    }));
    this.#byCode = new Map(
      this.#accounts.flatMap((account, at) =>
        (quotas[at]?.names ?? []).map((name): [number, Account] => [hostCode(name), account]),
      ),
    );
    for (const [lane, code] of this.#codes.entries()) this.#assign(lane, code);
    this.shrink();
  }

  /** A directory takes part. */
  join(evictor: Evictor): DirectoryUse {
    this.#evictors.add(evictor);
    return new DirectoryUse(this);
  }

  leave(evictor: Evictor): void {
    this.#evictors.delete(evictor);
  }

  add(lane: number, bytes: number): void {
    this.#usedBytes[lane] = (this.#usedBytes[lane] ?? 0) + bytes;
    const account = this.#byLane[lane];
    if (account !== undefined) account.usedBytes += bytes;
  }

  /** The most that an object of this lane may take. */
  limitOf(lane: number): number {
    return this.#byLane[lane]?.maxBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Evicts of the host's own objects, first in `nearest`, until it is within its quota; false when it can't be. */
  makeRoom(lane: number, nearest: Evictor): boolean {
    const account = this.#byLane[lane];
    return account === undefined || this.#evict(account, [nearest, ...this.#evictors]);
  }

  #evict(account: Account, evictors: readonly Evictor[]): boolean {
    for (let count = 0; account.usedBytes > account.maxBytes; count += 1) {
      const isDone = evictors.some((one) => [...account.lanes].some((lane) => one.evictOf(lane)));
      if (!isDone || count === MAX_AT_ONCE) return false;
    }
    return true;
  }

  /** Brings every host within its quota, in slices. */
  shrink(): void {
    this.#isShrinkDue = true;
    if (!this.#isShrinking) void this.#shrinkAll();
  }

  async #shrinkAll(): Promise<void> {
    this.#isShrinking = true;
    while (this.#isShrinkDue) {
      this.#isShrinkDue = false;
      await turn();
      for (const account of this.#accounts) {
        const before = account.usedBytes;
        const isWithin = this.#evict(account, [...this.#evictors]);
        if (!isWithin && account.usedBytes < before) this.#isShrinkDue = true; // Pins may keep it above its quota.
      }
    }
    this.#isShrinking = false;
  }

  stats(): StoreStats['hosts'] {
    return this.#accounts.map(({ name, usedBytes, maxBytes }) => ({ name, usedBytes, limitBytes: maxBytes }));
  }
}
