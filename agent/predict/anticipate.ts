// What a viewer does within the next seconds: go on, pause, seek, go to the next title, leave. Counted by where in the
// title it is, what was done last and how long ago that is; cells with few counts lean on wider ones. Pure.

/** What may come next. */
export const OUTCOMES = ['continue', 'pause', 'seek', 'next', 'leave'] as const;
/** One of OUTCOMES. */
export type Outcome = (typeof OUTCOMES)[number];

/** Chances of what comes within HORIZON_SECONDS; they sum to 1. */
export type Intent = Readonly<Record<Outcome, number>>;

/** How far ahead is looked. */
export const HORIZON_SECONDS = 4;

/** What was done last; `start`: the title began; `none`: nothing is known of who watches. */
export const LAST_ACTIONS = ['none', 'start', 'pause', 'resume', 'seek'] as const;
/** One of LAST_ACTIONS. */
export type LastAction = (typeof LAST_ACTIONS)[number];

/** A moment of a viewing. */
export type Moment = {
  readonly positionSeconds: number;
  /** Undefined: not known, or live. */
  readonly durationSeconds: number | undefined;
  readonly last: LastAction;
  readonly sinceSeconds: number;
};

/** Upper bounds of the places near the beginning, in seconds, and shares of the whole from which the end counts. */
const BEGINNINGS = [10, 30, 60, 120, 300] as const;
const ENDINGS = [0.9, 0.95, 0.98] as const;
const SINCE = [3, 6, 10, 20, 60, 300] as const;

const PLACES = BEGINNINGS.length + 1 + ENDINGS.length;
const AGES = SINCE.length + 1;

const bucket = (bounds: readonly number[], value: number): number => {
  const index = bounds.findIndex((bound) => value < bound);
  return index < 0 ? bounds.length : index;
};

/** Which place of a title a position is in: 0 to PLACES - 1. */
export function placeIn({ positionSeconds, durationSeconds }: Moment): number {
  const ratio = durationSeconds === undefined || durationSeconds <= 0 ? 0 : positionSeconds / durationSeconds;
  const ending = ENDINGS.findLastIndex((bound) => ratio >= bound);
  return ending >= 0 ? BEGINNINGS.length + 1 + ending : bucket(BEGINNINGS, positionSeconds);
}

/** Counts of outcomes by last action, its age and place, in the order of OUTCOMES. */
export type HazardCounts = readonly number[];

const WIDTH = OUTCOMES.length;
/** A cell is believed in proportion to its counts over these. */
const SHRINK = 10;
/** Counts that are halved beyond this, so that habits may change. */
const MEMORY = 4_000_000;

/** Cells by what they tell apart: nothing; the place; last action and its age; all three. */
const SIZES = [1, PLACES, LAST_ACTIONS.length * AGES, LAST_ACTIONS.length * AGES * PLACES] as const;

/** The cells of the finest one. */
const cellsOf = (finest: number): readonly number[] => [0, finest % PLACES, Math.floor(finest / PLACES), finest];

function finestOf(moment: Moment): number {
  const age = LAST_ACTIONS.indexOf(moment.last) * AGES + bucket(SINCE, moment.sinceSeconds);
  return age * PLACES + placeIn(moment);
}

