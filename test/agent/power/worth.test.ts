// What encoding is worth: which title pays, which goes first, what is learnt from those that were encoded.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byOrder, learn, mayRun, type Waiting, worthOf } from '../../../agent/power/worth.ts';

const FIRST = learn([]);
const EVEN = { deliveredBps: 8e6, savedRatio: 0.5, cpuSecondsPerSecond: 10 };

describe('a title', () => {
  test('of an hour that 20 watch saves a quarter of what they get, and costs CPU for an hour of video', () => {
    const worth = worthOf({ durationSeconds: 3_600, views: 20, sourceBytes: 5e9 }, EVEN);
    expect(worth).toEqual({
      watchHours: 20,
      savedBytes: (20 * 3_600 * 8e6 * 0.5) / 8,
      sourceBytes: 5e9,
      cpuHours: 10,
      savedBytesPerCpuHour: 3.6e9,
      pays: true,
    });
  });

  test.each([
    ['that nobody is expected to watch', 0, 1, false],
    ['that nobody is expected to watch, though its source is here', 0, 0, false],
    ['that saves exactly what its source costs', 1, 1.8e9, false],
    ['that saves a little more', 1, 1.8e9 - 1, true],
    ['with less than no views', -5, 0, false],
  ])('%s: pays is %s', (_name, views, sourceBytes, pays) => {
    expect(worthOf({ durationSeconds: 3_600, views, sourceBytes }, EVEN).pays).toBe(pays);
  });

  test.each([undefined, 0, Number.NaN])(
    'of unknown length (%s) has the place of any other with its views',
    (seconds) => {
      const known = worthOf({ durationSeconds: 900, views: 3, sourceBytes: 0 }, EVEN);
      const unknown = worthOf({ durationSeconds: seconds, views: 3, sourceBytes: 0 }, EVEN);
      expect(unknown.savedBytesPerCpuHour).toBeCloseTo(known.savedBytesPerCpuHour, 3);
    },
  );
});

describe('experience', () => {
  test('moves from what was assumed to what was seen', () => {
    const seen = { durationSeconds: 3_600, referenceBps: 5e6, savedRatio: 0.4, cpuSeconds: 36_000 };
    const after = learn(new Array(50).fill(seen));
    expect(after.deliveredBps).toBeCloseTo(5e6, -5);
    expect(after.savedRatio).toBeCloseTo(0.4, 1);
    expect(after.cpuSecondsPerSecond).toBeCloseTo(10, 0);
    const one = learn([seen]);
    expect(one.savedRatio).toBeGreaterThan(FIRST.savedRatio);
    expect(one.savedRatio).toBeLessThan(0.4);
  });

  test('is finite and within bounds whatever packages say', () => {
    const any = fc.double();
    const package_ = fc.record({ durationSeconds: any, referenceBps: any, savedRatio: any, cpuSeconds: any });
    fc.assert(
      fc.property(fc.array(package_), (encoded) => {
        const { savedRatio, deliveredBps, cpuSecondsPerSecond } = learn(encoded);
        expect(savedRatio).toBeGreaterThanOrEqual(0);
        expect(savedRatio).toBeLessThanOrEqual(1);
        expect(Number.isFinite(deliveredBps) && deliveredBps > 0).toBe(true);
        expect(Number.isFinite(cpuSecondsPerSecond) && cpuSecondsPerSecond > 0).toBe(true);
      }),
    );
  });
});

describe('jobs', () => {
  const waiting = fc
    .record({
      dueAt: fc.option(fc.integer({ min: 0, max: 100 }), { nil: undefined }),
      isForced: fc.boolean(),
      views: fc.integer({ min: 0, max: 50 }),
      sourceBytes: fc.integer({ min: 0, max: 1e11 }),
    })
    .map(
      ({ views, sourceBytes, ...rest }): Waiting => ({
        ...rest,
        worth: worthOf({ durationSeconds: 3_600, views, sourceBytes }, FIRST),
      }),
    );

  test('are in one order from wherever they start: by deadline, then by what they save', () => {
    fc.assert(
      fc.property(fc.array(waiting), (jobs) => {
        const sorted = jobs.toSorted(byOrder);
        expect(
          jobs
            .toReversed()
            .toSorted(byOrder)
            .map(({ worth, dueAt }) => [dueAt, worth.savedBytesPerCpuHour]),
        ).toEqual(sorted.map(({ worth, dueAt }) => [dueAt, worth.savedBytesPerCpuHour]));
        const due = sorted.map(({ dueAt }) => dueAt ?? Number.POSITIVE_INFINITY);
        expect(due).toEqual(due.toSorted((one, other) => (one < other ? -1 : one > other ? 1 : 0)));
      }),
    );
  });

  test('run when somebody said so, when they are due, or when they pay', () => {
    fc.assert(
      fc.property(waiting, (job) => {
        expect(mayRun(job)).toBe(
          job.isForced || job.dueAt !== undefined || job.worth.savedBytes > job.worth.sourceBytes,
        );
      }),
    );
  });
});
