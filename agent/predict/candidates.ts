// Which titles are worth scoring for a question, and why: what follows, what was begun, what is looked at, what many
// watch, what is new. Without a session (no consent) only the last two, which know nothing of who asks.
import type { CatalogueIndex, PredictTitle } from './catalogue-index.ts';
import type { CandidateFacts } from './features.ts';
import { launchStrength } from './launch.ts';
import type { TitleShare } from './popularity.ts';

/** Why a title is a candidate. */
export const REASONS = ['hovered', 'next-episode', 'continue', 'popular', 'launch'] as const;
/** One of REASONS. */
export type Reason = (typeof REASONS)[number];

/** A title that a session has opened. A viewing of agent/telemetry/session.ts is one. */
export type WatchedTitle = {
  readonly titleId: string;
  /** Where the viewer is, or left. */
  readonly positionSeconds: number;
  /** Counts where the catalogue says nothing. */
  readonly durationSeconds?: number | undefined;
  /** When it was last seen, milliseconds since the epoch. */
  readonly at: number;
  readonly isCompleted: boolean;
};

/** What the predictor reads of a viewer who consented; nobody else has a session. */
export type PredictSession = {
  /** Newest first, each title once. */
  readonly history: readonly WatchedTitle[];
  readonly hovered?: { readonly titleId: string } | undefined;
};

/** A title to be scored. */
export type Candidate = {
  readonly titleId: string;
  readonly reasons: readonly Reason[];
  readonly facts: CandidateFacts;
};

/** What candidates are drawn from. `shares` are the region's, largest first, and are not changed afterwards. */
export type CandidateQuestion = {
  readonly index: CatalogueIndex;
  readonly shares: readonly TitleShare[];
  readonly session?: PredictSession | undefined;
  readonly now: number;
  /** Most popular titles and most recent launches to take, each. */
  readonly depth: number;
};

/** A title is begun from this much of it on, 0..1. */
const BEGUN_RATIO = 0.02;
/** And ended from this much on. */
export const ENDED_RATIO = 0.95;
/** What follows is considered from this much of a title on. */
const FOLLOWS_RATIO = 0.5;
/** Of a session only its latest titles count. */
const MAX_WATCHED = 100;
const HOUR_MS = 3_600_000;

type Watched = { readonly titleId: string; readonly ratio: number | undefined; readonly hoursAgo: number };

function watchedOf({ index, session, now }: CandidateQuestion): readonly Watched[] {
  return (session?.history ?? []).slice(0, MAX_WATCHED).map((viewing) => {
    const { titleId, positionSeconds, at, isCompleted } = viewing;
    const durationSeconds = index.titles.get(titleId)?.durationSeconds ?? viewing.durationSeconds ?? 0;
    const reached = durationSeconds > 0 ? Math.min(1, Math.max(0, positionSeconds / durationSeconds)) : undefined;
    const ratio = isCompleted ? Math.max(ENDED_RATIO, reached ?? 1) : reached;
    return { titleId, ratio, hoursAgo: Math.max(0, now - at) / HOUR_MS };
  });
}

const sharesGenre = (one: PredictTitle, other: PredictTitle | undefined): boolean =>
  one.genres?.some((genre) => other?.genres?.includes(genre)) ?? false;

/** Launches strongest first, as of the minute: a question asks for them anew, the catalogue seldom changes. */
const launchLists = new WeakMap<CatalogueIndex, { readonly minute: number; readonly ids: readonly string[] }>();

function launches({ index, now, depth }: CandidateQuestion): readonly string[] {
  const minute = Math.floor(now / 60_000);
  const known = launchLists.get(index);
  if (known?.minute === minute) return known.ids.slice(0, depth);
  const ids = [...index.titles.values()]
    .map(({ id, releaseAt }) => ({
      id,
      strength: releaseAt === undefined ? 0 : launchStrength(releaseAt, minute * 60_000),
    }))
    .filter(({ strength }) => strength > 0)
    .sort((one, other) => other.strength - one.strength || (one.id < other.id ? -1 : 1))
    .map(({ id }) => id);
  launchLists.set(index, { minute, ids });
  return ids.slice(0, depth);
}

/** Shares by title. A list of shares serves many questions, so its map is made once. */
const shareMaps = new WeakMap<readonly TitleShare[], ReadonlyMap<string, number>>();

function shareMap(shares: readonly TitleShare[]): ReadonlyMap<string, number> {
  const known = shareMaps.get(shares);
  if (known !== undefined) return known;
  const made = new Map(shares.map(({ titleId, share }) => [titleId, share]));
  shareMaps.set(shares, made);
  return made;
}

function reasonsByTitle(question: CandidateQuestion, watched: readonly Watched[]): Map<string, Set<Reason>> {
  const { index, session } = question;
  const found = new Map<string, Set<Reason>>();
  const add = (titleId: string | undefined, reason: Reason): void => {
    if (titleId === undefined) return;
    const reasons = found.get(titleId);
    if (reasons === undefined) found.set(titleId, new Set([reason]));
    else reasons.add(reason);
  };
  add(session?.hovered?.titleId, 'hovered');
  for (const { titleId, ratio } of watched) {
    if (ratio !== undefined && ratio >= FOLLOWS_RATIO) add(index.nextOf(titleId), 'next-episode');
    if (ratio !== undefined && ratio >= BEGUN_RATIO && ratio < ENDED_RATIO) add(titleId, 'continue');
  }
  for (const { titleId } of question.shares.slice(0, question.depth)) add(titleId, 'popular');
  for (const titleId of launches(question)) add(titleId, 'launch');
  return found;
}

/** The candidates of a question, each once with all its reasons. Titles that the catalogue lacks may be among them. */
export function generateCandidates(question: CandidateQuestion): readonly Candidate[] {
  const { index, session, now } = question;
  const watched = watchedOf(question);
  const byId = new Map(watched.map((entry) => [entry.titleId, entry]));
  const follows = new Map<string, Watched>();
  for (const entry of watched) {
    const next = index.nextOf(entry.titleId);
    if (next !== undefined && entry.ratio !== undefined && entry.ratio >= FOLLOWS_RATIO && !follows.has(next))
      follows.set(next, entry);
  }
  const shareOf = shareMap(question.shares);
  const watchedTitles = watched.map(({ titleId }) => index.titles.get(titleId));
  const ratioOf = (matches: (title: PredictTitle | undefined) => boolean): number =>
    watched.length === 0 ? 0 : watchedTitles.filter(matches).length / watched.length;

  return [...reasonsByTitle(question, watched)].map(([titleId, found]) => {
    const reasons = REASONS.filter((reason) => found.has(reason));
    const title: PredictTitle = index.titles.get(titleId) ?? { id: titleId };
    const own = byId.get(titleId);
    const before = found.has('next-episode') ? follows.get(titleId) : undefined;
    return {
      titleId,
      reasons,
      facts: {
        share: shareOf.get(titleId) ?? 0,
        launch: title.releaseAt === undefined ? 0 : launchStrength(title.releaseAt, now),
        follows: before && { progressRatio: before.ratio ?? 0, hoursAgo: before.hoursAgo },
        begun: found.has('continue') && own ? { positionRatio: own.ratio ?? 0, hoursAgo: own.hoursAgo } : undefined,
        isHovered: titleId === session?.hovered?.titleId,
        genreRatio: ratioOf((other) => sharesGenre(title, other)),
        seriesRatio: title.series === undefined ? 0 : ratioOf((other) => other?.series === title.series),
        isFinished: own?.ratio !== undefined && own.ratio >= ENDED_RATIO,
      },
    };
  });
}
