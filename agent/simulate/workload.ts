// A seeded workload of regional edges for video on demand: who watches what, when, on which device, and which chunks of
// which rendition that asks of an edge. Pure; the same parameters give the same workload.
import type { Requests } from '../../cache/cache.ts';
import { normal } from '../train/random.ts';

/** One way to watch: its share of the views, and the bits per second of the rendition that it plays. */
export type Device = { readonly name: string; readonly share: number; readonly bitsPerSecond: number };

/** Parameters of a workload. Chances and shares are 0 to 1. */
export type EdgeWorkload = {
  readonly seed: number;
  readonly titles: number;
  readonly days: number;
  /** Views that begin of themselves in one region per day; resumed, repeated and next-episode ones come on top. */
  readonly viewsPerDay: number;
  /** Standard deviation of the logarithm by which a region's taste for a title differs from that of all. */
  readonly regionSpread: number;
  /** Chance of a title to be offered in a region at all: rights differ. */
  readonly offered: number;
  /** The chance of a title to have been released within the half-year of which the window is the end. */
  readonly launched: number;
  readonly devices: readonly Device[];
  /** Chance to leave after the first chunk, and after each later one. */
  readonly leaves: { readonly first: number; readonly later: number };
  /** Titles that are series, and the chance to go on with the next episode at once, or else within two days. */
  readonly series: { readonly share: number; readonly next: number; readonly later: number };
  /** Chance that who left after the first chunk goes on from there within three days. */
  readonly resume: number;
  /** Chance that what was watched to its end is watched again within a week. */
  readonly repeat: number;
  /** Titles that are hovered over before one is played, on average. */
  readonly hovers: number;
};

/** Seconds of a chunk, and of the ticks in which views proceed. */
export const CHUNK_SECONDS = 300;
const TICKS_PER_DAY = 86_400 / CHUNK_SECONDS;

/**
 * Share of all hours that the most watched share of titles takes, over 18,214 titles (Netflix, "What We Watched: A
 * Netflix Engagement Report", first half of 2023). The first is its most watched title: 812 million of 93.5 billion hours.
 */
const CONCENTRATION = [
  { titles: 1 / 18_214, hours: 0.0087 },
  { titles: 0.01, hours: 0.267 },
  { titles: 0.05, hours: 0.554 },
  { titles: 0.1, hours: 0.711 },
  { titles: 0.2, hours: 0.856 },
  { titles: 1, hours: 1 },
] as const;

/** Hours of a title by week after its release, of those in its second week (weekly top tens of films, 2021 to 2026). */
export const LAUNCH_WEEKS = [0.89, 1, 0.34, 0.2, 0.16, 0.12] as const;

/** What later weeks are of the week before: the last measured step, carried on. */
const LATER_WEEKS = 0.75;
/** What CONCENTRATION was measured over; the window is its end. */
const HALF_YEAR_DAYS = 182;

/** Views that begin in each hour of the day, of those in the busiest: an evening's peak, a trough before dawn. */
const HOURS = [
  0.55, 0.35, 0.22, 0.14, 0.1, 0.1, 0.13, 0.18, 0.24, 0.3, 0.36, 0.42, 0.48, 0.5, 0.5, 0.52, 0.56, 0.64, 0.75, 0.88,
  0.97, 1, 0.93, 0.76,
] as const;

/** Chunks of a film, 20 minutes to 2 hours, and of an episode, 25 to 60 minutes; evenly. */
const FILM_CHUNKS = { least: 4, most: 24 } as const;
const EPISODE_CHUNKS = { least: 5, most: 12 } as const;
const EPISODES = { least: 4, most: 10 } as const;
/** Bytes of a title's chunks differ by so much from its rendition's bit rate, evenly: what is drawn and what is filmed. */
const SCALE = { least: 0.7, most: 1.3 } as const;

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

/** Share of all hours that the most watched `share` of titles takes, 0 to 1: a power law between the measured points. */
export function hoursOf(share: number): number {
  if (share <= 0) return 0;
  let below: { readonly titles: number; readonly hours: number } = CONCENTRATION[0];
  let above: { readonly titles: number; readonly hours: number } = CONCENTRATION[1];
  for (const point of CONCENTRATION.slice(2)) {
    if (share <= above.titles) break;
    [below, above] = [above, point];
  }
  const exponent = Math.log(above.hours / below.hours) / Math.log(above.titles / below.titles);
  return Math.min(1, above.hours * (share / above.titles) ** exponent);
}

