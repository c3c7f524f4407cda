// Counters of previews since start, as /metrics reads them.
import { HISTOGRAM_SECONDS, type Histogram } from '../../cache/cache.ts';
import { STEPS, type Step } from './budget.ts';
import { ANSWERS, type Answer, REASONS, type Reason } from './decide.ts';

/** What was answered with: a playlist of segments, one spliced file, captions, or a picture. */
export const KINDS = ['playlist', 'file', 'captions', 'artwork'] as const;
/** One of KINDS. */
export type Kind = (typeof KINDS)[number];

/** Plain counters. Captions belong to a preview that was counted, and count as no answer. */
export type Counted = {
  readonly answers: Readonly<Record<Answer, number>>;
  readonly reasons: Readonly<Record<Reason, number>>;
  /** Steps that were gone on without, because their share of the time was over. */
  readonly late: Readonly<Record<Step, number>>;
  readonly durationSeconds: Readonly<Record<Kind, Histogram>>;
};

/** The counters, and what counts. */
export type Counts = {
  readonly answered: (kind: Kind, how: { readonly answer: Answer; readonly reason: Reason }, seconds: number) => void;
  readonly late: (step: Step) => void;
  readonly read: () => Counted;
};

/** Counts from 0. */
export function createCounts(): Counts {
  const answers = zeros(ANSWERS);
  const reasons = zeros(REASONS);
  const late = zeros(STEPS);
  const times = new Map(KINDS.map((kind) => [kind, { counts: HISTOGRAM_SECONDS.map(() => 0), total: 0, sum: 0 }]));
  const read = (kind: Kind): Histogram => {
    const { counts, total, sum } = times.get(kind) ?? { counts: [], total: 0, sum: 0 };
    return { counts: [...counts, total], sum };
  };
  return {
    late: (step) => {
      late[step] += 1;
    },
    answered(kind, { answer, reason }, seconds) {
      if (kind !== 'captions') {
        answers[answer] += 1;
        reasons[reason] += 1;
      }
      const time = times.get(kind);
      if (time === undefined) return;
      for (const [index, bound] of HISTOGRAM_SECONDS.entries())
        if (seconds <= bound) time.counts[index] = (time.counts[index] ?? 0) + 1;
      time.total += 1;
      time.sum += seconds;
    },
    read: () => ({
      answers: { ...answers },
      reasons: { ...reasons },
      late: { ...late },
      durationSeconds: {
        playlist: read('playlist'),
        file: read('file'),
        captions: read('captions'),
        artwork: read('artwork'),
      },
    }),
  };
}

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  // Sound: the entries are one for each of the names.
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}
