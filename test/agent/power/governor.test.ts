// The governor against hosts that warm up like real ones: a thermal RC model, viewers by day and night, sensors with
// their faults.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type GovernorState,
  govern,
  type Limits,
  limitOf,
  type Senses,
  STARTED,
} from '../../../agent/power/governor.ts';
import type { Reading, Zone } from '../../../agent/power/reading.ts';

const NO_LIMITS: Limits = { wattsBudget: null, degreesBudget: null };
const STEP_SECONDS = 2;

const zoneOf = (celsius: number | undefined, tripCelsius: number | undefined = 95): Zone => ({
  zone: 'x86_pkg_temp',
  celsius,
  tripCelsius,
  isProcessor: true,
});

function reading(at: number, { zones = [], ...rest }: Partial<Reading> = {}): Reading {
  return { at, zones, rails: [], throttles: undefined, isThrottled: false, faults: new Map(), ...rest };
}

const senses = (at: number, part: Partial<Reading> = {}, rest: Partial<Senses> = {}): Senses => ({
  reading: reading(at, part),
  foregroundRatio: 0.1,
  hitP99Seconds: undefined,
  isActive: true,
  ...rest,
});

/** A host: heat flows to the room through `kelvinPerWatt`, and fills the case with a time constant. */
type Host = {
  readonly ambientCelsius: number;
  readonly kelvinPerWatt: number;
  readonly seconds: number;
  readonly idleWatts: number;
  /** Of viewers at the busiest time of the day, and of background work at full pace. */
  readonly viewerWatts: number;
  readonly workWatts: number;
  readonly tripCelsius: number;
  /** Degrees that the sensor tells apart, and readings by which it is late. */
  readonly grainCelsius: number;
  readonly lateBy: number;
};

type Day = {
  readonly hottest: number;
  readonly mostWatts: number;
  readonly meanPace: number;
  /** What would keep the host exactly at its limit at every moment. */
  readonly idealPace: number;
  readonly meanWatts: number;
  /** Times that work was paused. */
  readonly pauses: number;
  /** Sum of all changes of the pace. */
  readonly moved: number;
  /** Mean of how far below its limit the host stayed while work was held back. */
  readonly meanGapCelsius: number;
};

/** Lives `hours` on that host; viewers are few at night and most in the evening. */
function live(host: Host, limits: Limits, hours: number): Day {
  let state: GovernorState = STARTED;
  let celsius = host.ambientCelsius + host.kelvinPerWatt * host.idleWatts;
  const late: number[] = [];
  const limit = limitOf(zoneOf(celsius, host.tripCelsius), limits) ?? Number.NaN;
  const sum = { pace: 0, ideal: 0, watts: 0, gap: 0, held: 0, moved: 0, pauses: 0, hottest: 0, mostWatts: 0 };
  const steps = (hours * 3600) / STEP_SECONDS;
  for (let step = 1; step <= steps; step += 1) {
    const viewers = 0.5 - 0.5 * Math.cos((2 * Math.PI * step) / steps);
    const watts = host.idleWatts + viewers * host.viewerWatts + state.pace * host.workWatts;
    const target = host.ambientCelsius + host.kelvinPerWatt * watts;
    celsius = target + (celsius - target) * Math.exp(-STEP_SECONDS / host.seconds);
    late.push(celsius);
    const seen = late.length > host.lateBy ? (late.shift() ?? celsius) : (late[0] ?? celsius);
    const shown = Math.round(seen / host.grainCelsius) * host.grainCelsius;
    const rails = [{ rail: 'package-0', watts, joules: 0 }];
    const next = govern(
      state,
      senses(
        step * STEP_SECONDS * 1000,
        { zones: [zoneOf(shown, host.tripCelsius)], rails },
        { foregroundRatio: 0.6 * viewers },
      ),
      limits,
    );
    sum.pace += next.pace;
    const room = (limit - host.ambientCelsius) / host.kelvinPerWatt - host.idleWatts - viewers * host.viewerWatts;
    sum.ideal += Math.min(1, Math.max(0, room / host.workWatts));
    sum.watts += watts;
    sum.moved += Math.abs(next.pace - state.pace);
    if (next.pace === 0 && state.pace > 0) sum.pauses += 1;
    if (next.pace < 0.95) {
      sum.gap += limit - celsius;
      sum.held += 1;
    }
    sum.hottest = Math.max(sum.hottest, celsius);
    // The approach from the first minute's start is not the budget's fault.
    if (step * STEP_SECONDS > 120) sum.mostWatts = Math.max(sum.mostWatts, watts);
    state = next;
  }
  return {
    hottest: sum.hottest,
    mostWatts: sum.mostWatts,
    meanPace: sum.pace / steps,
    idealPace: sum.ideal / steps,
    meanWatts: sum.watts / steps,
    pauses: sum.pauses,
    moved: sum.moved,
    meanGapCelsius: sum.held === 0 ? 0 : sum.gap / sum.held,
  };
}

const BOX: Host = {
  ambientCelsius: 30,
  kelvinPerWatt: 1.2,
  seconds: 90,
  idleWatts: 10,
  viewerWatts: 15,
  workWatts: 45,
  tripCelsius: 95,
  grainCelsius: 1,
  lateBy: 1,
};

