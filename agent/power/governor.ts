// How fast work in the background may go: degrees, watts, the processor's load and viewers' latency in, a pace of 0..1
// out. It slows down before the kernel would, and comes back later than it went. Pure: a state goes in and comes out.
import { hostWatts, type Reading, type Zone } from './reading.ts';

/** What an operator allows. */
export type Limits = {
  /** Of the host as a whole; null: as many as it takes. */
  readonly wattsBudget: number | null;
  /** Of the hottest processor zone; null: MARGIN_CELSIUS below its trip point. */
  readonly degreesBudget: number | null;
  /** Share of all processor time, above 0 and at most 1, beyond which foreground work slows the pace; 1: never. */
  readonly foregroundCeiling?: number;
};

/** Everything that is known at one time. */
export type Senses = {
  readonly reading: Reading;
  /** Share of all processor time that work of normal priority took lately, 0..1. */
  readonly foregroundRatio: number;
  /** 99th percentile of hits' first bytes since the last call, seconds; undefined when there were too few. */
  readonly hitP99Seconds: number | undefined;
  /** Work in the background ran since the last call. */
  readonly isActive: boolean;
};

/** Why the pace is not 1; `blind`: a sensor that was there is lost, or a budget of watts cannot be measured. */
export type PaceReason = 'none' | 'heat' | 'throttled' | 'watts' | 'blind' | 'latency' | 'processor';

/** Of one zone, between calls. */
type ZoneMemory = {
  readonly celsius: number;
  /** Smoothed, but never much less than it is. */
  readonly smooth: number;
  readonly at: number;
  /** Degrees a second, smoothed. */
  readonly slope: number;
  /** When the value last was another one; undefined when it never was. */
  readonly changedAt: number | undefined;
  /** Least and most activity since then. */
  readonly low: number;
  readonly high: number;
};

/** What the governor remembers between calls. */
export type GovernorState = {
  readonly at: number;
  readonly pace: number;
  readonly reason: PaceReason;
  readonly zones: ReadonlyMap<string, ZoneMemory>;
  /** What heat allows, without its trembling. */
  readonly heatPace: number;
  /** The pace that the budget of watts allows, found by approach. */
  readonly wattsPace: number;
  readonly latencyPace: number;
  /** The p99 of hits while nothing runs in the background, seconds. */
  readonly idleP99Seconds: number | undefined;
  readonly throttles: number | undefined;
  /** Nothing runs before; and how long that pause was, and when work last began again. */
  readonly pausedUntil: number;
  readonly pauseMs: number;
  readonly resumedAt: number;
  /** Share of full pace that was used, smoothed. */
  readonly activity: number;
};

/** Between the budget and the trip point: heat that is under way when a pause begins, and the sensor's own error. */
const MARGIN_CELSIUS = 6;
/** Of processor zones without a trip point, when no budget is configured. */
const DEFAULT_LIMIT_CELSIUS = 80;
/** From so far below the limit on the pace falls in proportion. */
const BAND_CELSIUS = 10;
/** A rising temperature is judged as it will be so much later. */
const LOOK_AHEAD_SECONDS = 8;
const SLOPE_SECONDS = 20;
/** A whole degree of a coarse sensor must not be a step of the pace. */
const FILTER_SECONDS = 10;
/** Pace when a sensor that was there says nothing. */
const BLIND_PACE = 0.25;
/** Below it nothing runs at all; a paused node begins again only from RESUME_PACE on. */
const LEAST_PACE = 0.1;
const RESUME_PACE = 0.2;
/** What heat allows is followed in steps of this at least. */
const HEAT_STEP = 0.05;
/** A pace that heat has cut comes back at this rate. */
const RISE_PER_SECOND = 0.005;
/** Smaller changes are not made. */
const LEAST_STEP = 0.02;
/** A pause; twice as long as the last one when work ran for less than SOON_MS in between, up to the longest. */
const LEAST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 16 * 60_000;
const SOON_MS = 10 * 60_000;
/** Watts aimed at, as a part of the budget; and how fast the pace follows the difference, a second. */
const WATTS_AIM = 0.97;
const WATTS_GAIN = 0.12;
const WATTS_AHEAD = 0.1;
/** From this load on the pace falls, to LEAST_SHARE at full load; the scheduler puts viewers first anyway. */
const FOREGROUND_CEILING = 0.7;
const LEAST_SHARE = 0.25;
/** Beyond this ratio to the idle p99 the pace is cut; below the first figure it may rise. Buckets make both rough. */
const LATENCY = { fine: 1.2, bad: 1.5, leastSeconds: 0.001, cut: 0.7, rise: 0.05, learn: 0.1, forget: 0.03 } as const;
/** A value that has changed before and stands still so long, while activity went from rest to work, is stuck. */
const STUCK_MS = 15 * 60_000;
const STUCK_SWING = 0.5;
const ACTIVITY_SECONDS = 60;
/** Seconds between two calls beyond which nothing is concluded from the difference. */
const LONGEST_STEP_SECONDS = 30;