/** A title, the most watched first. */
export type WorkloadTitle = {
  /** Chunks of its parts: one part for a film, more for a series. */
  readonly chunks: readonly number[];
  readonly scale: number;
  /** The day of its release, counted from the window's begin; undefined: before the half-year. */
  readonly releaseDay: number | undefined;
  /** Number of its first object; parts follow each other, in each of them renditions, in each of those chunks. */
  readonly firstObject: number;
};

/**
 * The workload that figures are quoted for: 1.7 million requests in four weeks with series and resume off. With those
 * off LRU hits 16.5, 48.0 and 85.3 % of bytes, within a point, at 1, 5 and 20 % of the catalogue after a first week, as a
 * simulated regional edge did; series and resume come on top. Frozen: to change a value is to calibrate anew
 * (test/bench/policy.ts shows the figures), and to compare with no earlier ones.
 */
export const EDGE_WORKLOAD: EdgeWorkload = {
  seed: 5,
  titles: 5000,
  days: 28,
  viewsPerDay: 6000,
  regionSpread: 0.25,
  offered: 0.7,
  launched: 0.15,
  devices: [
    { name: 'television', share: 0.6, bitsPerSecond: 4_500_000 },
    { name: 'phone', share: 0.4, bitsPerSecond: 1_500_000 },
  ],
  leaves: { first: 0.2, later: 0.02 },
  series: { share: 0.4, next: 0.6, later: 0.4 },
  resume: 0.4,
  repeat: 0.03,
  hovers: 2,
};

/** The same without series and resumed views, as it was calibrated. */
export const withoutFollowUps = (workload: EdgeWorkload): EdgeWorkload => ({
  ...workload,
  series: { share: 0, next: 0, later: 0 },
  resume: 0,
});

/** Somebody watches a part of a title without a pause. */
export type View = {
  /** Tick in which it begins. */
  readonly tick: number;
  readonly title: number;
  readonly part: number;
  /** Index of its device. */
  readonly device: number;
  readonly firstChunk: number;
  readonly chunks: number;
  /** Titles that were hovered over before, the played one last; empty when it was not chosen from a page. */
  readonly hovers: readonly number[];
};

/**
 * Whether the title of a rank is among a share of them, spread evenly over the ranks: multiples of the golden ratio are
 * (Knuth, TAOCP 3, section 6.4). Chance alone would make some seeds' few most watched titles decide about everything.
 */
const isChosen = (rank: number, turn: number, share: number): boolean =>
  (turn + rank * ((Math.sqrt(5) - 1) / 2)) % 1 < share;

/** The catalogue of a workload. */
export function makeTitles({ seed, titles, days, devices, launched, series }: EdgeWorkload): readonly WorkloadTitle[] {
  const chance = seededChance(seed);
  const between = ({ least, most }: { readonly least: number; readonly most: number }): number =>
    least + Math.floor(chance() * (most - least + 1));
  const turn = chance();
  let objects = 0;
  return Array.from({ length: titles }, (_, rank) => {
    const isSeries = chance() < series.share;
    const parts = isSeries ? between(EPISODES) : 1;
    const chunks = Array.from({ length: parts }, () => between(isSeries ? EPISODE_CHUNKS : FILM_CHUNKS));
    const releaseDay = isChosen(rank, turn, launched)
      ? Math.floor(chance() * HALF_YEAR_DAYS) - HALF_YEAR_DAYS + days
      : undefined;
    const firstObject = objects;
    objects += chunks.reduce((sum, count) => sum + count, 0) * devices.length;
    return { chunks, scale: SCALE.least + chance() * (SCALE.most - SCALE.least), releaseDay, firstObject };
  });
}

/** Draws indexes by weight. */
function drawer(weights: readonly number[]): (at: number) => number {
  const sums = new Float64Array(weights.length);
  let total = 0;
  for (const [index, weight] of weights.entries()) {
    total += weight;
    sums[index] = total;
  }
  return (at) => {
    let [low, high] = [0, sums.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] ?? 0) > at * total) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

