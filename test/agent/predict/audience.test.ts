// What is expected of parts of titles: from starts, from where viewers are, from who left; by rendition; and forgotten.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Audience, type AudienceTitle } from '../../../agent/predict/audience.ts';
import { Devices } from '../../../agent/predict/devices.ts';
import { Flow } from '../../../agent/predict/flow.ts';
import { Rates } from '../../../agent/predict/rates.ts';

const TICK = 300_000;
const DAY = 86_400_000;
const HOUR = 3_600_000;

describe('rates', () => {
  test('are starts a day, once there are enough, and the mean of all before', () => {
    const rates = new Rates(0);
    const [loved, unseen] = [0, 1].map(() => rates.add({ releaseAt: undefined, series: undefined }));
    for (let at = 0; at < 20 * DAY; at += DAY / 10) rates.start(loved ?? 0, at);
    expect(rates.perDay(loved ?? 0, 20 * DAY)).toBeGreaterThan(9);
    expect(rates.perDay(loved ?? 0, 20 * DAY)).toBeLessThan(10.5);
    expect(rates.perDay(unseen ?? 0, 20 * DAY)).toBeLessThan(0.05);
    expect(rates.perDay(9, 0)).toBe(0);
  });

  test('a release follows its course: nothing before it, a third in its third week of what it had in its second', () => {
    const rates = new Rates(0);
    const title = rates.add({ releaseAt: 10 * DAY, series: undefined });
    expect(rates.perDay(title, 8 * DAY)).toBe(0);
    expect(rates.perDay(title, 9.5 * DAY)).toBeGreaterThan(0);
    for (let at = 10 * DAY; at < 24 * DAY; at += DAY / 10) rates.start(title, at);
    expect(rates.perDay(title, 24 * DAY) / rates.perDay(title, 23.9 * DAY)).toBeCloseTo(0.34, 1);
  });

  test('an episode that nobody has begun is expected as its series is', () => {
    const rates = new Rates(0);
    const [first, second] = ['s', 's', 't'].map((series) => rates.add({ releaseAt: undefined, series }));
    for (let at = 0; at < 10 * DAY; at += DAY / 8) rates.start(first ?? 0, at);
    expect(rates.perDay(second ?? 0, 10 * DAY)).toBeGreaterThan(3 * rates.perDay(2, 10 * DAY));
  });

  test('what was counted before a start of the process still counts', () => {
    const rates = new Rates(0);
    const title = rates.add({ releaseAt: undefined, series: undefined, startsPerDay: 40 });
    expect(rates.perDay(title, 1)).toBeGreaterThan(30);
  });
});

describe('flow', () => {
  /** `previous`: the rendition of the episode before; those who are expected there are read first. */
  const expectedOf = (flow: Flow, lane: number, now: number, previous?: number): readonly number[] => {
    const ahead = flow.ahead(86_400);
    const before = previous === undefined ? undefined : new Float32Array(5);
    if (before !== undefined && previous !== undefined)
      ahead.read(previous, { startsPerDay: 0, before: undefined, now }, before);
    const expected = new Float32Array(5);
    ahead.read(lane, { startsPerDay: 0, before, now }, expected);
    return [...expected];
  };

  test('a viewer is expected in what comes after, and no more in what is behind', () => {
    const flow = new Flow();
    const lane = flow.add(5, -1);
    expect(flow.enter(lane, 0, 0)).toBe(true);
    expect(flow.enter(lane, 1, TICK)).toBe(false);
    const [first = 0, second = 0, third = 0, fourth = 0] = expectedOf(flow, lane, TICK);
    expect([first, second]).toEqual([0, 0]);
    expect(third).toBeGreaterThan(0.9);
    expect(fourth).toBeLessThan(third);
  });

  test('who left is expected back where they left, less from day to day, and not after four of them', () => {
    const flow = new Flow();
    const lane = flow.add(5, -1);
    for (const bucket of [0, 1, 2]) flow.enter(lane, bucket, bucket * TICK);
    const hoursLater = (hours: number) => expectedOf(flow, lane, 2 * TICK + hours * HOUR);
    expect(hoursLater(1)[3]).toBeGreaterThan(0.04);
    expect(hoursLater(1).slice(0, 3)).toEqual([0, 0, 0]);
    expect(hoursLater(80)[3]).toBeLessThan(hoursLater(1)[3] ?? 0);
    expect(hoursLater(100)).toEqual([0, 0, 0, 0, 0]);
  });

  test('learns how many come back and when: tomorrow at this hour, so today less', () => {
    const flow = new Flow();
    const lanes = Array.from({ length: 300 }, () => flow.add(5, -1));
    for (const lane of lanes) for (const bucket of [0, 1]) flow.enter(lane, bucket, bucket * TICK);
    for (const lane of lanes.slice(0, 250)) flow.enter(lane, 2, DAY);
    const [lane] = [flow.add(5, -1)];
    for (const bucket of [0, 1]) flow.enter(lane, bucket, 2 * DAY + bucket * TICK);
    expect(expectedOf(flow, lane, 2 * DAY + HOUR)[2]).toBeGreaterThan(0.25);
    expect(expectedOf(flow, lane, 3 * DAY + 3 * HOUR)[2]).toBeLessThan(0.2);
  });

  test('the next episode is expected while the one before is watched, and begun from it is no start of its own', () => {
    const flow = new Flow();
    const first = flow.add(2, -1);
    const second = flow.add(5, first);
    flow.enter(first, 0, 0);
    flow.enter(first, 1, TICK);
    expect(expectedOf(flow, second, TICK, first)[0]).toBeGreaterThan(0.4);
    expect(flow.enter(second, 0, 2 * TICK)).toBe(false);
    expect(flow.enter(second, 0, 2 * TICK)).toBe(true);
  });

  test('for any requests in any order: nothing negative, nothing endless, never more than all who were there', () => {
    const step = fc.record({
      lane: fc.nat(4),
      bucket: fc.nat(6),
      ticks: fc.oneof(fc.constant(0), fc.nat(3), fc.nat(600)),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const flow = new Flow();
        const lanes = [flow.add(5, -1), flow.add(1, 0), flow.add(5, 1)];
        let now = 0;
        for (const { lane, bucket, ticks } of steps) {
          now += ticks * TICK;
          flow.enter(lane, bucket, now);
        }
        for (const lane of lanes) {
          for (const value of expectedOf(flow, lane, now)) {
            expect(value).toBeGreaterThanOrEqual(0);
            expect(value).toBeLessThanOrEqual(steps.length + 1);
          }
        }
      }),
      { numRuns: 50 },
    );
  });
});

