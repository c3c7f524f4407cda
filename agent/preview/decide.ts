// Which cut of a title a viewer gets: package, taste and choice, each within its share of the time, and the best answer
// so far where one is late: personal, then what the region likes, then the default.
import type { Title } from '../../encoder/contract.ts';
import { remember } from '../remember.ts';
import { attempt, type Budget, type Step } from './budget.ts';
import type { Choice, Chooser } from './choice.ts';
import { type Features, meanFeatures, sharedTraits, shotFeatures, vectorOf } from './descriptor.ts';
import type { TitleInterest } from './interest.ts';
import { type Cut, chooseMoments, type MomentHints } from './moments.ts';
import type { Published, Timeline } from './playlist.ts';
import type { Overrides } from './sidecar.ts';

/** What there is to make a preview from; `pending`: known, but not encoded yet. */
export type PackageState =
  | ({ readonly state: 'ready'; readonly overrides?: Overrides | undefined } & Published)
  | { readonly state: 'foreign'; readonly timeline: Timeline }
  | { readonly state: 'pending' };

/** What a viewer who consented has watched, newest first, each 0..1 of its length, and how fast the line is. */
export type ViewerHistory = {
  readonly watched: readonly { readonly titleId: string; readonly watchedRatio: number }[];
  readonly throughputBps?: number | undefined;
};

/** Who made a choice; `none`: there was no preview to give. */
export const ANSWERS = ['personal', 'cohort', 'default', 'none'] as const;
export type Answer = (typeof ANSWERS)[number];

/** Why the answer was no better; `chosen`: nothing was missing, `asked`: the request named the cut. */
export const REASONS = [
  'chosen',
  'asked',
  'no-history',
  'taste-late',
  'taste-failed',
  'one-cut',
  'foreign',
  'choice-late',
  'choice-failed',
  'holdout',
  'unknown',
  'pending',
  'no-segments',
  'no-cut',
  'no-text',
  'media-missing',
  'busy',
  'package-late',
  'package-failed',
] as const;
export type Reason = (typeof REASONS)[number];

/** What decide() needs. */
export type DecideOptions = {
  /** The same object for the same package each time: its cuts are remembered by identity. Undefined: unknown title. */
  readonly packageOf: (titleId: string) => Promise<PackageState | undefined> | PackageState | undefined;
  /** Undefined without consent or history: then nothing is personal. */
  readonly sessionOf: (sid: string) => Promise<ViewerHistory | undefined> | ViewerHistory | undefined;
  readonly bandit: Chooser;
  readonly interestOf?: (titleId: string, durationSeconds: number) => TitleInterest | undefined;
  readonly hints?: Pick<MomentHints, 'themes' | 'scorers'>;
};

/** Whose preview of what; `arm` names the cut instead of having it chosen. */
export type Wanted = { readonly titleId: string; readonly sid?: string | undefined; readonly arm?: string | undefined };

/** A cut and how it was come by. */
export type Decided = {
  readonly kind: 'cut';
  readonly published: Published;
  readonly cut: Cut;
  /** Absent where nobody was asked: nothing is logged, and there is no token. */
  readonly choice?: Choice | undefined;
  readonly answer: Exclude<Answer, 'none'>;
  readonly reason: Reason;
  readonly throughputBps: number | undefined;
  /** Features in which the cut is near to the viewer's taste. */
  readonly traits: readonly string[];
};

/** What decide() gives. */
export type Decision =
  | Decided
  | { readonly kind: 'timeline'; readonly timeline: Timeline }
  | {
      readonly kind: 'none';
      readonly status: 404 | 409 | 503;
      readonly reason: Reason;
      /** Of a viewer who is held out: to be logged like one that is shown. */
      readonly choice?: Choice;
    };

