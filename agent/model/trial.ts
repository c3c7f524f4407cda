// The trial of models on live questions: how often each would have had the title that was opened near its top, by
// viewer, and what follows from it. A challenger takes over only when it beats the champion and every plain baseline; a
// champion that loses against the model before it, or against plain rules, goes.
import type { Raw } from '../telemetry/event.ts';
import { type Difference, pairedDifference, type ViewerPair } from './bootstrap.ts';

/** What is compared on each question: the champion, another model beside it, and plain code. */
export type Gains = {
  readonly champion: number;
  /** Undefined when the other model gave no answer in time; then it is not compared on this question. */
  readonly other?: number | undefined;
  readonly baselines: Readonly<Record<string, number>>;
};

/** A trial's result so far, by name of who the champion, or the other model, is compared with. */
export type TrialReport = {
  readonly viewers: number;
  readonly questions: number;
  readonly championNdcg: number;
  readonly otherNdcg: number | undefined;
  /** Questions at which it is decided next. */
  readonly nextLook: number;
};

/** What a look at the trial says. `promote` and `withdraw` are of a challenger, `rollBack` of the champion. */
export type Verdict = 'promote' | 'withdraw' | 'rollBack' | 'none';

/** A verdict, and the differences that it is made of. */
export type Look = { readonly verdict: Verdict; readonly differences: Readonly<Record<string, Difference>> };

/** What the other model is. */
export type OtherRole = 'challenger' | 'predecessor';

/**
 * What of a trial outlives the process: sums alone. Of whom they are is in none of them, neither a name nor a title, so that
 * who comes back after a restart counts as another viewer.
 */
export type KeptTrial = { readonly nextLook: number; readonly sums: readonly Sums[] };

/** A trial. */
export type Trial = {
  readonly add: (viewer: Raw<string>, gains: Gains) => void;
  /** Judges when enough questions have come since the last look; undefined otherwise. */
  readonly look: (role: OtherRole | undefined) => Look | undefined;
  readonly forget: (viewers: ReadonlySet<string>) => void;
  readonly report: () => TrialReport;
  readonly kept: () => KeptTrial;
};

/** Positions that count. */
const DEPTH = 10;
/** First look; each further one at twice as many questions (below about 1,000 nothing can be said), and the last. */
const FIRST_LOOK = 1_000;
const LAST_LOOK = 16_000;
/** Viewers below which nothing is decided, however many questions they asked. */
const LEAST_VIEWERS = 30;
/** Five looks at half a percent each: less than 2.5 % of all models that are no better are ever promoted. */
const ALPHA = 0.005;
const ROUNDS = 2_000;
/** Viewers with sums of their own; later ones are not counted. */
const MAX_VIEWERS = 20_000;
/** Sums that are kept; those of more viewers are put together, as a look at the trial does anyway (bootstrap.ts). */
const MAX_KEPT = 200;

/** Gain of a title at `place` (1 is first; undefined: not ranked): normalised discounted cumulative gain of one title. */
export const gainAt = (place: number | undefined): number =>
  place === undefined || place > DEPTH ? 0 : 1 / Math.log2(place + 1);

/** The place of a row among scores, 1 for the best; ties count half. Undefined for a row that is not there. */
export function placeOf(scores: ArrayLike<number>, row: number): number | undefined {
  const own = scores[row];
  if (own === undefined) return undefined;
  let better = 0;
  let equal = -1;
  for (let other = 0; other < scores.length; other += 1) {
    if ((scores[other] ?? 0) > own) better += 1;
    else if (scores[other] === own) equal += 1;
  }
  return 1 + better + equal / 2;
}

/** A baseline's sums over the questions that it answered: all of them, and those that the other model answered too. */
export type Beside = { questions: number; champion: number; own: number } & {
  readonly paired: { questions: number; own: number; other: number };
};

/** Sums over the questions of one viewer, or of several whose questions were put together. */
export type Sums = {
  viewers: number;
  all: number;
  champion: number;
  paired: number;
  pairedChampion: number;
  other: number;
} & { readonly baselines: Record<string, Beside> };

const noSums = (): Sums => ({
  ...{ viewers: 0, all: 0, champion: 0, paired: 0, pairedChampion: 0, other: 0, baselines: {} },
});

const noBeside = (): Beside => ({ questions: 0, champion: 0, own: 0, paired: { questions: 0, own: 0, other: 0 } });

const sumOf = (values: Iterable<Sums>, of: (sums: Sums) => number): number => {
  let total = 0;
  for (const sums of values) total += of(sums);
  return total;
};

/** Adds one viewer's sums to another's. */
function addSums(into: Sums, from: Sums): void {
  into.viewers += from.viewers;
  into.all += from.all;
  into.champion += from.champion;
  into.paired += from.paired;
  into.pairedChampion += from.pairedChampion;
  into.other += from.other;
  for (const [name, beside] of Object.entries(from.baselines)) {
    const sum = into.baselines[name] ?? noBeside();
    into.baselines[name] = sum;
    sum.questions += beside.questions;
    sum.champion += beside.champion;
    sum.own += beside.own;
    sum.paired.questions += beside.paired.questions;
    sum.paired.own += beside.paired.own;
    sum.paired.other += beside.paired.other;
  }
}

