// Lists of regions: likeness, what a region without history borrows, and what a region with history keeps.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { foretellCold, foretellWarm, learnHabits, mostSimilar, similarityOf } from '../../../agent/predict/lists.ts';

const list = (start: number): string[] => Array.from({ length: 10 }, (_, at) => `t${start + at}`);

describe('likeness', () => {
  test('is 1 of equal lists, 0 of those that share nothing, between for other places', () => {
    expect(similarityOf([list(0)], [list(0)])).toBe(1);
    expect(similarityOf([list(0)], [list(50)])).toBe(0);
    const turned = similarityOf([list(0)], [list(0).reverse()]);
    expect(turned).toBeGreaterThan(0);
    expect(turned).toBeLessThan(1);
    expect(similarityOf([], [])).toBe(0);
  });

  test('is symmetric for full lists and within 0..1', () => {
    const lists = fc.array(fc.shuffledSubarray(list(0).concat(list(10)), { minLength: 10, maxLength: 10 }), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(lists, lists, (one, other) => {
        const weeks = Math.min(one.length, other.length);
        const [left, right] = [one.slice(0, weeks), other.slice(0, weeks)];
        const likeness = similarityOf(left, right);
        expect(likeness).toBeCloseTo(similarityOf(right, left), 10);
        expect(likeness).toBeGreaterThanOrEqual(0);
        expect(likeness).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('only the eight nearest count', () => {
    const regions = Array.from({ length: 20 }, (_, at) => ({ similarity: at / 20 }));
    expect(mostSimilar(regions).map(({ similarity }) => similarity * 20)).toEqual([19, 18, 17, 16, 15, 14, 13, 12]);
  });
});

describe('a region without history', () => {
  const none: readonly string[] = [];

  test('gets what its like watch, the nearest first', () => {
    const near = { similarity: 0.9, lists: { latest: list(0), before: none } };
    const far = { similarity: 0.3, lists: { latest: list(20), before: none } };
    expect(foretellCold([far, near], 10)).toEqual(list(0));
  });

  test('a title that is new goes before one that was there before', () => {
    const lists = { latest: ['old', 'new'], before: ['old'] };
    expect(foretellCold([{ similarity: 1, lists }], 2)).toEqual(['new', 'old']);
  });

  test('without other regions nothing is claimed', () => {
    expect(foretellCold([], 10)).toEqual([]);
  });
});

describe('a region with history', () => {
  test('keeps its list while nothing is learnt, in some order', () => {
    const own = [list(0), list(0)];
    expect([...foretellWarm({ own, neighbours: [] }, new Map(), 10)].sort()).toEqual([...list(0)].sort());
  });

  test('learns that the last place falls out and that what all neighbours have comes in', () => {
    const neighbours = Array.from({ length: 8 }, () => ({ latest: ['comer'], before: [] }));
    const examples = Array.from({ length: 60 }, (_, at) => {
      const own = Array.from({ length: 10 }, (_place, place) => `x${at}-${place}`);
      return { own: [own], neighbours, next: [...own.slice(0, 9), 'comer'] };
    });
    const habits = learnHabits(examples);
    const foretold = foretellWarm({ own: [list(0)], neighbours }, habits, 10);
    expect(foretold).toContain('comer');
    expect(foretold).not.toContain('t9');
    expect(foretold).toHaveLength(10);
  });
});