/** Decides for one request after the other; remembers what is derived from titles. */
export type Decider = {
  readonly decide: (wanted: Wanted, budget: Budget) => Promise<Decision>;
  /** A title's package within its share of the time, or the last one that was seen when the newest is late. */
  readonly find: (titleId: string, budget: Budget) => Promise<Found>;
  /** The cuts of a published title; undefined when it is not one, or late. */
  readonly cutsOf: (
    titleId: string,
    budget: Budget,
  ) => Promise<{ readonly published: Published; readonly cuts: readonly Cut[] } | undefined>;
  /** The viewer's taste in the features' space; undefined without consent or history. */
  readonly tasteOf: (sid: string) => Promise<Taste | undefined>;
};

/** A package, undefined for an unknown title, or why there is none. */
export type Found = PackageState | undefined | 'package-late' | 'package-failed';

/** A taste. */
export type Taste = { readonly features: Features | undefined; readonly throughputBps: number | undefined };

/** What is derived from a title: its cuts and their vectors. */
type Profile = {
  readonly cuts: readonly [Cut, ...Cut[]];
  readonly vectors: readonly Float64Array[];
  readonly interest: number;
  readonly overrides: Overrides | undefined;
};

/** Watched titles that make a taste. */
const MOST_WATCHED = 8;
/** Packages that answered lately, given when the newest cannot be read in time. */
const MOST_REMEMBERED = 256;
/** Traits that are told as the reason for a choice. */
const MOST_TRAITS = 2;

type Room = DecideOptions & {
  readonly profiles: WeakMap<Title, Profile>;
  /** Mean of all shots of a title, which is all that a taste needs of it. */
  readonly means: WeakMap<Title, { readonly features: Features | undefined }>;
  readonly remembered: Map<string, PackageState>;
  readonly onLate: (step: Step) => void;
};

/** Opens a decider. `onLate` hears each step that was not done by its share. */
export function openDecider(options: DecideOptions, onLate: (step: Step) => void): Decider {
  const room: Room = { ...options, onLate, profiles: new WeakMap(), means: new WeakMap(), remembered: new Map() };
  return {
    decide: (wanted, budget) => decide(room, wanted, budget),
    find: (titleId, budget) => findPackage(room, titleId, budget),
    cutsOf: async (titleId, budget) => {
      const found = await findPackage(room, titleId, budget);
      if (typeof found !== 'object' || found.state !== 'ready') return undefined;
      const { title, baseUrl, overrides } = found;
      return { published: { title, baseUrl }, cuts: profileOf(room, title, overrides).cuts };
    },
    tasteOf: (sid) => readTaste(room, sid),
  };
}

async function decide(room: Room, wanted: Wanted, budget: Budget): Promise<Decision> {
  const { titleId, sid, arm } = wanted;
  const asksTaste = sid !== undefined && arm === undefined;
  const taste = asksTaste ? attempt(() => readTaste(room, sid)) : Promise.resolve(undefined);
  const found = await findPackage(room, titleId, budget);
  if (found === 'package-late' || found === 'package-failed') return { kind: 'none', status: 503, reason: found };
  if (found === undefined) return { kind: 'none', status: 404, reason: 'unknown' };
  if (found.state === 'pending') return { kind: 'none', status: 409, reason: 'pending' };
  if (found.state === 'foreign') return { kind: 'timeline', timeline: found.timeline };
  const { title, baseUrl, overrides } = found;
  const profile = profileOf(room, title, overrides);
  const [standard] = profile.cuts;
  const base = { kind: 'cut', published: { title, baseUrl }, throughputBps: undefined, traits: [] } as const;
  if (arm !== undefined) {
    const cut = profile.cuts.find((one) => one.arm === arm);
    if (cut === undefined) return { kind: 'none', status: 404, reason: 'no-cut' };
    return { ...base, cut, answer: 'default', reason: 'asked' };
  }
  const tasted = await budget.by('taste', taste);
  if (tasted.ended === 'late') room.onLate('taste');
  const liked = tasted.ended === 'value' ? tasted.value : undefined;
  const context = liked?.features;
  const known = { ...base, throughputBps: liked?.throughputBps };
  if (budget.leftMs() === 0) {
    room.onLate('choice');
    return { ...known, cut: standard, answer: 'default', reason: 'choice-late' };
  }
  const choice = choose(room, { profile, titleId, sid, context });
  if (budget.isOver('choice')) room.onLate('choice');
  if (choice === undefined) return { ...known, cut: standard, answer: 'default', reason: 'choice-failed' };
  if (choice.isHeldOut) return { kind: 'none', status: 409, reason: 'holdout', choice };
  const cut = profile.cuts[choice.index] ?? standard;
  if (profile.cuts.length === 1) return { ...known, cut, choice, answer: 'default', reason: 'one-cut' };
  if (context === undefined) {
    const reason = tasted.ended === 'value' ? 'no-history' : (`taste-${tasted.ended}` as const);
    return { ...known, cut, choice, answer: 'cohort', reason };
  }
  const others = profile.cuts.map(({ features }) => features);
  const traits = sharedTraits(cut.features, { taste: context, others, most: MOST_TRAITS });
  return { ...known, cut, choice, answer: 'personal', reason: 'chosen', traits };
}

