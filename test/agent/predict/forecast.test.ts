// Hours of a title in the next day and week: means and intervals of a steady title, of a release, of few viewers; intervals
// that learn how wide they must be; history that can be kept.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Forecast, HORIZONS } from '../../../agent/predict/forecast.ts';
import { seededChance } from '../../../agent/simulate/workload.ts';

const DAY = 86_400_000;
const HOUR_SECONDS = 3600;
const always = () => undefined;

test('a steady title is expected as it was, a week as seven days, and one that nobody watched not at all', () => {
  const forecast = new Forecast(0, always);
  for (let day = 0; day < 20; day += 1) forecast.watched('a', 10 * HOUR_SECONDS, day * DAY);
  const next = forecast.expected('a', 1, 20 * DAY);
  const week = forecast.expected('a', 7, 20 * DAY);
  expect(next?.mean).toBeGreaterThan(9);
  expect(next?.mean).toBeLessThanOrEqual(10);
  expect(week?.mean).toBeCloseTo(7 * (next?.mean ?? 0));
  expect(next?.low).toBeLessThan(next?.mean ?? 0);
  expect(next?.high).toBeGreaterThan(next?.mean ?? 0);
  expect(forecast.expected('b', 1, 20 * DAY)).toBeUndefined();
});

test('before a day is over nothing is expected', () => {
  const forecast = new Forecast(0, always);
  forecast.watched('a', HOUR_SECONDS, 5);
  expect(forecast.expected('a', 1, DAY - 1)).toBeUndefined();
  expect(forecast.expected('a', 1, DAY)?.mean).toBeGreaterThan(0.5);
});

test('a release is expected to fade as releases do', () => {
  const forecast = new Forecast(0, (id) => (id === 'new' ? 0 : undefined));
  for (let day = 0; day < 14; day += 1) {
    for (const id of ['new', 'old']) forecast.watched(id, 10 * HOUR_SECONDS, day * DAY);
  }
  const of = (id: string) => forecast.expected(id, 7, 14 * DAY)?.mean ?? 0;
  // The third week has a third of the second.
  expect(of('new') / of('old')).toBeGreaterThan(0.3);
  expect(of('new') / of('old')).toBeLessThan(0.45);
});

test('who is hardly watched may well not be: the interval begins at none', () => {
  const forecast = new Forecast(0, always);
  for (let day = 0; day < 10; day += 1) forecast.watched('seldom', HOUR_SECONDS, day * DAY * 3);
  expect(forecast.expected('seldom', 1, 28 * DAY)?.low).toBe(0);
});

test('intervals hold four times in five, of viewers who come by chance, and learn it when they come in crowds', () => {
  const chance = seededChance(3);
  for (const crowd of [1, 6]) {
    const forecast = new Forecast(0, always);
    let [held, count] = [0, 0];
    for (let day = 0; day < 28; day += 1) {
      for (let title = 0; title < 200; title += 1) {
        let hours = 0;
        for (let viewer = 0; viewer < 40 / crowd; viewer += 1) if (chance() < 0.1) hours += crowd * (0.5 + chance());
        const { low = 0, high = 0 } = forecast.expected(`${title}`, 1, day * DAY) ?? {};
        if (day > 18) {
          count += 1;
          if (hours >= low && hours <= high) held += 1;
        }
        if (hours > 0) forecast.watched(`${title}`, hours * HOUR_SECONDS, day * DAY);
      }
    }
    expect(held / count).toBeGreaterThan(0.72);
    expect(held / count).toBeLessThan(0.88);
    expect(forecast.held().count).toBeGreaterThan(1000);
  }
});

test('what was kept goes on as it was; other versions and what is no number are refused', () => {
  const forecast = new Forecast(3 * DAY, always);
  for (let day = 3; day < 12; day += 1) forecast.watched('a', day * HOUR_SECONDS, day * DAY);
  const kept = JSON.parse(JSON.stringify(forecast.snapshot(12 * DAY)));
  const restored = Forecast.restore(kept, 12 * DAY, always);
  expect(restored.expected('a', 7, 12 * DAY)?.mean).toBeCloseTo(forecast.expected('a', 7, 12 * DAY)?.mean ?? 0, 3);
  expect(() => Forecast.restore({ ...kept, version: 2 }, 0, always)).toThrow(RangeError);
  expect(() => Forecast.restore({ ...kept, day: Number.NaN }, 0, always)).toThrow(RangeError);
  expect(() => Forecast.restore({ ...kept, hours: [['a', [-1]]] }, 0, always)).toThrow(RangeError);
});

test('for any history, gaps of months and clocks that go back included: low <= mean <= high, all finite', () => {
  const step = fc.record({
    id: fc.constantFrom('a', 'b', 'new'),
    days: fc.oneof(fc.constant(0), fc.integer({ min: -2, max: 3 }), fc.constant(200)),
    seconds: fc.double({ min: 0, max: 1e6, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const forecast = new Forecast(0, (id) => (id === 'new' ? 5 * DAY : undefined), 2);
      let now = 0;
      for (const { id, days, seconds } of steps) {
        now = Math.max(0, now + days * DAY);
        forecast.watched(id, seconds, now);
        for (const horizon of HORIZONS) {
          const { low, mean, high } = forecast.expected(id, horizon, now) ?? { low: 0, mean: 0, high: 0 };
          expect(low).toBeGreaterThanOrEqual(0);
          expect(mean).toBeGreaterThanOrEqual(low);
          expect(high).toBeGreaterThanOrEqual(mean);
          expect(high).toBeLessThan(1e12);
        }
      }
    }),
    { numRuns: 50 },
  );
});

test('explained: both horizons, every day that was counted, and how wide intervals had to be', () => {
  const forecast = new Forecast(0, (id) => (id === 'new' ? 2 * DAY : undefined));
  expect(forecast.explained('a', 5)).toMatchObject({
    ...{ day: undefined, week: undefined, why: 'no whole day has been counted yet' },
    madeOf: { hoursByDay: [], heldRatio: 0, judged: 0, courseRatio: 1 },
  });
  for (let day = 0; day < 4; day += 1) forecast.watched('a', (day + 1) * HOUR_SECONDS, day * DAY);
  forecast.watched('new', 9 * HOUR_SECONDS, 3 * DAY);
  const { day, week, why, madeOf } = forecast.explained('a', 4 * DAY);
  expect([day, week, why]).toEqual([forecast.expected('a', 1, 4 * DAY), forecast.expected('a', 7, 4 * DAY), 'counted']);
  expect(madeOf.hoursByDay).toEqual([1, 2, 3, 4]);
  // What it says follows from what it was made of.
  expect(day?.mean).toBeCloseTo(madeOf.hoursPerDay * madeOf.courseRatio, 9);
  expect(madeOf.effectiveDays).toBeGreaterThan(3);
  expect(forecast.explained('new', 4 * DAY).madeOf).toMatchObject({ hoursByDay: [0, 0, 0, 9], courseRatio: 0.89 });
  expect(forecast.explained('unseen', 4 * DAY)).toMatchObject({
    day: undefined,
    why: 'nobody has watched it here yet',
  });
});