/** A title's hours on a day, of those on a day of its second week; 1 always for one that was there before. */
export function hoursOn(day: number, releaseDay: number | undefined): number {
  if (releaseDay === undefined) return 1;
  if (day < releaseDay) return 0;
  const week = Math.floor((day - releaseDay) / 7);
  const known = LAUNCH_WEEKS.length - 1;
  return week <= known ? (LAUNCH_WEEKS[week] ?? 0) : (LAUNCH_WEEKS[known] ?? 0) * LATER_WEEKS ** (week - known);
}

/** When a title is watched: its share of its half-year's hours that fall into the window, and on which day they do. */
type Timing = { readonly share: number; readonly drawDay: (at: number) => number };

function timings(titles: readonly WorkloadTitle[], days: number): readonly Timing[] {
  const known = new Map<number | undefined, Timing>();
  return titles.map(({ releaseDay }) => {
    let timing = known.get(releaseDay);
    if (timing === undefined) {
      const hours = Array.from({ length: HALF_YEAR_DAYS }, (_, at) => hoursOn(at - HALF_YEAR_DAYS + days, releaseDay));
      const window = hours.slice(-days);
      const sum = (list: readonly number[]): number => list.reduce((total, hour) => total + hour, 0);
      timing = { share: sum(window) / sum(hours), drawDay: drawer(window) };
      known.set(releaseDay, timing);
    }
    return timing;
  });
}

/** What one viewer does after choosing a title, until no follow-up comes. */
function follow(workload: EdgeWorkload, title: WorkloadTitle, chance: () => number, first: View): readonly View[] {
  const { leaves, series, resume, repeat } = workload;
  const views: View[] = [];
  let view = first;
  for (let length = title.chunks[view.part]; length !== undefined; length = title.chunks[view.part]) {
    let chunks = 1;
    while (view.firstChunk + chunks < length) {
      if (chance() < (view.firstChunk + chunks === 1 ? leaves.first : leaves.later)) break;
      chunks += 1;
    }
    views.push({ ...view, chunks });
    const end = view.tick + chunks;
    const isWhole = view.firstChunk + chunks === length;
    const after = (spanDays: number): number =>
      end + TICKS_PER_DAY + Math.floor((chance() - 0.5) * 24) + Math.floor(chance() * spanDays) * TICKS_PER_DAY;
    const plain = { ...view, hovers: [] };
    if (!isWhole) {
      const goesOn = view.firstChunk + chunks > 1 && chance() < resume;
      if (!goesOn) break;
      view = { ...plain, tick: after(3), firstChunk: view.firstChunk + chunks };
    } else if (title.chunks.length > 1) {
      const isNow = chance() < series.next;
      if (!isNow && chance() >= series.later) break;
      view = { ...plain, tick: isNow ? end : after(2), part: view.part + 1, firstChunk: 0 };
    } else {
      if (chance() >= repeat) break;
      view = { ...plain, tick: after(7), firstChunk: 0 };
    }
  }
  return views;
}

/** What a region's views are drawn by: chances so far drawn from, each title's weight within the window, and its timing. */
export function tasteOf(
  { seed, days, regionSpread, offered }: EdgeWorkload,
  titles: readonly WorkloadTitle[],
  region: number,
) {
  const chance = seededChance(seed * 1000 + region + 1);
  const turn = chance();
  const tilts = titles.map((_, rank) => (isChosen(rank, turn, offered) ? Math.exp(regionSpread * normal(chance)) : 0));
  const times = timings(titles, days);
  const masses = tilts.map((tilt, rank) => {
    const hours = hoursOf((rank + 1) / titles.length) - hoursOf(rank / titles.length);
    return tilt * hours * (times[rank]?.share ?? 0);
  });
  return { chance, masses, times };
}

/**
 * All views of a region, 0 or above, in order of their ticks. The most watched titles are drawn as CONCENTRATION says,
 * tilted by the region's taste; when in the window, by weeks since release; at which hour, by HOURS.
 */
