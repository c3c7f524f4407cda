// A seeded workload of a regional edge for video on demand: which 5-minute chunk of which title is asked for, in order.
import type { Requests } from '../../cache/rules/eviction/simulate.ts';

/** How large the workload is. */
export type Vod = { readonly seed: number; readonly titles: number; readonly sessions: number };

/** The one that figures are quoted for: about 1.1 million requests. */
export const VOD: Vod = { seed: 1, titles: 3000, sessions: 130_000 };

/**
 * Share of all hours that the most watched share of titles takes: the concentration that Netflix's engagement report
 * gives over 18,214 titles.
 */
const CONCENTRATION = [
  { titles: 0.01, hours: 0.267 },
  { titles: 0.05, hours: 0.554 },
  { titles: 0.1, hours: 0.711 },
  { titles: 0.2, hours: 0.856 },
  { titles: 1, hours: 1 },
] as const;

/** 5-minute ticks in which sessions begin: four weeks. */
const TICKS = 28 * 24 * 12;
/** Length of a title in chunks of 5 minutes: 20 minutes to 2 hours, evenly. */
const CHUNKS = { least: 4, most: 24 } as const;
/** Chance to leave after the first chunk, and after each later one. */
const LEAVES = { first: 0.3, later: 0.03 } as const;
/** Renditions: how many sessions play each, and its bytes in 5 minutes (4.5 and 1.5 Mbit/s). */
const RENDITIONS = [
  { share: 0.6, bytes: 168_750_000 },
  { share: 0.4, bytes: 56_250_000 },
] as const;

/** Numbers from 0 to below 1, the same for the same seed (Steele and Vigna's splitmix, reduced to 32 bits). */
export function seededChance(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** Which share of the titles, from the most watched, holds the hour at `hours` (0 to 1): a power law between points. */
export function titleShare(hours: number): number {
  let below: { readonly titles: number; readonly hours: number } = CONCENTRATION[0];
  let above: { readonly titles: number; readonly hours: number } = CONCENTRATION[1];
  for (const point of CONCENTRATION.slice(2)) {
    if (hours <= above.hours) break;
    [below, above] = [above, point];
  }
  const exponent = Math.log(above.hours / below.hours) / Math.log(above.titles / below.titles);
  return above.titles * (hours / above.hours) ** (1 / exponent);
}

/**
 * Sessions begin evenly over four weeks, choose a title by concentration and a rendition, and ask for a chunk every
 * 5 minutes until they leave; requests of the same tick are in order of arrival. An object is a chunk of a rendition.
 */
export function vodRequests({ seed, titles, sessions }: Vod): Requests {
  const chance = seededChance(seed);
  const spread = CHUNKS.most - CHUNKS.least + 1;
  const lengths = Array.from({ length: titles }, () => CHUNKS.least + Math.floor(chance() * spread));
  const scales = Array.from({ length: titles }, () => 0.7 + 0.6 * chance());
  const ticks: number[][] = Array.from({ length: TICKS + CHUNKS.most }, () => []);
  let total = 0;
  for (let session = 0; session < sessions; session += 1) {
    const title = Math.min(titles - 1, Math.floor(titleShare(chance()) * titles));
    const rendition = chance() < RENDITIONS[0].share ? 0 : 1;
    const start = Math.floor(chance() * TICKS);
    const length = lengths[title] ?? 0;
    for (let chunk = 0; chunk < length; chunk += 1) {
      ticks[start + chunk]?.push((title * RENDITIONS.length + rendition) * CHUNKS.most + chunk);
      total += 1;
      if (chance() < (chunk === 0 ? LEAVES.first : LEAVES.later)) break;
    }
  }
  const objects = new Uint32Array(total);
  const bytes = new Float64Array(total);
  let at = 0;
  for (const object of ticks.flat()) {
    const rendition = Math.floor(object / CHUNKS.most) % RENDITIONS.length;
    const title = Math.floor(object / (CHUNKS.most * RENDITIONS.length));
    objects[at] = object;
    bytes[at] = Math.round((RENDITIONS[rendition]?.bytes ?? 0) * (scales[title] ?? 1));
    at += 1;
  }
  return { objects, bytes, count: titles * RENDITIONS.length * CHUNKS.most };
}
