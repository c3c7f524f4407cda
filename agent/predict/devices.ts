// Which renditions this region's devices fetch, by bit rate: what a title's renditions are expected to be asked for.

/** Bins of bit rate in each doubling. */
const BINS_PER_OCTAVE = 4;
const BINS = 32 * BINS_PER_OCTAVE;
/** Views after which a count is halved: devices change within weeks, not hours. */
const HALVED_AT = 50_000;

/** So many times as many views may have changed shares. */
const CHANGED_RATIO = 1.02;

const binOf = (bitsPerSecond: number): number =>
  Math.min(BINS - 1, Math.max(0, Math.round(Math.log2(Math.max(1, bitsPerSecond)) * BINS_PER_OCTAVE)));

/** Counts of views by the bit rate of what was fetched. */
export class Devices {
  #counts = new Float64Array(BINS);
  #sum = 0;
  /** Changes with every count that can change shares by much. */
  version = 0;
  #nextVersionAt = 100;

  /** A view fetched a rendition of that bit rate. */
  add(bitsPerSecond: number): void {
    const bin = binOf(bitsPerSecond);
    this.#counts[bin] = (this.#counts[bin] ?? 0) + 1;
    this.#sum += 1;
    if (this.#sum >= this.#nextVersionAt) {
      this.version += 1;
      this.#nextVersionAt = Math.max(this.#sum + 100, this.#sum * CHANGED_RATIO);
    }
    if (this.#sum < HALVED_AT) return;
    this.#counts = this.#counts.map((count) => count / 2);
    this.#sum /= 2;
    this.#nextVersionAt /= 2;
  }

  /** Shares of renditions of these bit rates, which add up to 1: each view goes to the nearest; before any, evenly. */
  shares(bitsPerSecond: readonly number[]): readonly number[] {
    const bins = bitsPerSecond.map(binOf);
    const shares = bins.map(() => 1 / BINS_PER_OCTAVE);
    for (const [bin, count] of this.#counts.entries()) {
      if (count === 0) continue;
      let nearest = 0;
      for (const [at, other] of bins.entries()) {
        if (Math.abs(other - bin) < Math.abs((bins[nearest] ?? 0) - bin)) nearest = at;
      }
      shares[nearest] = (shares[nearest] ?? 0) + count;
    }
    const sum = shares.reduce((total, share) => total + share, 0);
    return shares.map((share) => share / sum);
  }
}
