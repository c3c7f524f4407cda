// Origin bytes by 5 minutes over 30 days, of several played caches and of the node itself, in a ring of plain numbers.
import { BIN_SECONDS } from './billing.ts';

/** Days that are kept. */
export const SERIES_DAYS = 30;
const BINS_PER_DAY = 86_400 / BIN_SECONDS;
const BINS = SERIES_DAYS * BINS_PER_DAY;
const VERSION = 1;

/** One day as it is kept on disk; readers refuse other versions. `cells`: base64 of little-endian 32-bit floats. */
export type SeriesDay = { readonly version: 1; readonly day: number; readonly columns: number; readonly cells: string };

/** Bytes per bin and column. Columns are the caller's: a played cache's group of keys, say. */
export class Series {
  readonly #columns: number;
  readonly #cells: Float32Array;
  #latest = -1;
  /** The earliest bin that counts. */
  #first = -1;

  constructor(columns: number) {
    this.#columns = columns;
    this.#cells = new Float32Array(BINS * columns);
  }

  /** Number of the latest bin since the epoch; -1 before the first. */
  get latest(): number {
    return this.#latest;
  }

  /** The day of the latest bin since the epoch, in UTC; -1 before the first. */
  get day(): number {
    return Math.floor(this.#latest / BINS_PER_DAY);
  }

  /** Bytes of the latest bin, all columns. */
  get latestBytes(): number {
    if (this.#latest < 0) return 0;
    const begin = (this.#latest % BINS) * this.#columns;
    return this.#cells.subarray(begin, begin + this.#columns).reduce((sum, cell) => sum + cell, 0);
  }

  /** When the first bin that counts begins, in milliseconds since the epoch. */
  get sinceMs(): number {
    return Math.max(this.#first, this.#latest - BINS + 1) * BIN_SECONDS * 1000;
  }

  /** How many bins count. */
  get count(): number {
    return this.#latest < 0 ? 0 : Math.min(BINS, this.#latest - this.#first + 1);
  }

  /** Adds bytes at a time in milliseconds since the epoch; what is older than the latest bin counts into that. */
  add(atMs: number, column: number, bytes: number): void {
    const bin = Math.floor(atMs / (BIN_SECONDS * 1000));
    if (bin > this.#latest) this.#advance(bin);
    const index = (this.#latest % BINS) * this.#columns + column;
    this.#cells[index] = (this.#cells[index] ?? 0) + bytes;
  }

  #advance(bin: number): void {
    if (this.#latest < 0) this.#first = bin;
    const from = Math.max(this.#latest + 1, bin - BINS + 1);
    for (let next = from; next <= bin; next += 1) {
      const begin = (next % BINS) * this.#columns;
      this.#cells.fill(0, begin, begin + this.#columns);
    }
    this.#latest = bin;
  }

  /** Bytes of each bin that counts, the oldest first: the columns summed by their weights. */
  bins(weights: readonly (readonly [column: number, weight: number])[]): Float64Array {
    const sums = new Float64Array(this.count);
    for (let at = 0; at < sums.length; at += 1) {
      const begin = ((this.#latest - sums.length + 1 + at) % BINS) * this.#columns;
      let sum = 0;
      for (const [column, weight] of weights) sum += weight * (this.#cells[begin + column] ?? 0);
      sums[at] = sum;
    }
    return sums;
  }

  /** A day of the last ones as it is kept; undefined for one that is not in the ring. */
  saveDay(day: number): SeriesDay | undefined {
    if (this.#latest < 0 || day < 0 || day > this.day || day <= this.day - SERIES_DAYS) return undefined;
    const begin = ((day * BINS_PER_DAY) % BINS) * this.#columns;
    const cells = this.#cells.slice(begin, begin + BINS_PER_DAY * this.#columns);
    // What is of the day 30 days before is not of this one.
    cells.fill(0, (this.#latest - day * BINS_PER_DAY + 1) * this.#columns);
    return { version: VERSION, day, columns: this.#columns, cells: Buffer.from(cells.buffer).toString('base64') };
  }

  /** Takes days back in, before anything is added. False: not of this version or shape, and left out. */
  restore(saved: SeriesDay, today: number): boolean {
    const bytes = Buffer.from(String(saved.cells), 'base64');
    const isSound = saved.version === VERSION && saved.columns === this.#columns && Number.isInteger(saved.day);
    if (!isSound || bytes.length !== BINS_PER_DAY * this.#columns * 4) return false;
    if (saved.day > today || saved.day <= today - SERIES_DAYS) return false;
    const cells = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    if (!cells.every((cell) => Number.isFinite(cell) && cell >= 0)) return false;
    const firstBin = saved.day * BINS_PER_DAY;
    this.#cells.set(cells, (firstBin % BINS) * this.#columns);
    const used = cells.findLastIndex((cell) => cell > 0);
    const begin = cells.findIndex((cell) => cell > 0);
    if (used < 0) return true;
    const last = firstBin + Math.floor(used / this.#columns);
    const first = firstBin + Math.floor(begin / this.#columns);
    this.#first = this.#latest < 0 ? first : Math.min(this.#first, first);
    this.#latest = Math.max(this.#latest, last);
    return true;
  }
}

/** Where days are kept: one document by name. */
export type DayStore = {
  readonly get: (name: string) => string | undefined;
  readonly put: (name: string, json: string) => void;
};

/** Takes the days back that are kept under a name; one that cannot be read is left out, the month goes on without it. */
export function restoreDays(series: Series, days: Pick<DayStore, 'get'>, name: string, nowMs: number): void {
  for (let slot = 0; slot < SERIES_DAYS; slot += 1) {
    const json = days.get(`${name} ${slot}`);
    if (json === undefined) continue;
    try {
      const saved: SeriesDay = JSON.parse(json);
      series.restore(saved, Math.floor(nowMs / 86_400_000));
    } catch (error) {
      if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
    }
  }
}

/** Keeps a day under a name, in the place of the one that many days before; nothing when it is not in the ring. */
export function keepDay(series: Series, days: Pick<DayStore, 'put'>, name: string, day: number): void {
  const saved = series.saveDay(day);
  if (saved !== undefined) days.put(`${name} ${day % SERIES_DAYS}`, JSON.stringify(saved));
}