type Viewers = ReadonlyMap<string, Sums>;

const baselineNames = (viewers: Viewers): readonly string[] => [
  ...new Set([...viewers.values()].flatMap(({ baselines }) => Object.keys(baselines))),
];

/** All differences that a verdict is made of, by name. */
function differencesOf(viewers: Viewers, role: OtherRole | undefined, seed: number): Record<string, Difference> {
  const compare = (pairOf: (sums: Sums) => ViewerPair): Difference =>
    pairedDifference(
      [...viewers.values()].map(pairOf).filter(({ questions }) => questions > 0),
      { seed, rounds: ROUNDS, alpha: ALPHA },
    );
  const differences: Record<string, Difference> = {};
  for (const name of baselineNames(viewers)) {
    differences[`champion - ${name}`] = compare(({ baselines }) => ({
      questions: baselines[name]?.questions ?? 0,
      ours: baselines[name]?.champion ?? 0,
      theirs: baselines[name]?.own ?? 0,
    }));
  }
  if (role === undefined) return differences;
  differences[`${role} - champion`] = compare(({ paired, other, pairedChampion }) => ({
    questions: paired,
    ours: other,
    theirs: pairedChampion,
  }));
  for (const name of role === 'challenger' ? baselineNames(viewers) : []) {
    differences[`challenger - ${name}`] = compare(({ baselines }) => ({
      questions: baselines[name]?.paired.questions ?? 0,
      ours: baselines[name]?.paired.other ?? 0,
      theirs: baselines[name]?.paired.own ?? 0,
    }));
  }
  return differences;
}

/** What follows from the differences. */
function verdictOf(differences: Look['differences'], role: OtherRole | undefined, isLast: boolean): Verdict {
  const isBeaten = (differences['champion - rules']?.high ?? 0) < 0;
  const lead = differences[`${role} - champion`];
  if (role !== 'challenger') return isBeaten || (lead?.low ?? 0) > 0 ? 'rollBack' : 'none';
  const rivals = Object.entries(differences).filter(([name]) => name.startsWith('challenger - '));
  if (rivals.every(([, { low }]) => low > 0)) return 'promote';
  if (isBeaten) return 'rollBack';
  return (lead?.high ?? 0) < 0 || isLast ? 'withdraw' : 'none';
}

/** The sums of viewers without their names, put together where there are many. */
function groupsOf(viewers: Viewers): readonly Sums[] {
  const groups = Array.from({ length: Math.min(MAX_KEPT, viewers.size) }, noSums);
  let next = 0;
  for (const own of viewers.values()) {
    const into = groups[next % MAX_KEPT];
    if (into !== undefined) addSums(into, own);
    next += 1;
  }
  return groups;
}

/** Opens a trial without questions, or one that goes on. */
export function openTrial(kept?: KeptTrial): Trial {
  // No name of a viewer has a space.
  const viewers = new Map<string, Sums>(kept?.sums.map((sums, at) => [`kept ${at}`, structuredClone(sums)]));
  let nextLook = kept?.nextLook ?? FIRST_LOOK;

  const sumsOf = (viewer: string): Sums | undefined => {
    const known = viewers.get(viewer);
    if (known !== undefined || viewers.size >= MAX_VIEWERS) return known;
    const sums: Sums = { ...noSums(), viewers: 1 };
    viewers.set(viewer, sums);
    return sums;
  };

  return {
    add: (viewer, { champion, other, baselines }) => {
      const sums = sumsOf(viewer);
      if (sums === undefined) return;
      sums.all += 1;
      sums.champion += champion;
      for (const [name, own] of Object.entries(baselines)) {
        const sum = sums.baselines[name] ?? noBeside();
        sums.baselines[name] = sum;
        sum.questions += 1;
        sum.champion += champion;
        sum.own += own;
        if (other === undefined) continue;
        sum.paired.questions += 1;
        sum.paired.own += own;
        sum.paired.other += other;
      }
      if (other === undefined) return;
      sums.paired += 1;
      sums.pairedChampion += champion;
      sums.other += other;
    },
    look: (role) => {
      const questions = sumOf(viewers.values(), ({ all, paired }) => (role === undefined ? all : paired));
      if (questions < nextLook || viewers.size < LEAST_VIEWERS) return undefined;
      const differences = differencesOf(viewers, role, nextLook);
      const verdict = verdictOf(differences, role, nextLook >= LAST_LOOK);
      while (nextLook <= questions) nextLook *= 2;
      return { verdict, differences };
    },
    forget: (gone) => {
      for (const viewer of gone) viewers.delete(viewer);
    },
    report: () => {
      const questions = sumOf(viewers.values(), ({ all }) => all);
      const paired = sumOf(viewers.values(), (sums) => sums.paired);
      const champion = sumOf(viewers.values(), (sums) => sums.champion);
      const other = sumOf(viewers.values(), (sums) => sums.other);
      return {
        viewers: sumOf(viewers.values(), (sums) => sums.viewers),
        questions,
        championNdcg: questions === 0 ? 0 : champion / questions,
        otherNdcg: paired === 0 ? undefined : other / paired,
        nextLook,
      };
    },
    kept: () => ({ nextLook, sums: groupsOf(viewers) }),
  };
}
