// The forecast of hours with what keeps it: its history, counted from what is served, written down each hour.
import type { Log } from '../cache/cache.ts';
import type { Catalogue } from './catalogue.ts';
import { Forecast, type ForecastExplained, type Horizon, type Interval } from './predict/forecast.ts';
import type { SnapshotStore } from './prediction.ts';

/** What openForecasting() needs. */
export type ForecastingOptions = {
  readonly catalogue: Pick<Catalogue, 'title'>;
  readonly snapshots: SnapshotStore;
  readonly now: () => number;
  readonly log: Log;
};

/** The forecast of this region. */
export type Forecasting = {
  readonly watched: (titleId: string, seconds: number) => void;
  /** Hours that a title is expected to be watched in the next day or week; undefined: nobody has watched it here yet. */
  readonly hours: (titleId: string, horizon: Horizon) => Interval | undefined;
  /** The forecasts of a title with what they were made of, for an operator. */
  readonly explained: (titleId: string) => ForecastExplained;
  /** Share of the intervals so far that held. */
  readonly heldRatio: () => number;
  /** Saves once an hour. */
  readonly sweep: () => void;
  readonly save: () => void;
};

const SNAPSHOT = 'forecast';
/** Each minute would be too often for what are megabytes of ten thousand titles. */
const SAVE_MS = 3_600_000;

/** The forecast as it was saved; one that cannot be read begins anew: it is learnt again in days. */
function restore({ snapshots, catalogue, now, log }: ForecastingOptions): Forecast {
  const releaseOf = (titleId: string): number | undefined => catalogue.title(titleId)?.releaseAt;
  const text = snapshots.get(SNAPSHOT);
  if (text === undefined) return new Forecast(now(), releaseOf);
  try {
    return Forecast.restore(JSON.parse(text), now(), releaseOf);
  } catch (error) {
    log('warn', 'forecast.unreadable', { message: String(error) });
    return new Forecast(now(), releaseOf);
  }
}

/** Opens the forecast. */
export function openForecasting(options: ForecastingOptions): Forecasting {
  const { snapshots, now } = options;
  const forecast = restore(options);
  let savedAt = now();
  const save = (): void => {
    savedAt = now();
    snapshots.put(SNAPSHOT, JSON.stringify(forecast.snapshot(savedAt)));
  };
  return {
    watched: (titleId, seconds) => forecast.watched(titleId, seconds, now()),
    hours: (titleId, horizon) => forecast.expected(titleId, horizon, now()),
    explained: (titleId) => forecast.explained(titleId, now()),
    heldRatio: () => forecast.held().ratio,
    sweep: () => {
      if (now() - savedAt >= SAVE_MS) save();
    },
    save,
  };
}