/** Chances that are in proportion to these. */
function normalised(weights: readonly number[]): readonly number[] {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Where nothing at all was counted, the viewer goes on. */
const UNCOUNTED: readonly number[] = [0.97, 0.0075, 0.0075, 0.0075, 0.0075];

/** Anticipation by counted hazards. */
export class Hazard {
  readonly #levels: readonly Float64Array[];
  #total = 0;

  /** `prior`: counts as save() gives them; those of another shape are refused with a RangeError. */
  constructor(prior?: HazardCounts) {
    this.#levels = SIZES.map((size) => new Float64Array(size * WIDTH));
    if (prior === undefined) return;
    if (prior.length !== SIZES[3] * WIDTH) throw new RangeError('counts of another version');
    for (const [at, count] of prior.entries()) {
      const cell = Math.floor(at / WIDTH);
      this.#add(cell, at % WIDTH, count);
    }
  }

  #add(finest: number, outcome: number, weight: number): void {
    this.#total += weight;
    for (const [level, cell] of cellsOf(finest).entries()) {
      const counts = this.#levels[level];
      if (counts !== undefined) counts[cell * WIDTH + outcome] = (counts[cell * WIDTH + outcome] ?? 0) + weight;
    }
  }

  /** Counts a moment by what came of it. */
  observe(moment: Moment, outcome: Outcome): void {
    this.#add(finestOf(moment), OUTCOMES.indexOf(outcome), 1);
    if (this.#total <= MEMORY) return;
    this.#total /= 2;
    for (const counts of this.#levels) for (const [at, count] of counts.entries()) counts[at] = count / 2;
  }

  /** A cell's shares, leaning on others as far as it has few counts. */
  #shares(level: number, cell: number, others: readonly number[]): readonly number[] {
    const counts = this.#levels[level]?.subarray(cell * WIDTH, cell * WIDTH + WIDTH) ?? new Float64Array(WIDTH);
    const total = counts.reduce((sum, count) => sum + count, 0);
    return others.map((share, at) => ((counts[at] ?? 0) + SHRINK * share) / (total + SHRINK));
  }

  /**
   * Chances at a moment. A cell leans on what place and last action say apart from each other: hazards that multiply, as
   * in Cox's proportional hazards (1972).
   */
  intent(moment: Moment): Intent {
    const [whole = 0, place = 0, age = 0, finest = 0] = cellsOf(finestOf(moment));
    const all = this.#shares(0, whole, UNCOUNTED);
    const byPlace = this.#shares(1, place, all);
    const byAge = this.#shares(2, age, all);
    const both = normalised(all.map((share, at) => ((byPlace[at] ?? 0) * (byAge[at] ?? 0)) / share));
    const [goesOn = 0, pause = 0, seek = 0, next = 0, leave = 0] = this.#shares(3, finest, both);
    return { continue: goesOn, pause, seek, next, leave };
  }

  /** Counts, for a snapshot or as the prior of another. */
  save(): HazardCounts {
    return [...(this.#levels[3] ?? [])];
  }
}

/** Counts from text: `cell:counts` in the order of OUTCOMES, cells that are left out are empty. */
export function readCounts(lines: readonly string[]): HazardCounts {
  const counts = new Array<number>(SIZES[3] * WIDTH).fill(0);
  for (const line of lines) {
    const [cell = '', values = ''] = line.split(':');
    for (const [at, value] of values.split(',').entries()) counts[Number(cell) * WIDTH + at] = Number(value);
  }
  return counts;
}

/** Longest stretch between two actions that is counted; a viewer who does nothing for longer is asleep or in love. */
const MAX_STRETCH_SECONDS = 1800;

/**
 * Counts a stretch of playing that began with `from.last` (`from.sinceSeconds` 0) and ended `seconds` later with an
 * outcome: each second of it, by what came within HORIZON_SECONDS. `rate`: media seconds per second.
 */
export function observeStretch(hazard: Hazard, from: Moment, seconds: number, outcome: Outcome): void {
  const length = Math.min(MAX_STRETCH_SECONDS, Math.floor(seconds));
  for (let second = 0; second <= length; second += 1) {
    const moment = { ...from, positionSeconds: from.positionSeconds + second, sinceSeconds: second };
    hazard.observe(moment, seconds - second < HORIZON_SECONDS ? outcome : 'continue');
  }
}

/** Most jumps are short, and lead to what is fetched ahead anyway. */
const FAR_JUMP_SHARE = 0.3;
/** Who is still there after HORIZON_SECONDS leaves as viewers do on average: in the middle of a title, every 25 minutes. */
const MEAN_STAY_SECONDS = 1_500;

/** Chance that what lies `seconds` ahead is still asked for: now by the anticipated moment, later as on average. */
export function staysFor({ seek, next, leave }: Intent, seconds: number): number {
  const away = Math.min(1, FAR_JUMP_SHARE * seek + next + leave);
  return (
    (1 - away) ** Math.min(1, seconds / HORIZON_SECONDS) *
    Math.exp(-Math.max(0, seconds - HORIZON_SECONDS) / MEAN_STAY_SECONDS)
  );
}
