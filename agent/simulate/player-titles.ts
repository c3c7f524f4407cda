// The catalogue of the simulated site: films and series with their segments, and which is how popular. Pure.
import type { Timeline, TimelineTrack } from '../prefetch/timeline.ts';
import { normal } from '../train/random.ts';
import type { Chance, WatchedTitle } from './player-viewer.ts';

/** A title of the site. */
export type SiteTitle = WatchedTitle & {
  readonly timeline: Timeline;
  readonly nextId: string | undefined;
  /** How often it is chosen, against others. */
  readonly weight: number;
};

/** Bits per second of the renditions, the lowest first: a ladder for 1080p. */
const LADDER_BPS = [400_000, 800_000, 1_600_000, 2_800_000, 4_500_000] as const;
/** Seconds of a segment. */
export const SEGMENT_SECONDS = 4;
const SERIES = 10;
const EPISODES = 5;
const FILMS = 20;
/** Weight of a title of rank r: r to the power of this. */
const POPULARITY_POWER = -0.8;
/** Sizes of segments of one rendition differ by so much (standard deviation of the logarithm). */
const SIZE_SPREAD = 0.2;

function timelineOf(titleId: string, durationSeconds: number, chance: Chance): Timeline {
  const count = Math.ceil(durationSeconds / SEGMENT_SECONDS);
  // One shot is as hard in each rendition.
  const sizes = Array.from({ length: count }, () => Math.exp(SIZE_SPREAD * normal(chance) - SIZE_SPREAD ** 2 / 2));
  const tracks = LADDER_BPS.map((bandwidthBps, rung): TimelineTrack => {
    const base = `/site/${titleId}/${rung}/`;
    const parts = sizes.map((size, index) => ({
      url: `${base}${index}.m4s`,
      startSeconds: index * SEGMENT_SECONDS,
      durationSeconds: SEGMENT_SECONDS,
      bytes: Math.round((bandwidthBps * SEGMENT_SECONDS * size) / 8),
    }));
    return {
      ...{ id: String(rung), kind: 'video', bandwidthBps, parts },
      ...{ playlistUrl: `${base}p.m3u8`, initUrl: `${base}i.mp4`, initBytes: 1_000 },
    };
  });
  return { titleId, durationSeconds, masterUrl: `/site/${titleId}/master.m3u8`, tracks };
}

const between = (least: number, most: number, chance: Chance): number => Math.round(least + (most - least) * chance());

/** Draws a catalogue. */
export function drawTitles(chance: Chance): readonly SiteTitle[] {
  const ranks = Array.from({ length: SERIES + FILMS }, (_, index) => index).sort(() => chance() - 0.5);
  const weightOf = (index: number): number => (1 + (ranks[index] ?? 0)) ** POPULARITY_POWER;
  const make = (
    titleId: string,
    durationSeconds: number,
    rest: Omit<SiteTitle, 'timeline' | 'durationSeconds' | 'highlights' | 'hasNext'>,
  ): SiteTitle => ({
    ...rest,
    durationSeconds,
    hasNext: rest.nextId !== undefined,
    highlights: Array.from({ length: 5 }, () => durationSeconds * (0.1 + 0.8 * chance())),
    timeline: timelineOf(titleId, durationSeconds, chance),
  });
  const series = Array.from({ length: SERIES }, (_, index) => {
    const begin = between(5, 120, chance);
    const intro = [begin, begin + between(30, 80, chance)] as const;
    const durationSeconds = between(1300, 3000, chance);
    return Array.from({ length: EPISODES }, (_each, episode) => {
      const nextId = episode + 1 < EPISODES ? `s${index}e${episode + 1}` : undefined;
      return make(`s${index}e${episode}`, durationSeconds, { intro, nextId, weight: weightOf(index) / (1 + episode) });
    });
  });
  const films = Array.from({ length: FILMS }, (_, index) =>
    make(`f${index}`, between(5000, 7500, chance), {
      intro: undefined,
      nextId: undefined,
      weight: weightOf(SERIES + index),
    }),
  );
  return [...series.flat(), ...films];
}

/** The most popular titles, which together are chosen this often. */
export function keptOf(titles: readonly SiteTitle[], ratio: number): ReadonlySet<string> {
  const all = titles.reduce((sum, { weight }) => sum + weight, 0);
  const kept = new Set<string>();
  let sum = 0;
  for (const { weight, timeline } of titles.toSorted((one, other) => other.weight - one.weight)) {
    if (sum + weight > ratio * all) break;
    sum += weight;
    kept.add(timeline.titleId);
  }
  return kept;
}