const clamp = (value: number, least = 0, most = 1): number => Math.min(most, Math.max(least, value));

/** Nothing known yet. */
export const STARTED: GovernorState = {
  at: 0,
  pace: 1,
  reason: 'none',
  zones: new Map(),
  heatPace: 1,
  wattsPace: RESUME_PACE,
  latencyPace: 1,
  idleP99Seconds: undefined,
  throttles: undefined,
  pausedUntil: 0,
  pauseMs: 0,
  resumedAt: Number.NEGATIVE_INFINITY,
  activity: 0,
};

/** Temperature that a zone is kept below; undefined: it does not count. */
export function limitOf(
  { tripCelsius, isProcessor }: Pick<Zone, 'tripCelsius' | 'isProcessor'>,
  { degreesBudget }: Pick<Limits, 'degreesBudget'>,
): number | undefined {
  const byTrip = tripCelsius === undefined ? undefined : tripCelsius - MARGIN_CELSIUS;
  if (!isProcessor) return byTrip;
  return Math.min(byTrip ?? Number.POSITIVE_INFINITY, degreesBudget ?? byTrip ?? DEFAULT_LIMIT_CELSIUS);
}

type Ceiling = { readonly reason: PaceReason; readonly pace: number };

function remember(before: ZoneMemory | undefined, celsius: number, at: number, activity: number): ZoneMemory {
  const began = { celsius, at, low: activity, high: activity };
  if (before === undefined) return { ...began, smooth: celsius, slope: 0, changedAt: undefined };
  const seconds = (at - before.at) / 1000;
  const isOld = seconds > LONGEST_STEP_SECONDS;
  const share = clamp(seconds / SLOPE_SECONDS);
  const slope =
    isOld || seconds <= 0 ? 0 : before.slope + share * ((celsius - before.celsius) / seconds - before.slope);
  const filtered = before.smooth + clamp(Math.abs(seconds) / FILTER_SECONDS) * (celsius - before.smooth);
  const smooth = Math.max(isOld ? celsius : filtered, celsius - 1);
  if (celsius !== before.celsius) return { ...began, smooth, slope, changedAt: at };
  return { ...before, at, smooth, slope, low: Math.min(before.low, activity), high: Math.max(before.high, activity) };
}

const isStuck = ({ changedAt, low, high, at }: ZoneMemory): boolean =>
  changedAt !== undefined && at - changedAt >= STUCK_MS && high - low >= STUCK_SWING;

/** What heat allows, and the zones as they are remembered from now on. */
function judgeHeat(
  state: GovernorState,
  { reading }: Senses,
  limits: Limits,
): { readonly ceilings: readonly Ceiling[]; readonly zones: ReadonlyMap<string, ZoneMemory> } {
  const zones = new Map(state.zones);
  const ceilings: Ceiling[] = [];
  for (const zone of reading.zones) {
    const limit = limitOf(zone, limits);
    if (limit === undefined) continue;
    if (zone.celsius === undefined) {
      if (zone.isProcessor) ceilings.push({ reason: 'blind', pace: BLIND_PACE });
      continue;
    }
    const memory = remember(zones.get(zone.zone), zone.celsius, reading.at, state.activity);
    zones.set(zone.zone, memory);
    if (isStuck(memory)) {
      ceilings.push({ reason: 'blind', pace: BLIND_PACE });
      continue;
    }
    const soon = memory.smooth + Math.max(0, memory.slope) * LOOK_AHEAD_SECONDS;
    ceilings.push({ reason: 'heat', pace: clamp((limit - soon) / BAND_CELSIUS) });
  }
  return { ceilings, zones };
}

/** The pace under a budget of watts: raised and lowered by the part of the budget that is left or overdrawn. */
function judgeWatts(
  state: GovernorState,
  { reading, isActive }: Senses,
  { limits, seconds }: { readonly limits: Limits; readonly seconds: number },
) {
  const { wattsBudget } = limits;
  if (wattsBudget === null) return { pace: 1, ceiling: undefined };
  const watts = hostWatts(reading.rails);
  if (watts === undefined) {
    const pace = Math.min(state.wattsPace, BLIND_PACE);
    return { pace, ceiling: { reason: 'blind', pace: BLIND_PACE } as const };
  }
  const left = (wattsBudget * WATTS_AIM - watts) / wattsBudget;
  // What does not run says nothing of what it would take; and no pace grows beyond the one that is used.
  const most = Math.max(RESUME_PACE, isActive ? state.pace + WATTS_AHEAD : 0);
  const pace = Math.min(most, clamp(state.wattsPace + left * WATTS_GAIN * seconds));
  return { pace, ceiling: { reason: 'watts', pace } as const };
}

