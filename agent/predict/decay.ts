// Sums that fade: forward decay (Cormode et al., ICDE 2009, section 3).

/** A decayed sum as of `at` (milliseconds since the epoch): every unit added halves in worth each half-life. */
export type DecayedCounter = { value: number; at: number };

/** What a sum is worth now. */
export const decayed = (counter: Readonly<DecayedCounter>, now: number, halfLifeMs: number): number =>
  counter.value * 2 ** (-Math.max(0, now - counter.at) / halfLifeMs);

/** Adds `amount` as of `at`, whichever of the two is the later. */
export function bump(counter: DecayedCounter, amount: number, at: number, halfLifeMs: number): void {
  const latest = Math.max(counter.at, at);
  counter.value = decayed(counter, latest, halfLifeMs) + amount * 2 ** (-(latest - at) / halfLifeMs);
  counter.at = latest;
}
