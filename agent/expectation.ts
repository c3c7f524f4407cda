// What is expected to be asked for, part by part, over the URLs of this node's titles: counts what is served, tells the
// cache what to keep and the nightly fill what to fetch. It knows counts alone, and nothing outlives the process.
import type { Cache, Demand } from '../cache/cache.ts';
import type { Catalogue } from './catalogue.ts';
import type { Config } from './config.ts';
import { type Forecasting, type ForecastingOptions, openForecasting } from './forecasting.ts';
import { Audience, type AudienceTitle } from './predict/audience.ts';
import { BUCKET_SECONDS } from './predict/flow.ts';
import type { Prediction } from './prediction.ts';
import type { ServedPart } from './prefetch/insession.ts';
import { placeOf, type Timeline, withoutQuery } from './prefetch/timeline.ts';
import type { Timelines } from './timelines.ts';

/** What openExpectation() needs. */
export type ExpectationOptions = ForecastingOptions & {
  readonly catalogue: Pick<Catalogue, 'title' | 'titles' | 'titleOf'>;
  readonly timelines: Timelines;
  readonly cache: Pick<Cache, 'stats'>;
  /** The title that follows. */
  readonly nextOf: (titleId: string) => string | undefined;
  /** Views of a title that were counted before this start, a day. */
  readonly startsPerDay: (titleId: string) => number;
  /** Of a byte from the origin of a path, beside others'. */
  readonly costOf: (path: string) => number;
  /** Share of the disk for first seconds of titles, which are protected there, 0..1. */
  readonly headRatio: number;
};

/** What is expected. Nothing here throws. */
export type Expectation = Pick<Forecasting, 'hours' | 'explained' | 'save'> & {
  /** A request was answered. */
  readonly served: (part: Omit<ServedPart, 'isHit' | 'viewing'>) => void;
  /** For the cache: groups of keys and what each is expected to be asked for. */
  readonly demand: Demand;
  /** Takes in a title; its parts are expected from then on. */
  readonly open: (timeline: Timeline) => void;
  /** Timelines of titles that are expected. */
  readonly known: () => readonly Timeline[];
  /** Requests expected of the part of a track, by its place in the timeline, that begins at a time. */
  readonly expected: (titleId: string, track: number, seconds: number) => number;
  /** Chance that anybody asks for what of a title is expected so often, 0..1. */
  readonly chance: (titleId: string, expected: number) => number;
  /** Chooses whose first seconds are protected, among all titles that are open now: sweep() does so bit by bit. */
  readonly protect: () => void;
  readonly isProtected: (titleId: string, track: number) => boolean;
  /** Of a byte of a title, beside others'. */
  readonly costOf: (titleId: string) => number;
  /** Looks as far ahead as objects now stay, and saves now and then. Every minute. */
  readonly sweep: () => void;
  readonly stats: () => {
    readonly titles: number;
    readonly horizonSeconds: number;
    /** Share of the forecast's intervals so far that held. */
    readonly heldRatio: number;
  };
};

/** A title's timeline is asked for again after this long: it may have been published anew. */
const CHECK_MS = 60_000;
/** Titles whose timelines are being read for this at once; requests of others are not counted until later. */
const MAX_READING = 64;
/** How far ahead it pays to look: as long as an object stays that is kept. */
const HORIZON_SECONDS = { least: 1800, first: 7 * 86_400, most: 14 * 86_400 } as const;
/** Renditions whose first seconds are judged in one sweep, a few milliseconds' work. */
const JUDGED_RENDITIONS = 2_000;
/** What came in is measured over this long, and newest hours count most. */
const INTAKE_HOURS = 24;

type Open = { timeline: Timeline; checkedAt: number };

