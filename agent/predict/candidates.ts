// Which titles are worth scoring for a question, and why: what follows, what was begun, what is looked at, what many
// watch, what is new, what goes with what was watched. Without a session (no consent) only what is popular and new.
import { Best } from './best.ts';
import type { CatalogueIndex, PredictTitle } from './catalogue-index.ts';
import type { CandidateFacts } from './features.ts';
import { launchStrength } from './launch.ts';
import { cosineOf, nearest } from './nearest.ts';
import type { TitleShare } from './popularity.ts';
import { ENDED_RATIO, type Knowledge, type PredictSession, type Profile, profileOf } from './profile.ts';
import { placesOf } from './tables.ts';

/** Why a title is a candidate. */
export const REASONS = [
  'hovered',
  'announced',
  'next-episode',
  'continue',
  'popular',
  'launch',
  'similar',
  'transition',
  'taste',
] as const;
/** One of REASONS. */
export type Reason = (typeof REASONS)[number];

/** Reasons as bits, in the order of REASONS: a question has hundreds of titles, and each its set of reasons. */
type ReasonBits = number;
const bitOf = (reason: Reason): ReasonBits => 1 << REASONS.indexOf(reason);
const ANNOUNCED = bitOf('announced');
const CONTINUE = bitOf('continue');
/** The reasons of each set of bits. */
const REASONS_OF: readonly (readonly Reason[])[] = Array.from({ length: 1 << REASONS.length }, (_, bits) =>
  REASONS.filter((reason) => (bits & bitOf(reason)) !== 0),
);

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
  readonly knowledge?: Knowledge | undefined;
  readonly now: number;
  /** Most popular titles to take, and half as many launches. */
  readonly depth: number;
};

/** A title is begun from this much of it on, 0..1. */
const BEGUN_RATIO = 0.02;
/** Titles that each of item-to-item, transitions and taste may add. */
const PERSONAL_DEPTH = 40;
/** Titles that are like the latest one. */
const LATEST_DEPTH = 15;
/** What the most popular title gets on top of its cosine: enough to order titles of one genre, not to change it. */
const POPULAR_BONUS = 0.05;
const NOTHING: Knowledge = {};
/** What a player asks for next follows a title that it has done with. */
const AT_ONCE = { ratio: 1, hoursAgo: 0 };

/** Shares by title. A list of shares serves many questions, so its map is made once. */
const shareMaps = new WeakMap<readonly TitleShare[], ReadonlyMap<string, number>>();

function shareMap(shares: readonly TitleShare[]): ReadonlyMap<string, number> {
  const known = shareMaps.get(shares);
  if (known !== undefined) return known;
  const made = new Map(shares.map(({ titleId, share }) => [titleId, share]));
  shareMaps.set(shares, made);
  return made;
}

/** What is known of a title before anybody asks. `place` is its row in the embedding table. */
type KnownTitle = { readonly title: PredictTitle; readonly share: number; readonly place: number | undefined };

/** The titles that everybody's questions share: the popular ones and the launches, and what is known of them. */
type Crowd = {
  readonly popular: readonly string[];
  readonly launches: readonly string[];
  readonly known: ReadonlyMap<string, KnownTitle>;
  readonly lookUp: (titleId: string) => KnownTitle;
};

function launches({ index, now, depth }: CandidateQuestion): readonly string[] {
  const best = new Best<string>(Math.floor(depth / 2));
  // Of launches of one week the newest go first.
  for (const { id, releaseAt = 0 } of index.launchesAt(now).toReversed()) {
    const strength = launchStrength(releaseAt, now);
    if (strength > 0) best.offer(id, strength);
  }
  return best.items();
}

function makeCrowd(question: CandidateQuestion): Crowd {
  const { index, shares, knowledge = NOTHING, depth } = question;
  const table = knowledge.nearest?.table;
  const places = table && placesOf(table.titleIds);
  const shareOf = shareMap(shares);
  const lookUp = (titleId: string): KnownTitle => ({
    title: index.titles.get(titleId) ?? { id: titleId },
    share: shareOf.get(titleId) ?? 0,
    place: places?.get(titleId),
  });
  const popular = shares.slice(0, depth).map(({ titleId }) => titleId);
  const launched = launches(question);
  const known = new Map([...popular, ...launched].map((titleId) => [titleId, lookUp(titleId)]));
  return { popular, launches: launched, known, lookUp };
}

/** Made anew each minute, and when the catalogue, the shares or the embeddings are others. */
const crowds = new WeakMap<readonly TitleShare[], { readonly made: CandidateQuestion; readonly crowd: Crowd }>();
const minuteOf = (now: number): number => Math.floor(now / 60_000);

function crowdOf(question: CandidateQuestion): Crowd {
  const last = crowds.get(question.shares);
  const isSame =
    last?.made.index === question.index &&
    last.made.depth === question.depth &&
    minuteOf(last.made.now) === minuteOf(question.now) &&
    last.made.knowledge?.nearest === question.knowledge?.nearest;
  if (isSame) return last.crowd;
  // Launches are of the minute, whichever question of it comes first.
  const { index, shares, knowledge, depth } = question;
  const made = { index, shares, knowledge, depth, now: minuteOf(question.now) * 60_000 };
  const crowd = makeCrowd(made);
  crowds.set(shares, { made, crowd });
  return crowd;
}