export function makeViews(workload: EdgeWorkload, titles: readonly WorkloadTitle[], region = 0): readonly View[] {
  const { days, viewsPerDay, devices, hovers } = workload;
  const { chance, masses, times } = tasteOf(workload, titles, region);
  const drawTitle = drawer(masses);
  const drawHour = drawer(HOURS);
  const drawDevice = drawer(devices.map(({ share }) => share));
  const views: View[] = [];
  for (let count = Math.round(viewsPerDay * days); count > 0; count -= 1) {
    const number = drawTitle(chance());
    const title = titles[number];
    if (title === undefined) continue;
    const hovered: number[] = [];
    while (chance() < hovers / (1 + hovers)) hovered.push(drawTitle(chance()));
    const day = times[number]?.drawDay(chance()) ?? 0;
    const tick = day * TICKS_PER_DAY + drawHour(chance()) * 12 + Math.floor(chance() * 12);
    const isNew = title.chunks.length === 1 || chance() < 0.5;
    const part = isNew ? 0 : Math.floor(chance() * title.chunks.length);
    const device = drawDevice(chance());
    const first = { tick, title: number, part, device, firstChunk: 0, chunks: 0, hovers: [...hovered, number] };
    views.push(...follow(workload, title, chance, first));
  }
  return views.filter(({ tick }) => tick < days * TICKS_PER_DAY).sort((one, other) => one.tick - other.tick);
}

/** What views ask of an edge. */
export type EdgeRequests = Requests & {
  /** Seconds since the window's begin, of each request. */
  readonly at: Float64Array;
  /** 1 for the first request of a view. */
  readonly begins: Uint8Array;
  /** Bytes of every chunk of every rendition of every title. */
  readonly catalogueBytes: number;
};

/** Bytes of a chunk of a title on a device. */
export const chunkBytes = ({ scale }: WorkloadTitle, { bitsPerSecond }: Device): number =>
  Math.round((bitsPerSecond / 8) * CHUNK_SECONDS * scale);

/** The requests of views: a chunk every 5 minutes, those of one tick in order of the views. An object is a chunk. */
export function requestsOfViews(
  { devices, days }: EdgeWorkload,
  titles: readonly WorkloadTitle[],
  views: readonly View[],
): EdgeRequests {
  const ends = days * TICKS_PER_DAY;
  const ticks: { readonly objects: number[]; readonly bytes: number[]; readonly begins: number[] }[] = Array.from(
    { length: ends },
    () => ({ objects: [], bytes: [], begins: [] }),
  );
  for (const { tick, title: number, part, device: index, firstChunk, chunks } of views) {
    const [title, device] = [titles[number], devices[index]];
    if (title === undefined || device === undefined) continue;
    const before = title.chunks.slice(0, part).reduce((sum, count) => sum + count, 0);
    const first = title.firstObject + before * devices.length + index * (title.chunks[part] ?? 0);
    for (let chunk = 0; chunk < chunks; chunk += 1) {
      ticks[tick + chunk]?.objects.push(first + firstChunk + chunk);
      ticks[tick + chunk]?.bytes.push(chunkBytes(title, device));
      ticks[tick + chunk]?.begins.push(chunk === 0 ? 1 : 0);
    }
  }
  const total = ticks.reduce((sum, { objects }) => sum + objects.length, 0);
  const [objects, bytes, at, begins] = [
    new Uint32Array(total),
    new Float64Array(total),
    new Float64Array(total),
    new Uint8Array(total),
  ];
  let next = 0;
  for (const [tick, asked] of ticks.entries()) {
    objects.set(asked.objects, next);
    bytes.set(asked.bytes, next);
    begins.set(asked.begins, next);
    at.fill(tick * CHUNK_SECONDS, next, next + asked.objects.length);
    next += asked.objects.length;
  }
  const sizes = titles.map((title) => {
    const chunks = title.chunks.reduce((sum, count) => sum + count, 0);
    return { chunks, bytes: chunks * devices.reduce((sum, device) => sum + chunkBytes(title, device), 0) };
  });
  return {
    ...{ objects, bytes, at, begins },
    count: sizes.reduce((sum, { chunks }) => sum + chunks * devices.length, 0),
    catalogueBytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