/** How long an object stays that is kept: the store's size by what comes in. */
function openHorizon(cache: Pick<Cache, 'stats'>, now: () => number): () => number {
  let perSecond: number | undefined;
  let last: { readonly at: number; readonly bytes: number } | undefined;
  return () => {
    const { originBytes, store } = cache.stats();
    const bytes = Object.values(originBytes).reduce((sum, each) => sum + each, 0);
    const at = now();
    if (last !== undefined && at > last.at) {
      const seconds = (at - last.at) / 1000;
      const rate = Math.max(0, bytes - last.bytes) / seconds;
      const kept = Math.exp(-seconds / (INTAKE_HOURS * 3600));
      perSecond = perSecond === undefined ? rate : perSecond * kept + rate * (1 - kept);
    }
    last = { at, bytes };
    if (perSecond === undefined || perSecond === 0) return HORIZON_SECONDS.first;
    const stays = store.limitBytes.disk / perSecond;
    return Math.min(HORIZON_SECONDS.most, Math.max(HORIZON_SECONDS.least, stays));
  };
}

/** Whether the part at `index` is the first of its bucket, or of the title. */
function isFirst({ parts }: Timeline['tracks'][number], index: number): boolean {
  const [part, before] = [parts[index], parts[index - 1]];
  if (part === undefined || before === undefined) return part !== undefined;
  return Math.floor(part.startSeconds / BUCKET_SECONDS) !== Math.floor(before.startSeconds / BUCKET_SECONDS);
}

/** Reads timelines, each once at a time, for whoever wants them. */
function openReading(
  { timelines, log }: Pick<ExpectationOptions, 'timelines' | 'log'>,
  open: (timeline: Timeline) => void,
): (titleId: string) => void {
  const reading = new Set<string>();
  return (titleId) => {
    if (reading.has(titleId) || reading.size >= MAX_READING) return;
    reading.add(titleId);
    timelines
      .of(titleId)
      .then((timeline) => timeline !== undefined && open(timeline))
      .catch((error: unknown) => log('debug', 'expectation.timeline', { titleId, message: String(error) }))
      .finally(() => reading.delete(titleId));
  };
}

/** A title as its audience meets it. */
function audienceTitle(
  { titleId: id, durationSeconds, masterUrl, tracks }: Timeline,
  { catalogue, costOf }: Pick<ExpectationOptions, 'catalogue' | 'costOf'>,
  previousId: string | undefined,
): AudienceTitle {
  const { releaseAt, series } = catalogue.title(id) ?? {};
  const kinds = tracks.map(({ kind, bandwidthBps }) => ({ kind, bitsPerSecond: bandwidthBps }));
  return { id, durationSeconds, tracks: kinds, releaseAt, series, previousId, cost: costOf(masterUrl) };
}

/** First seconds of titles that are protected on this disk. */
function openBeginnings(
  audience: Audience,
  { headRatio, cache, now }: Pick<ExpectationOptions, 'headRatio' | 'cache' | 'now'>,
): Pick<Expectation, 'protect' | 'isProtected'> & { readonly look: (renditions: number) => void } {
  const look = (renditions: number): void =>
    audience.protect(headRatio * cache.stats().store.limitBytes.disk, { renditions, now: now() });
  return {
    look,
    protect: () => {
      // First how much must be expected, then of whom it is.
      for (let times = 0; times < 2; times += 1) look(Number.POSITIVE_INFINITY);
    },
    isProtected: (titleId, track) => audience.isProtected(titleId, track),
  };
}

