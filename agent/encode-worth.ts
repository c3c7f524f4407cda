// What encoding a title is worth at this node now: what the region is expected to watch, and what titles that were encoded
// here have saved and cost.
import type { Title } from '../encoder/contract.ts';
import type { Catalogue, CatalogueTitle } from './catalogue.ts';
import type { EncodeStatus } from './encodes.ts';
import { type Encoded, type Experience, HORIZON_DAYS, learn, type Worth, worthOf } from './power/worth.ts';
import type { TitleDemand } from './predict/demand.ts';

/** What openWorth() needs. */
export type WorthOptions = {
  readonly catalogue: Pick<Catalogue, 'title' | 'titles' | 'published' | 'package'>;
  /** Expected shares of the region's next views, highest first. */
  readonly demand: (limit: number) => readonly TitleDemand[];
  /** Views of all titles that the region will have in so many days. */
  readonly expectedViews: (days: number) => number;
  /** Hours that the region is expected to watch of a title in a week; undefined: nobody has watched it here yet. */
  readonly hoursAWeek: (id: string) => number | undefined;
  /** Where titles that are encoded here are served. */
  readonly publishPath: string;
  readonly now: () => number;
};

/** A title of the catalogue that has no package of ours and no job, and why. */
export type NotEncoded = {
  readonly id: string;
  readonly why: 'sealed' | 'elsewhere' | 'no-source' | 'failed';
  readonly code?: string;
  readonly worth: Worth;
};

/** The worth of titles. */
export type TitleWorth = {
  readonly worthOf: (id: string, sourceBytes: number) => Worth;
  /** A title was published: it counts from now on. */
  readonly learned: (title: Title) => void;
  /** Titles without a package, what would save most first, at most MAX_NOT_ENCODED. */
  readonly notEncoded: (jobs: readonly EncodeStatus[]) => readonly NotEncoded[];
  /** Reads what packages that are there have saved and cost. Never rejects. */
  readonly readPackages: () => Promise<void>;
};

const MAX_TITLES = 5_000;
const DEMAND_TTL_MS = 60_000;
/** Latest titles that experience is made of. */
const MAX_LEARNED = 50;
const MAX_NOT_ENCODED = 200;

const encodedOf = ({ durationSeconds, savings, cost }: Title): Encoded => ({
  durationSeconds,
  referenceBps: savings.referenceBps,
  savedRatio: savings.cap + savings.pruning + savings.allocation,
  cpuSeconds: cost.cpuSeconds,
});

/** Opens it; nothing is read before it is asked. */
export function openWorth(options: WorthOptions): TitleWorth {
  const { catalogue, now } = options;
  const encoded: Encoded[] = [];
  let experience: Experience = learn(encoded);
  let shares: { readonly at: number; readonly of: ReadonlyMap<string, number>; readonly views: number } | undefined;

  const viewsOf = (id: string): number => {
    const at = now();
    if (shares === undefined || Math.abs(at - shares.at) >= DEMAND_TTL_MS) {
      const of = new Map(options.demand(MAX_TITLES).map(({ titleId, score }) => [titleId, score]));
      shares = { at, of, views: options.expectedViews(HORIZON_DAYS) };
    }
    return (shares.of.get(id) ?? 0) * shares.views;
  };
  const worth = (id: string, sourceBytes: number): Worth => {
    const durationSeconds = catalogue.published(id)?.durationSeconds ?? catalogue.title(id)?.durationSeconds;
    // Who watches half of a title needs half of its bytes: two of them are a view.
    const hours = durationSeconds !== undefined && durationSeconds > 0 ? options.hoursAWeek(id) : undefined;
    const views = hours === undefined ? viewsOf(id) : (hours * 3600 * HORIZON_DAYS) / (7 * (durationSeconds ?? 1));
    return worthOf({ durationSeconds, views, sourceBytes }, experience);
  };
  const learned = (title: Title): void => {
    // A package that was found again cost nothing this time, which says nothing of the next one.
    if (title.cost.cpuSeconds <= 0) return;
    encoded.push(encodedOf(title));
    if (encoded.length > MAX_LEARNED) encoded.shift();
    experience = learn(encoded);
  };
  const whyNot = (title: CatalogueTitle, job: EncodeStatus | undefined): Omit<NotEncoded, 'worth'> => {
    const { id, manifestUrl } = title;
    if (title.source === 'sealed') return { id, why: 'sealed' };
    if (job?.failure !== undefined) return { id, why: 'failed', code: job.failure.code };
    const isOurs = manifestUrl === undefined || manifestUrl === `${options.publishPath}${id}/master.m3u8`;
    return { id, why: isOurs ? 'no-source' : 'elsewhere' };
  };
  return {
    worthOf: worth,
    learned,
    notEncoded: (jobs) => {
      const known = new Map(jobs.map((job) => [job.id, job]));
      const isOpen = (id: string) => ['queued', 'running'].includes(known.get(id)?.state ?? '');
      return catalogue
        .titles()
        .filter(({ id }) => catalogue.published(id) === undefined && !isOpen(id))
        .map((title) => ({ ...whyNot(title, known.get(title.id)), worth: worth(title.id, 0) }))
        .sort((one, other) => other.worth.savedBytesPerCpuHour - one.worth.savedBytesPerCpuHour)
        .slice(0, MAX_NOT_ENCODED);
    },
    readPackages: async () => {
      for (const { id } of catalogue.titles()) {
        if (encoded.length >= MAX_LEARNED) break;
        if (catalogue.published(id) === undefined) continue;
        const found = await catalogue.package(id).catch(() => undefined);
        if (found !== undefined) learned(found.title);
      }
    },
  };
}
