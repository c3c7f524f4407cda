// Synthetic viewers of a synthetic catalogue, to train and to test a scorer where no site's own events exist yet. They
// do what is known of viewers: go on with series, come back to what they began, open what they look at, follow tastes,
// crowds and launches. What a model learns here is what this file says, no more: real sites train on their own events.
import type { PredictTitle } from '../predict/catalogue-index.ts';
import { launchStrength } from '../predict/launch.ts';
import { drawIndex, type Random, seededRandom } from './random.ts';

/** One title opened. `hoveredId` is what was looked at just before, if anything; watched until `positionSeconds`. */
export type WorkloadEvent = {
  readonly at: number;
  readonly viewer: number;
  readonly region: string;
  readonly titleId: string;
  readonly hoveredId: string | undefined;
  readonly positionSeconds: number;
};

/** A catalogue and what was watched of it, in order of time. */
export type Workload = { readonly titles: readonly PredictTitle[]; readonly events: readonly WorkloadEvent[] };

/** Size of a workload; the same options give the same workload. */
export type WorkloadOptions = {
  readonly seed: number;
  readonly viewers: number;
  readonly series: number;
  readonly films: number;
  readonly days: number;
};

const DAY_MS = 86_400_000;
/** Where a workload's time begins: Monday 2024-01-01, UTC. */
export const WORKLOAD_START = Date.UTC(2024, 0, 1);
const GENRES = ['drama', 'comedy', 'crime', 'science-fiction', 'documentary', 'family', 'thriller', 'romance'];
const REGIONS = ['north', 'south', 'east'];

type Viewer = {
  readonly region: string;
  readonly genre: string;
  /** Chances: to go on with a series, to come back to what was begun, to open what was hovered, to stop midway. */
  readonly goOn: number;
  readonly comeBack: number;
  readonly openHovered: number;
  readonly stop: number;
  readonly sessionsADay: number;
  /** Title -> position ratio of what was begun. */
  readonly begun: Map<string, number>;
  lastEnded: string | undefined;
};

function makeTitles(options: WorkloadOptions, random: Random): PredictTitle[] {
  const genre = () => GENRES[Math.floor(random() * GENRES.length)] ?? 'drama';
  // A third of all is released during the workload; the rest was there before.
  const release = () => WORKLOAD_START + Math.floor((random() * 1.5 - 1) * options.days) * DAY_MS;
  const films = Array.from({ length: options.films }, (_, index) => ({
    id: `film-${index}`,
    durationSeconds: 4800 + Math.floor(random() * 3600),
    genres: [genre()],
    releaseAt: release(),
  }));
  const series = Array.from({ length: options.series }, (_, index) => {
    const shared = { series: `series-${index}`, season: 1, genres: [genre()], releaseAt: release() };
    const durationSeconds = 1500 + Math.floor(random() * 1800);
    return Array.from({ length: 4 + Math.floor(random() * 7) }, (_, episode) => ({
      id: `series-${index}-e${episode + 1}`,
      durationSeconds,
      episode: episode + 1,
      ...shared,
    }));
  });
  return [...films, ...series.flat()];
}

const makeViewers = (count: number, random: Random): Viewer[] =>
  Array.from({ length: count }, () => ({
    region: REGIONS[drawIndex([5, 3, 2], random)] ?? 'north',
    genre: GENRES[Math.floor(random() * GENRES.length)] ?? 'drama',
    goOn: 0.3 + 0.6 * random(),
    comeBack: 0.2 + 0.6 * random(),
    openHovered: 0.2 + 0.6 * random(),
    stop: 0.1 + 0.4 * random(),
    sessionsADay: 0.1 + 1.4 * random() ** 2,
    begun: new Map(),
    lastEnded: undefined,
  }));

type World = {
  readonly titles: readonly PredictTitle[];
  readonly next: ReadonlyMap<string, string>;
  /** Lasting appeal by title, Zipf-like, and its regional factor. */
  readonly appeal: Float64Array;
  readonly regionFactor: ReadonlyMap<string, Float64Array>;
  readonly random: Random;
};

