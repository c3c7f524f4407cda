// What a viewer did, from nothing but when which segment was asked for: pause, play, seek and speed, each with how sure
// that is. For players that tell no states (CMCD v1). Pure: times come in.

/** A request for a video segment. Numbers rise by one step from segment to segment of a title. */
export type SegmentAsked = {
  readonly at: number;
  readonly titleId: string;
  readonly number: number;
  /** Media duration. */
  readonly seconds: number;
};

/** What was inferred, and when it is said to have happened. `confidence` is 0..1 (test/bench/record-actions.ts). */
export type Inferred = {
  readonly type: 'pause' | 'play' | 'seek' | 'rate';
  readonly at: number;
  readonly titleId: string;
  readonly confidence: number;
  /** Of `rate`: 1 is normal speed. */
  readonly rate?: number;
};

/** One player's requests so far; fixed in size. */
export type Inference = {
  titleId: string;
  lastAt: number;
  lastNumber: number;
  /** From a segment's number to the next one's; some number by time. 0: not known yet. */
  step: number;
  seconds: number;
  /** Intervals in a row since its buffer was full, at most PACES. */
  steady: number;
  /** The latest intervals off the pace of `rate`, in segment durations; newest last. */
  paces: readonly number[];
  rate: number;
  isPaused: boolean;
};

/** A gap this much longer than the pace of requests is a pause: less is jitter, more finds it too late. */
const PAUSE_GAP = 1.5;
/** Below this share of a segment's duration a player is filling its buffer, which says nothing of its speed. */
const FILLING_PACE = 0.15;
/** How far an interval may be off the pace of a speed and still be of it. */
const PACE_SLACK = 0.2;
/** Intervals in a row that another speed is told from, and how far their median may be off its pace. */
const PACES = 4;
const MEDIAN_SLACK = 0.15;
/** Speeds that players offer. */
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2] as const;
/** A gap so long is no longer a pause but somebody who left; nothing more is inferred of it. */
const LEFT_MS = 30 * 60_000;

/** The number of a segment in the name of its file: the last digits of `chunk-stream0-00012.m4s`. */
export function segmentNumber(path: string): number | undefined {
  const digits = /(\d{1,15})\.[A-Za-z0-9]{2,4}$/.exec(path)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Begins with a player's first segment. */
export const beginInference = ({ at, titleId, number, seconds }: SegmentAsked): Inference => ({
  ...{ titleId, lastAt: at, lastNumber: number, step: 0, seconds },
  ...{ steady: 0, paces: [], rate: 1, isPaused: false },
});

/** Takes the next request, and gives what it shows. One that is older than the last is left out. */
export function takeSegment(state: Inference, asked: SegmentAsked): readonly Inferred[] {
  const { at, titleId, number, seconds } = asked;
  if (titleId !== state.titleId) {
    Object.assign(state, beginInference(asked));
    return [];
  }
  const delta = number - state.lastNumber;
  // The same segment again: of another rendition, or asked for anew after an error.
  if (at < state.lastAt || delta === 0) return [];
  // Segments numbered by time rise by their duration, whatever that is: the first step says how much.
  if (state.step === 0) state.step = delta > 0 ? delta : 1;
  const steps = delta / state.step;
  const isNext = Math.abs(steps - 1) < 0.5;
  const intervalMs = at - state.lastAt;
  const wasPaused = state.isPaused;
  Object.assign(state, { lastAt: at, lastNumber: number, seconds, isPaused: false });
  if (!isNext) {
    Object.assign(state, { paces: [], steady: 0 });
    const confidence = Math.abs(steps) > 3 || steps <= -2 ? 0.95 : 0.6;
    const seek: Inferred = { type: 'seek', at, titleId, confidence };
    return wasPaused ? [seek, { type: 'play', at, titleId, confidence: 0.5 }] : [seek];
  }
  if (wasPaused) {
    Object.assign(state, { paces: [], steady: 0 });
    return [{ type: 'play', at, titleId, confidence: 0.8 }];
  }
  return inferRate(state, intervalMs / 1000 / seconds, at);
}

/** Another speed than before, once enough intervals in a row are off the pace of the old one and agree on it. */
function inferRate(state: Inference, pace: number, at: number): readonly Inferred[] {
  state.steady = Math.min(PACES, state.steady + 1);
  if (pace < FILLING_PACE || Math.abs(pace * state.rate - 1) < PACE_SLACK) {
    state.paces = [];
    if (pace < FILLING_PACE) state.steady = 0;
    return [];
  }
  state.paces = [...state.paces, pace].slice(-PACES);
  if (state.paces.length < PACES) return [];
  const inOrder = [...state.paces].sort((one, other) => one - other);
  const median = ((inOrder[PACES / 2 - 1] ?? 0) + (inOrder[PACES / 2] ?? 0)) / 2;
  const rate = SPEEDS.reduce((best, speed) =>
    Math.abs(1 / speed - median) < Math.abs(1 / best - median) ? speed : best,
  );
  const off = Math.abs(median * rate - 1);
  if (rate === state.rate || off > MEDIAN_SLACK) return [];
  Object.assign(state, { rate, paces: [] });
  return [{ type: 'rate', at, titleId: state.titleId, rate, confidence: 0.9 - 2 * off }];
}

/**
 * When silence, if it lasts, is a pause; milliseconds since the epoch. A viewer who watched fast may have gone back to
 * normal speed, which the next request would show, so that no pace faster than normal is counted on.
 */
const silentUntil = ({ lastAt, seconds, rate }: Inference): number =>
  lastAt + ((seconds * 1000) / Math.min(1, rate)) * PAUSE_GAP;

/** Looks at how long a player has been silent; `isAtEnd`: there is nothing more to ask for. Call it twice a second. */
export function listen(state: Inference, now: number, isAtEnd: boolean): readonly Inferred[] {
  if (state.isPaused || isAtEnd || now < silentUntil(state) || now - state.lastAt > LEFT_MS) return [];
  state.isPaused = true;
  // A pace that was seen makes a gap in it telling; a player of which little is known may just be slow.
  const confidence = state.steady >= 2 ? 0.85 : 0.65;
  return [{ type: 'pause', at: state.lastAt, titleId: state.titleId, confidence }];
}