test('devices: a view goes to the nearest bit rate, and before any evenly', () => {
  const devices = new Devices();
  expect(devices.shares([4e6, 1e6])).toEqual([0.5, 0.5]);
  expect(devices.shares([])).toEqual([]);
  for (let view = 0; view < 90; view += 1) devices.add(view % 3 === 0 ? 3.5e6 : 1.1e6);
  const [high = 0, low = 0] = devices.shares([4e6, 1e6]);
  expect(high + low).toBeCloseTo(1);
  expect(low / high).toBeCloseTo(2, 1);
});

describe('audience', () => {
  const titled = (id: string, over: Partial<AudienceTitle> = {}): AudienceTitle => ({
    id,
    durationSeconds: 1500,
    tracks: [
      { kind: 'video', bitsPerSecond: 4e6 },
      { kind: 'video', bitsPerSecond: 1e6 },
      { kind: 'audio', bitsPerSecond: 1e5 },
    ],
    ...over,
  });
  const open = (...titles: readonly AudienceTitle[]) => {
    const audience = new Audience({ sinceMs: 0, horizonSeconds: 86_400, maxTitles: 3 });
    for (const title of titles) audience.open(title);
    return audience;
  };

  test('expects a title on the renditions that are fetched here, and its sound by all', () => {
    const audience = open(titled('a'), titled('b'));
    for (let at = 0; at < DAY; at += DAY / 50) audience.enter({ titleId: 'a', track: 1, seconds: 0 }, at);
    const at = (titleId: string, track: number) => audience.expected({ titleId, track, seconds: 0 }, DAY);
    expect(at('a', 1)).toBeGreaterThan(20);
    expect(at('a', 0)).toBeLessThan(2);
    expect(at('a', 2)).toBeGreaterThan(20);
    expect(at('b', 1)).toBeLessThan(2);
  });

  test('first seconds count more than the rest, and what is not known counts nothing', () => {
    const audience = open(titled('a'));
    const score = (seconds: number) => audience.score(audience.groupOf('a', 0, seconds) ?? 0, 0);
    expect(score(0)).toBeCloseTo(4 * score(60), 5);
    expect(audience.groupOf('a', 7, 0)).toBeUndefined();
    expect(audience.groupOf('z', 0, 0)).toBeUndefined();
    expect(audience.score(1e9, 0)).toBe(0);
    audience.enter({ titleId: 'z', track: 0, seconds: 0 }, 0);
    audience.enter({ titleId: 'a', track: 0, seconds: 1e9 }, 0);
  });

  test('a title that was published anew is expected anew, and of the old objects nothing is', () => {
    const audience = open(titled('a'));
    const before = audience.groupOf('a', 0, 0) ?? 0;
    const changed = titled('a', { durationSeconds: 900 });
    expect([audience.knows(titled('a')), audience.knows(changed)]).toEqual([true, false]);
    expect(audience.open(changed)).toBe(true);
    expect(audience.score(before, DAY)).toBe(0);
    expect(audience.score(audience.groupOf('a', 0, 0) ?? 0, DAY)).toBeGreaterThan(0);
  });

  test('episodes are joined in whatever order they are opened', () => {
    const audience = open(titled('2', { previousId: '1' }), titled('1'));
    const expectedAt = (now: number) => audience.expected({ titleId: '2', track: 0, seconds: 0 }, now);
    const before = expectedAt(0);
    for (const seconds of [0, 300, 600, 900, 1200]) audience.enter({ titleId: '1', track: 0, seconds }, seconds * 1000);
    expect(expectedAt(1800_000)).toBeGreaterThan(before);
  });

  test('who is expected to begin an episode is expected in the next one too, and in the one after, from day to day', () => {
    const audience = open(titled('1'), titled('2', { previousId: '1' }), titled('3', { previousId: '2' }));
    for (let day = 0; day < 10; day += 1) {
      for (const [part, id] of ['1', '2', '3'].entries())
        for (let at = 0; at < 5; at += 1)
          audience.enter({ titleId: id, track: 0, seconds: at * 300 }, day * DAY + (part * 5 + at) * TICK);
    }
    const now = 10 * DAY - HOUR;
    const [first = 0, second = 0, third = 0] = ['1', '2', '3'].map((titleId) =>
      audience.expected({ titleId, track: 0, seconds: 0 }, now),
    );
    expect(first).toBeGreaterThan(0.5);
    // All who began the first came to the others, none of whose views began by itself.
    expect(second / first).toBeGreaterThan(0.6);
    expect(third / second).toBeGreaterThan(0.6);
    expect(third).toBeLessThan(second);
  });

  test('a chance that rests on few counts is less than one that rests on many', () => {
    const audience = open(titled('a'), titled('b'));
    for (let at = 0; at < DAY; at += DAY / 50) audience.enter({ titleId: 'a', track: 0, seconds: 0 }, at);
    expect(audience.chance('a', 1, DAY)).toBeCloseTo(1 - Math.exp(-1), 1);
    expect(audience.chance('b', 1, DAY)).toBeLessThan(0.4);
    expect([audience.chance('a', 0, DAY), audience.chance('z', 1, DAY)]).toEqual([0, 0]);
  });

  test('the beginnings that are expected most are protected, as many as fit, bit by bit as well', () => {
    const audience = open(titled('a'), titled('b'), titled('c'));
    for (const [title, every] of [
      ['a', 50],
      ['b', 10],
    ] as const)
      for (let at = 0; at < DAY; at += DAY / every) audience.enter({ titleId: title, track: 0, seconds: 0 }, at);
    const isProtected = () => ['a', 'b', 'c'].map((id) => audience.isProtected(id, 0));
    const score = (seconds: number) => audience.score(audience.groupOf('a', 0, seconds) ?? 0, DAY);
    expect([isProtected(), score(0)]).toEqual([[false, false, false], score(0)]);
    // 6 s of 4 Mbit/s are 3 MB.
    const look = (bytes: number, renditions: number) => audience.protect(bytes, { renditions, now: DAY });
    for (let times = 0; times < 2; times += 1) look(7e6, Number.POSITIVE_INFINITY);
    expect(isProtected()).toEqual([true, true, false]);
    expect([score(0), Number.isFinite(score(60))]).toEqual([Number.POSITIVE_INFINITY, true]);
    for (let times = 0; times < 6; times += 1) look(4e6, 3);
    expect(isProtected()).toEqual([true, false, false]);
    for (let times = 0; times < 2; times += 1) look(1e9, Number.POSITIVE_INFINITY);
    expect(isProtected()).toEqual([true, true, true]);
    for (let times = 0; times < 2; times += 1) look(0, Number.POSITIVE_INFINITY);
    expect(isProtected()).toEqual([false, false, false]);
  });

  test('more titles than the limit are not known, and looking farther ahead expects more', () => {
    const audience = open(titled('a'), titled('b'), titled('c'), titled('d'));
    expect(audience.groupOf('d', 0, 0)).toBeUndefined();
    const near = audience.expected({ titleId: 'a', track: 0, seconds: 0 }, 0);
    audience.lookAhead(3 * 86_400);
    expect(audience.expected({ titleId: 'a', track: 0, seconds: 0 }, 0)).toBeCloseTo(3 * near, 5);
  });
});