describe('a day', () => {
  test('on a box that full pace would overheat: never at the trip, near the limit, few pauses', () => {
    const day = live(BOX, NO_LIMITS, 24);
    expect(BOX.ambientCelsius + BOX.kelvinPerWatt * (10 + 15 + 45)).toBeGreaterThan(BOX.tripCelsius);
    expect(day.hottest).toBeLessThan(BOX.tripCelsius);
    expect(day.pauses).toBeLessThanOrEqual(2);
    expect(day.moved).toBeLessThan(24 * 4);
    expect(day.meanPace).toBeGreaterThan(0.8 * day.idealPace);
    expect(day.meanGapCelsius).toBeLessThan(8);
  });

  test('on one that stays cool: always at full pace', () => {
    const day = live({ ...BOX, kelvinPerWatt: 0.5 }, NO_LIMITS, 24);
    expect(day).toMatchObject({ meanPace: 1, moved: 0, pauses: 0 });
  });

  test('under a budget of watts: kept within 5 % after the start, and used', () => {
    const host = { ...BOX, kelvinPerWatt: 0.5 };
    const day = live(host, { wattsBudget: 45, degreesBudget: null }, 24);
    expect(day.mostWatts).toBeLessThan(45 * 1.05);
    expect(day.meanWatts).toBeGreaterThan(45 * 0.85);
    expect(day.pauses).toBe(0);
    expect(day.moved).toBeLessThan(24 * 6);
  });

  test('under a budget of degrees below the trip: that is the limit', () => {
    const day = live(BOX, { wattsBudget: null, degreesBudget: 75 }, 24);
    expect(day.hottest).toBeLessThan(75);
    expect(day.meanGapCelsius).toBeLessThan(8);
  });

  test('on any host whose viewers alone leave room: below the trip, no flapping', () => {
    const hosts = fc
      .record({
        ambientCelsius: fc.integer({ min: 5, max: 40 }),
        seconds: fc.integer({ min: 20, max: 900 }),
        idleWatts: fc.integer({ min: 3, max: 40 }),
        viewerWatts: fc.integer({ min: 0, max: 60 }),
        workWatts: fc.integer({ min: 5, max: 200 }),
        tripCelsius: fc.integer({ min: 75, max: 105 }),
        /** How hot full pace would make it at the busiest time, and no more than that viewers alone may. */
        fullCelsius: fc.integer({ min: 60, max: 140 }),
        grainCelsius: fc.constantFrom(0.1, 0.5, 1),
        lateBy: fc.integer({ min: 0, max: 1 }),
      })
      .map(({ fullCelsius, ...host }): Host => {
        const most = host.idleWatts + host.viewerWatts + host.workWatts;
        return { ...host, kelvinPerWatt: Math.max(5, fullCelsius - host.ambientCelsius) / most };
      })
      .filter((host) => {
        const alone = host.ambientCelsius + host.kelvinPerWatt * (host.idleWatts + host.viewerWatts);
        return alone < host.tripCelsius - 8;
      });
    fc.assert(
      fc.property(hosts, (host) => {
        const day = live(host, NO_LIMITS, 4);
        expect(day.hottest).toBeLessThan(host.tripCelsius);
        expect(day.pauses).toBeLessThanOrEqual(4 * 5);
        expect(day.moved).toBeLessThan(4 * 25);
      }),
      { numRuns: 60, seed: 4711 },
    );
  });
});

/** The state after so many steps of the same senses. */
function settled(steps: number, give: (at: number) => Senses, limits = NO_LIMITS, from: GovernorState = STARTED) {
  let state = from;
  for (let step = 1; step <= steps; step += 1) state = govern(state, give(from.at + step * 2_000), limits);
  return state;
}