/** Cut by a part while hits are slow, raised by a step while they are not; and what "slow" is measured against. */
function judgeLatency(state: GovernorState, { hitP99Seconds, isActive }: Senses) {
  const { latencyPace, idleP99Seconds } = state;
  if (hitP99Seconds === undefined) return { latencyPace, idleP99Seconds };
  const move = (share: number) =>
    idleP99Seconds === undefined ? hitP99Seconds : idleP99Seconds + share * (hitP99Seconds - idleP99Seconds);
  if (!isActive) return { latencyPace: clamp(latencyPace + LATENCY.rise), idleP99Seconds: move(LATENCY.learn) };
  if (idleP99Seconds === undefined) return { latencyPace, idleP99Seconds };
  const base = Math.max(idleP99Seconds, LATENCY.leastSeconds);
  if (hitP99Seconds <= base * LATENCY.fine) {
    return { latencyPace: clamp(latencyPace + LATENCY.rise), idleP99Seconds };
  }
  // Hits that stay slow at the least pace are slow for another reason: that is the new normal.
  const normal = latencyPace <= RESUME_PACE ? move(LATENCY.forget) : idleP99Seconds;
  const isBad = hitP99Seconds > base * LATENCY.bad;
  return { latencyPace: isBad ? clamp(latencyPace * LATENCY.cut, RESUME_PACE) : latencyPace, idleP99Seconds: normal };
}

const processorPace = (foregroundRatio: number, { foregroundCeiling = FOREGROUND_CEILING }: Limits): number =>
  foregroundCeiling < 1 ? clamp((1 - clamp(foregroundRatio)) / (1 - foregroundCeiling), LEAST_SHARE) : 1;

/** The lowest ceiling; the first of equals. */
function lowest(ceilings: readonly Ceiling[]): Ceiling {
  return ceilings.reduce((least, ceiling) => (ceiling.pace < least.pace ? ceiling : least), {
    reason: 'none',
    pace: 1,
  });
}

/** What heat allows, followed at once downwards, slowly upwards, and not for less than HEAT_STEP. */
function followHeat(before: number, wished: number, seconds: number): number {
  if (wished < LEAST_PACE || before - wished >= HEAT_STEP) return wished;
  const mayRise = wished === 1 || wished - before >= HEAT_STEP;
  return mayRise ? Math.max(before, Math.min(wished, before + RISE_PER_SECOND * seconds)) : before;
}

/** From the wished pace to the one that is set: one that is too low to be of use is a pause, which lasts for a while. */
function settle({ pace, pausedUntil }: GovernorState, wished: number, at: number): number {
  if (wished < LEAST_PACE) return 0;
  if (pace === 0) return at >= pausedUntil && wished >= RESUME_PACE ? RESUME_PACE : 0;
  return wished === 1 || Math.abs(wished - pace) >= LEAST_STEP ? wished : pace;
}

/**
 * One step. `reading.at` is the clock. A pause lasts LEAST_PAUSE_MS at least. A processor that the kernel has slowed
 * down since the last step pauses everything, whatever the sensors say.
 */
export function govern(state: GovernorState, senses: Senses, limits: Limits): GovernorState {
  const { reading, foregroundRatio, isActive } = senses;
  const { at } = reading;
  const isFirst = state.at === 0;
  const seconds = isFirst ? 0 : clamp((at - state.at) / 1000, 0, LONGEST_STEP_SECONDS);
  const share = clamp(seconds / ACTIVITY_SECONDS);
  const activity = state.activity + share * ((isActive ? state.pace : 0) - state.activity);
  const { ceilings, zones } = judgeHeat({ ...state, activity }, senses, limits);
  const watts = judgeWatts(state, senses, { limits, seconds });
  const latency = judgeLatency(state, senses);
  const { throttles = state.throttles } = reading;
  const isThrottled =
    reading.isThrottled || (throttles !== undefined && state.throttles !== undefined && throttles > state.throttles);
  const heat = lowest(ceilings);
  const heatPace = isFirst ? heat.pace : followHeat(state.heatPace, isThrottled ? 0 : heat.pace, seconds);
  const { reason, pace: wished } = lowest([
    { reason: isThrottled ? 'throttled' : heat.reason === 'none' ? 'heat' : heat.reason, pace: heatPace },
    ...(watts.ceiling === undefined ? [] : [watts.ceiling]),
    { reason: 'latency', pace: latency.latencyPace },
    { reason: 'processor', pace: processorPace(foregroundRatio, limits) },
  ]);
  const pace = isFirst ? wished : settle(state, wished, at);
  const isNewPause = pace === 0 && state.pace > 0;
  const again = at - state.resumedAt < SOON_MS ? Math.min(LONGEST_PAUSE_MS, 2 * state.pauseMs) : LEAST_PAUSE_MS;
  const pauseMs = isNewPause ? again : state.pauseMs;
  return {
    ...{ at, pace, zones, throttles, activity, heatPace, ...latency },
    reason: pace === 1 ? 'none' : pace < wished && state.reason !== 'none' ? state.reason : reason,
    wattsPace: watts.pace,
    pauseMs,
    pausedUntil: isNewPause ? at + pauseMs : state.pausedUntil,
    resumedAt: pace > 0 && state.pace === 0 ? at : state.resumedAt,
  };
}
