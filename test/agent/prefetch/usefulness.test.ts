// What becomes of objects fetched ahead is counted, chances are corrected by it, and waste raises the threshold.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openUsefulness, type Tracked } from '../../../agent/prefetch/usefulness.ts';

const object = (over: Partial<Tracked> = {}): Tracked => ({
  ...{ reason: 'next-segments', group: 'same near', chance: 0.5, bytes: 1000, until: 100 },
  ...over,
});
const open = (maxTracked = 1000) => openUsefulness({ maxWastedRatio: 0.2, maxTracked });

describe('an object is', () => {
  test('useful when the cache had it, late when it came too late, wasted when nobody asked in time', () => {
    const it = open();
    for (const url of ['/useful', '/late', '/wasted', '/waits']) it.track(url, object());
    for (const url of ['/useful', '/wasted', '/waits']) it.stored(url, 2000);
    expect(it.asked('/useful', true)).toBe('useful');
    expect(it.asked('/late', false)).toBe('late');
    expect(it.asked('/useful', true)).toBeUndefined();
    it.track('/later', object({ until: 1000 }));
    it.stored('/later', 2000);
    it.sweep(100);
    expect(it.stats().objects['next-segments']).toEqual({ useful: 1, late: 1, wasted: 2 });
    expect(it.stats().bytes).toEqual({ useful: 2000, late: 1000, wasted: 4000 });
  });

  test('none of these when it never came, or was only looked at', () => {
    const it = open();
    it.track('/gone', object());
    it.dropped('/gone');
    it.track('/failed', object());
    it.look('/looked', object());
    expect(it.asked('/looked', false)).toBeUndefined();
    it.sweep(100);
    expect(it.stats().bytes).toEqual({ useful: 0, late: 0, wasted: 0 });
  });

  test('still followed when it is given up after it has come', () => {
    const it = open();
    it.track('/1', object());
    it.stored('/1', 1000);
    it.dropped('/1');
    it.sweep(100);
    expect(it.stats().bytes.wasted).toBe(1000);
  });
});

describe('chances', () => {
  test('are corrected towards what came true of their group, and of theirs alone', () => {
    const it = open();
    for (let index = 0; index < 400; index += 1) {
      it.look(`/${index}`, object({ chance: 0.5 }));
      if (index % 10 === 0) it.asked(`/${index}`, false);
    }
    it.sweep(100);
    expect(it.corrected('same near', 0.5)).toBeCloseTo(0.1 + 0.04, 1);
    expect(it.corrected('up near', 0.5)).toBe(0.5);
  });

  test('stay within 0 and 1, and the number of objects and groups is bounded', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(20), fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean())), (steps) => {
        const it = open(5);
        for (const [group, chance, isAsked] of steps) {
          it.track(`/${group}`, object({ group: `${group}`, chance }));
          it.stored(`/${group}`, 10);
          if (isAsked) it.asked(`/${group}`, true);
          const corrected = it.corrected(`${group}`, chance);
          expect(corrected >= 0 && corrected <= 1).toBe(true);
        }
        const { threshold, wastedRatio } = it.stats();
        expect(threshold > 0 && threshold < 1 && wastedRatio >= 0 && wastedRatio <= 1).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

describe('the threshold', () => {
  const thresholdAt = (share: number): number => {
    const it = open();
    for (let index = 0; index < 1000; index += 1) {
      it.track(`/${index}`, object());
      it.stored(`/${index}`, 1000);
      if (index % 100 >= share * 100) it.asked(`/${index}`, true);
      else it.sweep(100);
    }
    return it.threshold();
  };

  test('rises while more is wasted than may be, and falls while less is', () => {
    const begin = open().threshold();
    expect(thresholdAt(0.5)).toBeGreaterThan(begin + 0.1);
    expect(thresholdAt(0.05)).toBeLessThan(begin);
    expect(Math.abs(thresholdAt(0.2) - begin)).toBeLessThan(0.05);
  });
});
