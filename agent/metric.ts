// What one metric is: its name, type, labels and meaning, and how it is read from the node's figures.
import type { Histogram } from '../cache/cache.ts';
import type { NodeStats } from './node-stats.ts';

/** One value with its labels. */
export type Sample = { readonly labels: Readonly<Record<string, string>>; readonly value: number };
/** A counter or gauge. */
export type Entry = {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly labels: readonly string[];
  /** One line of meaning, then what an operator should do. */
  readonly help: string;
  readonly read: (stats: NodeStats) => readonly Sample[];
};
/** A histogram. */
export type HistogramEntry = {
  readonly name: string;
  readonly labels: readonly string[];
  readonly help: string;
  readonly read: (
    stats: NodeStats,
  ) => readonly { readonly labels: Readonly<Record<string, string>>; readonly histogram: Histogram }[];
};

/** A metric without labels. */
export const one = (value: number): readonly Sample[] => [{ labels: {}, value }];
/** A metric with one label, by its values. */
export const by = (label: string, values: Readonly<Record<string, number>>): readonly Sample[] =>
  Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value }));
