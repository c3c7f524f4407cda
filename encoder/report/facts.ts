// What the report of a title is made of: title.json, and every trial that led to it.
import type { Title } from '../contract.ts';

/** A stretch that was encoded on its own: a shot, or a part of one. */
export type ReportPart = { readonly shot: number; readonly startSeconds: number; readonly durationSeconds: number };

/** One measured trial encode. Qualities are on the scale of its rendition's metric. */
export type ReportTrial = {
  /** Index into parts. */
  readonly part: number;
  /** Codec and video range: trials of one kind compete with each other. */
  readonly kind: string;
  readonly height: number;
  /** On the encoder's own scale. */
  readonly crf: number;
  readonly bitrateBps: number;
  readonly mean: number;
  readonly harmonicMean: number;
  readonly p5: number;
  /** Mean of VMAF's NEG model, where it was measured. */
  readonly neg?: number | undefined;
  /** Ids of the renditions that it ships in. */
  readonly renditions: readonly string[];
};

/** Everything that a report shows. */
export type ReportFacts = {
  readonly title: Title;
  readonly parts: readonly ReportPart[];
  readonly trials: readonly ReportTrial[];
};

/** A rendition as the report tells of it: rates in bits a second. */
export type ReportRendition = {
  readonly id: string;
  readonly kind: string;
  readonly codec: string;
  readonly width: number;
  readonly height: number;
  readonly averageBandwidthBps: number;
  readonly peakBandwidthBps: number;
  readonly mean: number;
  readonly harmonicMean: number;
  readonly p5: number;
  readonly neg?: number | undefined;
  /** Part by part: the trial that ships. */
  readonly timeline: readonly {
    readonly part: number;
    readonly bitrateBps: number;
    readonly mean: number;
    readonly p5: number;
  }[];
};

/** report.json: the same for programs. */
export type TitleReport = Pick<
  Title,
  'version' | 'id' | 'name' | 'hash' | 'durationSeconds' | 'source' | 'tools' | 'metric' | 'savings' | 'cost' | 'notes'
> & {
  readonly renditions: readonly ReportRendition[];
  readonly parts: readonly ReportPart[];
  readonly trials: readonly ReportTrial[];
};

/**
 * Sums the facts up. Where title.json has a figure, that is the figure; what it lacks is taken over the parts by their
 * length, the harmonic mean harmonically, the 5th percentile as that of the parts' own (an estimate from below).
 */
export function summarise({ title, parts, trials }: ReportFacts): TitleReport {
  const { version, id, name, hash, durationSeconds, source, tools, metric, savings, cost, notes } = title;
  const renditions = title.renditions.map((rendition) => describeRendition(rendition, parts, trials));
  const head = { version, id, name, hash, durationSeconds, source, tools, metric, savings, cost };
  return { ...head, ...(notes === undefined ? {} : { notes }), renditions, parts, trials };
}

function describeRendition(
  rendition: Title['renditions'][number],
  parts: readonly ReportPart[],
  trials: readonly ReportTrial[],
): ReportRendition {
  const { id, codec, width, height, averageBandwidthBps, peakBandwidthBps } = rendition;
  const mine = trials.filter((trial) => trial.renditions.includes(id)).toSorted((a, b) => a.part - b.part);
  const secondsOf = ({ part }: ReportTrial): number => parts[part]?.durationSeconds ?? 0;
  const seconds = mine.reduce((sum, trial) => sum + secondsOf(trial), 0);
  const over = (value: (trial: ReportTrial) => number): number =>
    mine.reduce((sum, trial) => sum + secondsOf(trial) * value(trial), 0) / seconds;
  const negs = mine.filter(({ neg }) => neg !== undefined);
  return {
    ...{ id, codec, width, height, averageBandwidthBps, peakBandwidthBps, kind: mine[0]?.kind ?? codec },
    mean: rendition.qualityMean,
    // As libvmaf has it: one is added to each score, so that a score of 0 counts, and taken off again.
    harmonicMean: 1 / over(({ harmonicMean }) => 1 / (harmonicMean + 1)) - 1,
    p5: lowest(mine.map((trial) => ({ value: trial.p5, weight: secondsOf(trial) }))),
    ...(negs.length === mine.length && mine.length > 0 ? { neg: over(({ neg }) => neg ?? 0) } : {}),
    timeline: mine.map(({ part, bitrateBps, mean, p5 }) => ({ part, bitrateBps, mean, p5 })),
  };
}

/** The weighted 5th percentile. */
function lowest(values: readonly { readonly value: number; readonly weight: number }[]): number {
  const sorted = values.toSorted((a, b) => a.value - b.value);
  const limit = 0.05 * sorted.reduce((sum, { weight }) => sum + weight, 0);
  let seen = 0;
  for (const { value, weight } of sorted) {
    seen += weight;
    if (seen >= limit) return value;
  }
  return Number.NaN;
}
