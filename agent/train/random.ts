// Chance from a seed, so that a training run can be repeated to the bit.

/** Numbers in [0, 1) that look random and depend on the seed alone. */
export type Random = () => number;

/** The generator mulberry32 (T. Ettinger, 2017): 32 bits of state, passes gjrand's small tests; not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Index drawn with chances in proportion to `weights`; -1 when all are 0. */
export function drawIndex(weights: ArrayLike<number>, random: Random): number {
  let total = 0;
  for (let index = 0; index < weights.length; index += 1) total += weights[index] ?? 0;
  let left = random() * total;
  for (let index = 0; index < weights.length; index += 1) {
    left -= weights[index] ?? 0;
    if (left < 0) return index;
  }
  return total > 0 ? weights.length - 1 : -1;
}

/** A number drawn from the standard normal distribution, of two uniform ones (Box and Muller, 1958). */
export const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
