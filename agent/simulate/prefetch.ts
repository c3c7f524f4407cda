// What a nightly fill would fetch: by what was popular until then, or by what the next day will ask for. Pure.

/** Chooses the objects of a fill. Objects are numbers; sizes in bytes. */
export type FillChooser = (night: Night) => readonly number[];

/** What is known when a fill begins. */
export type Night = {
  /** Requests so far, and where the night's first lies; `until`: the first one a day later. */
  readonly objects: Uint32Array;
  readonly from: number;
  readonly until: number;
  readonly sizes: Float64Array;
  readonly holds: (object: number) => boolean;
  readonly capacityBytes: number;
};

/** Weight of a day in the moving average; the rest is the past's. Best in our simulated edge with hysteresis. */
const DAY_WEIGHT = 0.05;
/** An object is fetched only when it is worth this many times the least of what fits: ranks flicker. */
const HYSTERESIS = 2;
/** A fill leaves room for what nobody foresaw. */
const ROOM_RATIO = 0.9;

/** Objects by worth, the highest first, as long as they fit; and the worth of the last that does. */
function best(worth: Float64Array, { sizes, capacityBytes }: Night): { chosen: readonly number[]; least: number } {
  const ranked = Array.from(worth.keys()).filter((object) => (worth[object] ?? 0) > 0);
  ranked.sort((one, other) => (worth[other] ?? 0) - (worth[one] ?? 0) || one - other);
  const chosen: number[] = [];
  let used = 0;
  for (const object of ranked) {
    used += sizes[object] ?? 0;
    if (used > capacityBytes * ROOM_RATIO) return { chosen, least: worth[object] ?? 0 };
    chosen.push(object);
  }
  return { chosen, least: 0 };
}

/** The least worthy first, so that it is the first to leave. */
const missing = (chosen: readonly number[], { holds }: Night): readonly number[] =>
  chosen.filter((object) => !holds(object)).toReversed();

/** Knows tomorrow: what will be asked for most often. No prefetch of a night's length does better by much. */
function oracle(): FillChooser {
  return (night) => {
    const worth = new Float64Array(night.sizes.length);
    for (let at = night.from; at < night.until; at += 1) {
      const object = night.objects[at] ?? 0;
      worth[object] = (worth[object] ?? 0) + 1;
    }
    return missing(best(worth, night).chosen, night);
  };
}

/** Knows the past: a moving average of daily requests. */
function popularity(): FillChooser {
  let worth: Float64Array | undefined;
  let seen = 0;
  return (night) => {
    worth ??= new Float64Array(night.sizes.length);
    for (let object = 0; object < worth.length; object += 1) worth[object] = (worth[object] ?? 0) * (1 - DAY_WEIGHT);
    for (; seen < night.from; seen += 1) {
      const object = night.objects[seen] ?? 0;
      worth[object] = (worth[object] ?? 0) + DAY_WEIGHT;
    }
    const { chosen, least } = best(worth, night);
    const isWorthIt = (object: number): boolean => (worth?.[object] ?? 0) >= HYSTERESIS * least;
    return missing(chosen.filter(isWorthIt), night);
  };
}

/** Fills by name; `none` is no fill. */
export const FILLS: Readonly<Record<'none' | 'popularity' | 'oracle', (() => FillChooser) | undefined>> = {
  none: undefined,
  popularity,
  oracle,
};