/** Opens it; it knows no title before the first is served or opened. */
export function openExpectation(options: ExpectationOptions): Expectation {
  const { catalogue, nextOf, now } = options;
  const audience = new Audience({ sinceMs: now(), horizonSeconds: HORIZON_SECONDS.first });
  const horizon = openHorizon(options.cache, now);
  const forecast = openForecasting(options);
  const titles = new Map<string, Open>();
  const previous = openPrevious(catalogue, nextOf);
  const read = openReading(options, (timeline) => open(timeline));
  const { look, ...beginnings } = openBeginnings(audience, options);
  const open = (timeline: Timeline): void => {
    const { titleId, durationSeconds } = timeline;
    if (!Number.isFinite(durationSeconds)) return;
    const title = audienceTitle(timeline, options, previous(titleId));
    const isKnown = titles.get(titleId)?.timeline === timeline || audience.knows(title);
    if (!isKnown && !audience.open(title, options.startsPerDay(titleId))) return;
    titles.set(titleId, { timeline, checkedAt: now() });
  };
  /** Where a path of a title is; its timeline is read if that is not known, or was read long ago. */
  const locate = (titleId: string | undefined, path: string) => {
    if (titleId === undefined) return undefined;
    const found = titles.get(titleId);
    if (found === undefined || now() - found.checkedAt > CHECK_MS) read(titleId);
    // Before anything else of a title its master playlist is asked for.
    const isMaster = found !== undefined && path === withoutQuery(found.timeline.masterUrl);
    if (isMaster) return { titleId, track: 0 };
    const place = found && placeOf(found.timeline, path);
    if (found === undefined || place === undefined) return undefined;
    return { titleId, place, track: found.timeline.tracks.indexOf(place.track), part: place.track.parts[place.index] };
  };
  return {
    served: ({ path, status, kind, title }) => {
      if (kind !== 'segment' || (status !== 200 && status !== 206)) return;
      const { titleId, place, track, part } = locate(title, path) ?? {};
      if (titleId === undefined || place === undefined || track === undefined || part === undefined) return;
      if (place.track.kind === 'video') forecast.watched(titleId, part.durationSeconds);
      const seconds = place.index === 0 ? 0 : part.startSeconds;
      if (isFirst(place.track, place.index)) audience.enter({ titleId, track, seconds }, now());
    },
    demand: {
      groupOf: (key) => {
        const path = withoutQuery(key.slice(key.indexOf(' ') + 1));
        const found = locate(catalogue.titleOf(path), path);
        return found && audience.groupOf(found.titleId, found.track, found.part?.startSeconds ?? 0);
      },
      scoreOf: (group) => audience.score(group, now()),
    },
    open,
    known: () => [...titles.values()].map(({ timeline }) => timeline),
    chance: (titleId, expected) => audience.chance(titleId, expected, now()),
    ...beginnings,
    expected: (titleId, track, seconds) => audience.expected({ titleId, track, seconds }, now()),
    costOf: (titleId) => options.costOf(titles.get(titleId)?.timeline.masterUrl ?? '/'),
    ...{ hours: forecast.hours, explained: forecast.explained, save: forecast.save },
    sweep: () => {
      forecast.sweep();
      look(JUDGED_RENDITIONS);
      const next = horizon();
      // Everything is worked out anew after a change: small ones are not worth it.
      if (Math.abs(Math.log(next / audience.horizonSeconds)) > 0.2) audience.lookAhead(next);
    },
    stats: () => ({
      titles: titles.size,
      horizonSeconds: audience.horizonSeconds,
      heldRatio: forecast.heldRatio(),
    }),
  };
}

/** What popularity has counted of titles, what follows each, and what their origins cost: for what begins to count anew. */
export function countedBefore(
  { config, now }: { readonly config: Config; readonly now: () => number },
  { predictor, popularity }: Pick<Prediction, 'predictor' | 'popularity'>,
): Pick<ExpectationOptions, 'nextOf' | 'startsPerDay' | 'costOf'> {
  return {
    nextOf: predictor.nextOf,
    startsPerDay: (titleId) => {
      const share = predictor.shares().find((one) => one.titleId === titleId)?.share ?? 0;
      return share * popularity.expectedViews(config.node.region, 1, now());
    },
    // As the cache chooses: the first origin whose match is a prefix.
    costOf: (path) => config.origins.find(({ match }) => path.startsWith(match))?.cost ?? 1,
  };
}

/** The title before each, by what follows each; made anew when the catalogue has changed its length. */
function openPrevious(
  catalogue: Pick<Catalogue, 'titles'>,
  nextOf: ExpectationOptions['nextOf'],
): (titleId: string) => string | undefined {
  let made: { readonly of: number; readonly before: ReadonlyMap<string, string> } | undefined;
  return (titleId) => {
    const all = catalogue.titles();
    if (made?.of !== all.length) {
      const before = new Map<string, string>();
      for (const { id } of all) {
        const next = nextOf(id);
        if (next !== undefined) before.set(next, id);
      }
      made = { of: all.length, before };
    }
    return made.before.get(titleId);
  };
}
