// Which responses to addresses with a query are stored at first sight. A flood of queries made up by chance would fill the
// disk with what nobody asks for again; what is asked for twice is stored, as the doorkeeper of TinyLFU has it (Einziger,
// Friedman, Manes 2017, section 3.4.2). Addresses without a query are always stored.

/** What remembers queries. Its memory is that of this object; nothing of it is worth saving. */
export type Admission = {
  /** Whether what this key's first request brings is stored. To be asked once for each fetch. */
  readonly admits: (key: string, nowMs: number) => boolean;
};

/** How many different queries of one path are stored at first sight within WINDOW_MS, and a number drawn by chance. */
export type AdmissionOptions = { readonly queriesPerPath: number; readonly seed: number };

/** Bits of the doorkeeper, and keys after which it begins anew: of 1,000 new keys 2 are then taken for known. */
const BITS = 2 ** 20;
const MAX_KEYS = 2 ** 16;
const HASHES = 4;
/** Counters of paths, in two rows: of two paths that share one, the other row tells them apart. */
const COUNTERS = 2 ** 14;
const MAX_COUNT = 255;
/** Counts are halved after this long, so that a path is judged by what is lately asked of it. */
const WINDOW_MS = 600_000;

/** FNV-1a over the text's code units up to `end`, then the finaliser of MurmurHash3, so that every bit of it is mixed. */
function hashOf(text: string, end: number, seed: number): number {
  let hash = seed | 0;
  for (let index = 0; index < end; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x0100_0193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Opens an empty memory: 160 KiB. */
export function createAdmission({ queriesPerPath, seed }: AdmissionOptions): Admission {
  const door = new Uint32Array(BITS / 32);
  const counters = new Uint8Array(2 * COUNTERS);
  let keys = 0;
  let halvedAt = Number.NEGATIVE_INFINITY;

  /** True when the key was there already. */
  const enter = (key: string): boolean => {
    const one = hashOf(key, key.length, seed);
    const other = hashOf(key, key.length, ~seed) | 1;
    let isKnown = true;
    for (let round = 0; round < HASHES; round += 1) {
      const bit = (one + Math.imul(round, other)) & (BITS - 1);
      const mask = 1 << (bit & 31);
      const word = door[bit >>> 5] ?? 0;
      if ((word & mask) !== 0) continue;
      isKnown = false;
      door[bit >>> 5] = word | mask;
    }
    return isKnown;
  };

  /** Counts one more query of a path; gives how many there were before. */
  const count = (key: string, end: number): number => {
    const cells = [hashOf(key, end, seed), hashOf(key, end, ~seed)].map(
      (hash, row) => row * COUNTERS + (hash & (COUNTERS - 1)),
    );
    const before = Math.min(...cells.map((cell) => counters[cell] ?? 0));
    for (const cell of cells) counters[cell] = Math.min(MAX_COUNT, Math.max(counters[cell] ?? 0, before + 1));
    return before;
  };

  const age = (nowMs: number): void => {
    if (keys >= MAX_KEYS) {
      door.fill(0);
      keys = 0;
    }
    if (nowMs - halvedAt < WINDOW_MS && nowMs >= halvedAt) return;
    halvedAt = nowMs;
    for (let cell = 0; cell < counters.length; cell += 1) counters[cell] = (counters[cell] ?? 0) >> 1;
  };

  return {
    admits: (key, nowMs) => {
      const question = key.indexOf('?');
      if (question < 0) return true;
      age(nowMs);
      if (enter(key)) return true;
      keys += 1;
      return count(key, question) < queriesPerPath;
    },
  };
}
