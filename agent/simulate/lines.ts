// What each origin's line carries by 5 minutes, and how much more it can before the month's 95th percentile rises: bytes up
// to there cost nothing where bandwidth is billed by it.
import { BIN_SECONDS, percentile95 } from './billing.ts';
import { type DayStore, keepDay, restoreDays, Series } from './series.ts';

/** What openLines() needs. `days`: where they are kept, by name. */
export type LinesOptions = {
  readonly days: DayStore;
  /** Names of origins; of others nothing is counted. */
  readonly origins: readonly string[];
  /** The part of the percentile up to which a line may be filled, above 0 to 1. */
  readonly ratio: number;
  readonly now: () => number;
};

/** Lines of all origins. */
export type Lines = {
  /** An origin sent so many bytes. */
  readonly received: (origin: string, bytes: number) => void;
  /** Bytes that may come from an origin in these 5 minutes; Infinity until a day is known. */
  readonly roomBytes: (origin: string) => number;
  /** The 95th percentile of the last 30 days, bytes a second. */
  readonly p95BytesPerSecond: (origin: string) => number;
  readonly save: () => void;
};

/** A percentile of less says nothing: 5-minute means of a day. */
const LEAST_BINS = 288;
const nameOf = (origin: string): string => `line ${origin}`;

type Line = { readonly series: Series; known: { bin: number; p95: number } };

/** Opens lines over what earlier runs left. A day that cannot be read is left out. */
export function openLines({ days, origins, ratio, now }: LinesOptions): Lines {
  const lines = new Map<string, Line>();
  for (const origin of origins) {
    const series = new Series(1);
    restoreDays(series, days, nameOf(origin), now());
    lines.set(origin, { series, known: { bin: -1, p95: 0 } });
  }
  /** Brings a line to this bin, so that quiet ones count as none, and gives its percentile, worked out once a bin. */
  const p95Of = (line: Line): number => {
    line.series.add(now(), 0, 0);
    const { latest } = line.series;
    if (line.known.bin !== latest) line.known = { bin: latest, p95: percentile95(line.series.bins([[0, 1]])) };
    return line.known.p95;
  };
  return {
    received: (origin, bytes) => lines.get(origin)?.series.add(now(), 0, bytes),
    roomBytes: (origin) => {
      const line = lines.get(origin);
      if (line === undefined) return Number.POSITIVE_INFINITY;
      const p95 = p95Of(line);
      if (line.series.count < LEAST_BINS) return Number.POSITIVE_INFINITY;
      return Math.max(0, ratio * p95 - line.series.latestBytes);
    },
    p95BytesPerSecond: (origin) => {
      const line = lines.get(origin);
      return line === undefined ? 0 : p95Of(line) / BIN_SECONDS;
    },
    save: () => {
      for (const [origin, { series }] of lines) {
        for (const day of [series.day - 1, series.day]) keepDay(series, days, nameOf(origin), day);
      }
    },
  };
}