function makeWorld(options: WorkloadOptions, random: Random): World {
  const titles = makeTitles(options, random);
  const next = new Map<string, string>();
  titles.forEach((title, index) => {
    const following = titles[index + 1];
    if (title.series !== undefined && following?.series === title.series) next.set(title.id, following.id);
  });
  // Later episodes are seldom where a viewer starts.
  const appeal = Float64Array.from(
    titles,
    (title) => (0.02 + random()) ** -1.1 * ((title.episode ?? 1) === 1 ? 1 : 0.05),
  );
  const regionFactor = new Map(
    REGIONS.map((region) => [region, Float64Array.from(titles, () => 0.7 + 0.6 * random())]),
  );
  return { titles, next, appeal, regionFactor, random };
}

/** A title by crowd, region, age and taste. */
function browse(world: World, viewer: Viewer, now: number): string | undefined {
  const factor = world.regionFactor.get(viewer.region);
  const weights = world.titles.map((title, index) => {
    const releaseAt = title.releaseAt ?? 0;
    if (releaseAt > now) return 0;
    const taste = title.genres?.includes(viewer.genre) ? 4 : 1;
    return (world.appeal[index] ?? 0) * (factor?.[index] ?? 1) * taste * (1 + 8 * launchStrength(releaseAt, now));
  });
  return world.titles[drawIndex(weights, world.random)]?.id;
}

function chooseTitle(
  world: World,
  viewer: Viewer,
  now: number,
): { titleId: string | undefined; hoveredId: string | undefined } {
  const { random } = world;
  const following = viewer.lastEnded === undefined ? undefined : world.next.get(viewer.lastEnded);
  const latestBegun = [...viewer.begun.keys()].at(-1);
  // Half the time something is looked at first, and sometimes it is that which is opened.
  const hoveredId = random() < 0.5 ? browse(world, viewer, now) : undefined;
  if (following !== undefined && random() < viewer.goOn) return { titleId: following, hoveredId };
  if (latestBegun !== undefined && random() < viewer.comeBack) return { titleId: latestBegun, hoveredId };
  if (hoveredId !== undefined && random() < viewer.openHovered) return { titleId: hoveredId, hoveredId };
  return { titleId: browse(world, viewer, now), hoveredId };
}

/** Watches a title: to its end, or until somewhere midway. Gives the ratio reached. */
function watch(viewer: Viewer, titleId: string, random: Random): number {
  const from = viewer.begun.get(titleId) ?? 0;
  viewer.begun.delete(titleId);
  if (random() < viewer.stop) {
    const ratio = from + (1 - from) * 0.9 * random();
    if (ratio >= 0.02 && ratio < 0.95) viewer.begun.set(titleId, ratio);
    return ratio;
  }
  viewer.lastEnded = titleId;
  return 0.97 + 0.03 * random();
}

/** Makes a workload. Sessions start mostly in the evening; a session opens one to six titles one after another. */
export function makeWorkload(options: WorkloadOptions): Workload {
  const random = seededRandom(options.seed);
  const world = makeWorld(options, random);
  const viewers = makeViewers(options.viewers, random);
  const durations = new Map(world.titles.map((title) => [title.id, title.durationSeconds ?? 0]));
  const events: WorkloadEvent[] = [];
  for (let day = 0; day < options.days; day += 1) {
    viewers.forEach((viewer, index) => {
      if (random() >= viewer.sessionsADay) return;
      let at = WORKLOAD_START + day * DAY_MS + (19 + 4 * (random() - random())) * 3_600_000;
      for (let left = 1 + Math.floor(6 * random() ** 2); left > 0; left -= 1) {
        const { titleId, hoveredId } = chooseTitle(world, viewer, at);
        if (titleId === undefined) return;
        const positionSeconds = watch(viewer, titleId, random) * (durations.get(titleId) ?? 0);
        events.push({ at: Math.round(at), viewer: index, region: viewer.region, titleId, hoveredId, positionSeconds });
        at += positionSeconds * 1000 + 60_000;
      }
    });
  }
  return { titles: world.titles, events: events.sort((one, other) => one.at - other.at) };
}