async function findPackage(room: Room, titleId: string, budget: Budget): Promise<Found> {
  const found = await budget.by(
    'package',
    attempt(() => room.packageOf(titleId)),
  );
  if (found.ended === 'value') {
    rememberPackage(room.remembered, titleId, found.value);
    return found.value;
  }
  if (found.ended === 'late') room.onLate('package');
  return room.remembered.get(titleId) ?? `package-${found.ended}`;
}

function rememberPackage(remembered: Room['remembered'], titleId: string, found: PackageState | undefined): void {
  if (found?.state === 'ready') remember(remembered, titleId, found, MOST_REMEMBERED);
  else remembered.delete(titleId);
}

type Question = {
  readonly profile: Profile;
  readonly titleId: string;
  readonly sid: string | undefined;
  readonly context: Features | undefined;
};

function choose(room: Room, { profile, titleId, sid, context }: Question): Choice | undefined {
  const arms = profile.cuts.map(({ arm }, index) => ({
    id: arm,
    features: profile.vectors[index] ?? new Float64Array(),
  }));
  try {
    return room.bandit.choose({
      ...{ slot: 'preview', titleId, arms },
      ...(context === undefined ? {} : { context: vectorOf(context) }),
      ...(sid === undefined ? {} : { sid }),
    });
  } catch {
    return undefined; // Answered with the default, and counted as choice-failed.
  }
}

/** The cuts of a package: derived once, and again when its operator or its viewers have said something new. */
function profileOf(room: Room, title: Title, overrides: Overrides | undefined): Profile {
  const interest = room.interestOf?.(title.id, title.durationSeconds);
  const version = interest?.version ?? 0;
  const known = room.profiles.get(title);
  if (known !== undefined && known.interest === version && known.overrides === overrides) return known;
  const cuts = chooseMoments(title, { ...room.hints, overrides, interest: interest?.over });
  const vectors = cuts.map(({ features }) => vectorOf(features));
  const profile: Profile = { cuts, vectors, interest: version, overrides };
  room.profiles.set(title, profile);
  return profile;
}

function meanOf({ means }: Room, title: Title): Features | undefined {
  const known = means.get(title);
  if (known !== undefined) return known.features;
  const shots = shotFeatures(title);
  const features = meanFeatures(
    shots.map((own, at) => ({ features: own, weight: title.shots[at]?.durationSeconds ?? 0 })),
  );
  means.set(title, { features });
  return features;
}

/** Mean of what a viewer watched, each title weighted by how much of it was watched. */
async function readTaste(room: Room, sid: string): Promise<Taste | undefined> {
  const history = await room.sessionOf(sid);
  if (history === undefined) return undefined;
  const watched = history.watched.filter((one) => one.watchedRatio > 0).slice(0, MOST_WATCHED);
  const states = await Promise.all(watched.map(({ titleId }) => room.packageOf(titleId)));
  const titles = states.flatMap((known, index) => {
    const features = known?.state === 'ready' ? meanOf(room, known.title) : undefined;
    return features === undefined ? [] : [{ features, weight: Math.min(1, watched[index]?.watchedRatio ?? 0) }];
  });
  return { features: meanFeatures(titles), throughputBps: history.throughputBps };
}
