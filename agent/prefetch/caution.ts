// How sure the nightly fill must be of what it fetches: surer while too much of it leaves the store unused. Pure.
import { readSnapshot } from '../snapshot.ts';
import { LEAST_CHANCES } from './plan.ts';

/** Bytes of nightly fills that were settled: served, or gone unused. */
export type Settled = { readonly usefulBytes: number; readonly wastedBytes: number };

/** Nothing is learnt from less than some dozens of segments. */
const LEAST_BYTES = 64 * 2 ** 20;
/** A night in which all was wasted multiplies the odds by some 4, one in which nothing was halves them. */
const GAIN = 2;
/** The odds that the validation seed chose are the least: with more fills there, the total rose. Six times as much is 0.95. */
const LEAST = 1;
const MOST = 6;
const VERSION = 1;

/**
 * The factor of the odds (1..6) after one more night's bytes were settled: a step in their logarithm by how far the share
 * of waste was from `maxWastedRatio` (0..1).
 */
export function afterNight(factor: number, settled: Settled, maxWastedRatio: number): number {
  const bytes = settled.usefulBytes + settled.wastedBytes;
  if (bytes < LEAST_BYTES) return factor;
  const step = Math.exp(GAIN * (settled.wastedBytes / bytes - maxWastedRatio));
  return Math.max(LEAST, Math.min(MOST, factor * step));
}

/** What a plan needs at a factor of the odds; at 1 its defaults. */
export function chancesAt(factor: number): typeof LEAST_CHANCES {
  const surer = (chance: number): number => (chance * factor) / (1 - chance + chance * factor);
  const { leastChance, leastPrefixChance } = LEAST_CHANCES;
  return { leastChance: surer(leastChance), leastPrefixChance: surer(leastPrefixChance) };
}

/** The factor in what was written down; 1 for what cannot be read. */
export function factorIn(json: string | undefined): number {
  const factor = readSnapshot(json, VERSION)?.['factor'];
  return typeof factor === 'number' && factor >= LEAST && factor <= MOST ? factor : LEAST;
}

/** What is written down of it. */
export const kept = (factor: number): string => JSON.stringify({ version: VERSION, factor });