describe('sensors', () => {
  test('that a host never had hold nothing back', () => {
    expect(settled(10, (at) => senses(at))).toMatchObject({ pace: 1, reason: 'none' });
  });

  test('a ramp to 95 degrees pauses before the trip, and the pause ends with hysteresis', () => {
    let state: GovernorState = STARTED;
    let pausedAt = Number.NaN;
    for (let step = 1; step <= 120; step += 1) {
      const celsius = 60 + step * 0.5;
      state = govern(state, senses(step * 2_000, { zones: [zoneOf(Math.min(95, celsius))] }), NO_LIMITS);
      if (state.pace === 0 && Number.isNaN(pausedAt)) pausedAt = celsius;
    }
    expect(pausedAt).toBeLessThan(90);
    expect(state).toMatchObject({ pace: 0, reason: 'heat' });
    // Cool again: nothing within the minute, then slowly.
    const soon = settled(20, (at) => senses(at, { zones: [zoneOf(88.5)] }), NO_LIMITS, state);
    expect(soon.pace).toBe(0);
    const cool = settled(20, (at) => senses(at, { zones: [zoneOf(60)] }), NO_LIMITS, soon);
    expect(cool.pace).toBeGreaterThan(0);
    expect(cool.pace).toBeLessThan(1);
    expect(settled(100, (at) => senses(at, { zones: [zoneOf(60)] }), NO_LIMITS, cool)).toMatchObject({
      pace: 1,
      reason: 'none',
    });
  });

  test('one that is lost makes the node slow, not stop; back again, it is free again', () => {
    const seen = settled(5, (at) => senses(at, { zones: [zoneOf(60)] }));
    const blind = settled(1, (at) => senses(at, { zones: [zoneOf(undefined)] }), NO_LIMITS, seen);
    expect(blind).toMatchObject({ pace: 0.25, reason: 'blind' });
    expect(settled(80, (at) => senses(at, { zones: [zoneOf(60)] }), NO_LIMITS, blind).pace).toBe(1);
  });

  test('one that stands still while work came and went is stuck, and counts as lost', () => {
    const moving = settled(4, (at) => senses(at, { zones: [zoneOf(50 + ((at / 2_000) % 2))] }, { isActive: false }));
    const still = settled(450, (at) => senses(at, { zones: [zoneOf(51.5)] }, { isActive: true }), NO_LIMITS, moving);
    expect(still.pace).toBe(1);
    const stuck = settled(10, (at) => senses(at, { zones: [zoneOf(51.5)] }, { isActive: true }), NO_LIMITS, still);
    expect(stuck).toMatchObject({ pace: 0.25, reason: 'blind' });
    expect(
      settled(1, (at) => senses(at, { zones: [zoneOf(52)] }), NO_LIMITS, stuck).zones.get('x86_pkg_temp')?.high,
    ).toBeLessThan(1.01);
  });

  test('one that never moved since the start is a board without a sensor', () => {
    const swing = (at: number) => senses(at, { zones: [zoneOf(27.8)] }, { isActive: at % 400_000 < 200_000 });
    expect(settled(900, swing).pace).toBe(1);
  });

  test.each([
    ['a counter that grew', { throttles: 8 }],
    ['a cooling device at work', { isThrottled: true }],
  ])('a processor that the kernel throttles pauses everything: %s', (_name, part) => {
    const before = settled(3, (at) => senses(at, { throttles: 7 }));
    expect(before.pace).toBe(1);
    const state = settled(1, (at) => senses(at, { throttles: 7, ...part }), NO_LIMITS, before);
    expect(state).toMatchObject({ pace: 0, reason: 'throttled' });
    expect(settled(20, (at) => senses(at, { throttles: 8 }), NO_LIMITS, state).pace).toBe(0);
    expect(settled(40, (at) => senses(at, { throttles: 8 }), NO_LIMITS, state).pace).toBeGreaterThan(0);
  });

  test('a budget of watts that no rail measures is kept by guess', () => {
    expect(settled(20, (at) => senses(at), { wattsBudget: 30, degreesBudget: null })).toMatchObject({
      pace: 0.25,
      reason: 'blind',
    });
  });
});

describe('viewers', () => {
  const idle = settled(40, (at) => senses(at, {}, { isActive: false, hitP99Seconds: 0.004 }));

  test('whose hits get slow have the work slowed down, and it comes back when they are fast', () => {
    const slow = settled(10, (at) => senses(at, {}, { hitP99Seconds: 0.009 }), NO_LIMITS, idle);
    expect(slow.reason).toBe('latency');
    expect(slow.pace).toBeLessThan(0.3);
    expect(settled(80, (at) => senses(at, {}, { hitP99Seconds: 0.004 }), NO_LIMITS, slow).pace).toBe(1);
  });

  test('whose hits stay slow though nearly nothing runs do not hold it back for ever', () => {
    const slow = settled(400, (at) => senses(at, {}, { hitP99Seconds: 0.009 }), NO_LIMITS, idle);
    expect(slow.pace).toBeGreaterThan(0.5);
  });

  test('too few to judge by change nothing', () => {
    expect(settled(40, (at) => senses(at), NO_LIMITS, idle).pace).toBe(1);
  });

  test('who need the processor get it', () => {
    const busy = settled(10, (at) => senses(at, {}, { foregroundRatio: 1 }));
    expect(busy).toMatchObject({ pace: 0.25, reason: 'processor' });
  });

  test.each([
    [0.5, 0.5, 1],
    [0.5, 0.75, 0.5],
    [0.7, 0.7, 1],
    [1, 1, 1],
  ])('with a ceiling of %d and a load of %d the pace is %d', (foregroundCeiling, foregroundRatio, pace) => {
    const limits = { ...NO_LIMITS, foregroundCeiling };
    expect(settled(10, (at) => senses(at, {}, { foregroundRatio }), limits).pace).toBeCloseTo(pace, 5);
  });
});

describe('time', () => {
  test.each([0, -86_400_000, 864_000_000])('that jumps by %d ms concludes nothing from the difference', (jump) => {
    const before = settled(30, (at) => senses(at, { zones: [zoneOf(70 + (at % 3))] }));
    const state = govern(before, senses(before.at + jump, { zones: [zoneOf(71)] }), NO_LIMITS);
    expect(state.pace).toBe(1);
    expect([...state.zones.values()].every(({ slope }) => Number.isFinite(slope))).toBe(true);
  });
});