/** POPULAR_BONUS by popularity, for each row of an embedding table; made once for a list of shares and a table. */
const bonuses = new WeakMap<readonly TitleShare[], { readonly of: readonly string[]; readonly bonus: Float32Array }>();

function bonusOf(shares: readonly TitleShare[], titleIds: readonly string[]): Float32Array {
  const known = bonuses.get(shares);
  if (known?.of === titleIds) return known.bonus;
  const bonus = new Float32Array(titleIds.length);
  const places = placesOf(titleIds);
  const most = shares[0]?.share ?? 1;
  for (const { titleId, share } of shares) {
    const place = places.get(titleId);
    if (place !== undefined) bonus[place] = POPULAR_BONUS * Math.sqrt(share / most);
  }
  bonuses.set(shares, { of: titleIds, bonus });
  return bonus;
}

/** The titles with the largest figures, at most PERSONAL_DEPTH. */
function largest(figures: ReadonlyMap<string, number>): readonly string[] {
  const best = new Best<string>(PERSONAL_DEPTH);
  for (const [titleId, figure] of figures) if (figure > 0) best.offer(titleId, figure);
  return best.items();
}

/** What the viewer's own session asks for besides the crowd's titles. */
function personal(question: CandidateQuestion, profile: Profile, add: (id: string, reason: Reason) => void): void {
  const { index, session, shares, knowledge = NOTHING } = question;
  if (session === undefined) return;
  if (session.hovered !== undefined) add(session.hovered.titleId, 'hovered');
  if (session.announced !== undefined) add(session.announced.titleId, 'announced');
  for (const next of profile.follows.keys()) add(next, 'next-episode');
  for (const { titleId, ratio } of profile.watched) {
    if (ratio !== undefined && ratio >= BEGUN_RATIO && ratio < ENDED_RATIO) add(titleId, 'continue');
  }
  for (const titleId of largest(profile.similarity)) add(titleId, 'similar');
  for (const titleId of largest(profile.transition)) add(titleId, 'transition');
  if (profile.taste === undefined || knowledge.nearest === undefined) return;
  const bonus = bonusOf(shares, knowledge.nearest.table.titleIds);
  const addNear = (vector: Float32Array, count: number, reason: Reason): void => {
    if (knowledge.nearest === undefined) return;
    for (const { titleId } of nearest(knowledge.nearest, vector, { count, bonus })) {
      const releaseAt = index.titles.get(titleId)?.releaseAt;
      if (releaseAt === undefined || releaseAt <= question.now) add(titleId, reason);
    }
  };
  addNear(profile.taste, PERSONAL_DEPTH, 'taste');
  // A taste of many titles turns slowly; what is like the latest one comes into sight at once.
  if (profile.latest !== undefined) addNear(profile.latest, LATEST_DEPTH, 'similar');
}

function reasonsByTitle(question: CandidateQuestion, profile: Profile, crowd: Crowd): Map<string, ReasonBits> {
  const found = new Map<string, ReasonBits>();
  const add = (titleId: string, reason: Reason): void => {
    found.set(titleId, (found.get(titleId) ?? 0) | bitOf(reason));
  };
  personal(question, profile, add);
  for (const titleId of crowd.popular) add(titleId, 'popular');
  for (const titleId of crowd.launches) add(titleId, 'launch');
  return found;
}

function largestOf(words: readonly string[] | undefined, ratios: ReadonlyMap<string, number>): number {
  let most = 0;
  for (const word of words ?? []) most = Math.max(most, ratios.get(word) ?? 0);
  return most;
}

/** The candidates of a question, each once with all its reasons. Titles that the catalogue lacks may be among them. */
export function generateCandidates(question: CandidateQuestion): readonly Candidate[] {
  const { index, session, now, knowledge = NOTHING } = question;
  const profile = profileOf(session, { index, knowledge, now });
  const crowd = crowdOf(question);
  const table = knowledge.nearest?.table;
  const { taste } = profile;
  return [...reasonsByTitle(question, profile, crowd)].map(([titleId, found]) => {
    const { title, share, place } = crowd.known.get(titleId) ?? crowd.lookUp(titleId);
    const own = profile.watchedById.get(titleId);
    const before = (found & ANNOUNCED) !== 0 ? AT_ONCE : profile.follows.get(titleId);
    return {
      titleId,
      reasons: REASONS_OF[found] ?? [],
      facts: {
        share,
        launch: title.releaseAt === undefined ? 0 : launchStrength(title.releaseAt, now),
        follows: before && { progressRatio: before.ratio ?? 0, hoursAgo: before.hoursAgo },
        begun: (found & CONTINUE) !== 0 && own ? { positionRatio: own.ratio ?? 0, hoursAgo: own.hoursAgo } : undefined,
        isHovered: titleId === session?.hovered?.titleId,
        genreRatio: largestOf(title.genres, profile.genreRatios),
        seriesRatio: title.series === undefined ? 0 : (profile.seriesRatios.get(title.series) ?? 0),
        isFinished: own?.ratio !== undefined && own.ratio >= ENDED_RATIO,
        similarity: profile.similarity.get(titleId) ?? 0,
        transition: profile.transition.get(titleId) ?? 0,
        taste: taste && table ? Math.max(0, cosineOf(table, place, taste)) : 0,
      },
    };
  });
}
