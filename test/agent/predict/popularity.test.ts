// Live popularity: decay, order, merging, shrinkage and bounds; and on real events where they are at hand.
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { launchStrength } from '../../../agent/predict/launch.ts';
import {
  createPopularity,
  DEFAULT_HALF_LIFE_MS,
  MINIMUM_PRIOR_VIEWS,
  regionalWeight,
  type View,
} from '../../../agent/predict/popularity.ts';
import { drawIndex, seededRandom } from '../../../agent/train/random.ts';

const DAY = 86_400_000;
const views = fc.array(
  fc.record({
    titleId: fc.constantFrom('a', 'b', 'c', 'd'),
    region: fc.constantFrom('north', 'south'),
    at: fc.integer({ min: 0, max: 100 * DAY }),
  }),
  { maxLength: 60 },
);
const NOW = 100 * DAY;
const counted = (list: readonly View[], halfLifeMs = 7 * DAY) => {
  const popularity = createPopularity({ halfLifeMs });
  for (const view of list) popularity.add(view, NOW);
  return popularity;
};
const asMap = (popularity: ReturnType<typeof createPopularity>, region: string) =>
  new Map(popularity.shares(region, NOW, 100).map(({ titleId, share }) => [titleId, share]));

describe('decayed counters', () => {
  test('a view is worth half after each half-life', () => {
    const popularity = createPopularity({ halfLifeMs: 10 * DAY });
    popularity.add({ titleId: 'old', region: 'r', at: 0 }, 20 * DAY);
    popularity.add({ titleId: 'new', region: 'r', at: 20 * DAY }, 20 * DAY);
    const shares = popularity.shares('r', 20 * DAY, 2);
    expect(shares[0]).toEqual({ titleId: 'new', share: 0.8 });
    expect(shares[1]?.share).toBeCloseTo(0.2, 12);
  });

  test('expect as many views as come, once they have come for a while; fewer before that, none of an unknown region', () => {
    const popularity = createPopularity({ halfLifeMs: 10 * DAY });
    for (let day = 0; day < 100; day += 0.5) popularity.add({ titleId: 'a', region: 'r', at: day * DAY }, day * DAY);
    expect(popularity.expectedViews('r', 14, 100 * DAY) / 28).toBeCloseTo(1, 1);
    expect(popularity.expectedViews('r', 14, 110 * DAY) / 14).toBeCloseTo(1, 1);
    expect(popularity.expectedViews('elsewhere', 14, 100 * DAY)).toBe(0);
  });

  test('any order of arrival, and any split over two nodes that merge, gives the same shares', () => {
    fc.assert(
      fc.property(views, fc.infiniteStream(fc.boolean()), (list, coin) => {
        const whole = counted(list);
        const [one, other] = [createPopularity({ halfLifeMs: 7 * DAY }), createPopularity({ halfLifeMs: 7 * DAY })];
        for (const view of [...list].reverse()) (coin.next().value === true ? one : other).add(view, NOW);
        // Through JSON, as it goes to disk and over the wire.
        one.merge(JSON.parse(JSON.stringify(other.snapshot(NOW))));
        for (const region of ['north', 'south', 'elsewhere']) {
          const expected = asMap(whole, region);
          const merged = asMap(one, region);
          expect(merged.size).toBe(expected.size);
          for (const [titleId, share] of expected) expect(merged.get(titleId)).toBeCloseTo(share, 9);
        }
      }),
    );
  });

  test('shares are ordered, within 0..1 and add up to 1', () => {
    fc.assert(
      fc.property(views, (list) => {
        const shares = counted(list).shares('north', NOW, 100);
        expect(shares.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(list.length > 0 ? 1 : 0, 9);
        for (const [at, { share }] of shares.entries()) {
          expect(share).toBeLessThanOrEqual(shares[at - 1]?.share ?? 1 + 1e-9);
        }
      }),
    );
  });

  test('a view from the future counts as one of now; one without a time or weight not at all', () => {
    const popularity = createPopularity({ halfLifeMs: DAY });
    popularity.add({ titleId: 'future', region: 'r', at: 1e15 }, NOW);
    popularity.add({ titleId: 'now', region: 'r', at: NOW }, NOW);
    popularity.add({ titleId: 'never', region: 'r', at: Number.NaN }, NOW);
    popularity.add({ titleId: 'nothing', region: 'r', at: NOW, weight: -3 }, NOW);
    popularity.add({ titleId: 'none', region: 'r', at: NOW, weight: Number.NaN }, NOW);
    expect(popularity.shares('r', NOW, 9)).toEqual([
      { titleId: 'future', share: 0.5 },
      { titleId: 'now', share: 0.5 },
    ]);
  });

  test('is bounded: the least popular titles go first, and regions beyond the limit are counted together', () => {
    const popularity = createPopularity({ halfLifeMs: DAY, maxTitles: 50, maxRegions: 3 });
    for (let time = 0; time < 20; time += 1) popularity.add({ titleId: 'hit', region: 'r0', at: NOW }, NOW);
    for (let at = 0; at < 500; at += 1) popularity.add({ titleId: `t${at}`, region: `r${at % 10}`, at: NOW }, NOW);
    expect(popularity.snapshot(NOW).regions.length).toBeLessThanOrEqual(4);
    for (const { titles } of popularity.snapshot(NOW).regions) expect(titles.length).toBeLessThanOrEqual(50);
    expect(popularity.shares('r0', NOW, 1)[0]?.titleId).toBe('hit');
  });

  test('refuses to merge what it cannot add', () => {
    const popularity = createPopularity({ halfLifeMs: DAY });
    expect(() => popularity.merge({ version: 1, halfLifeMs: 2 * DAY, regions: [] })).toThrow(RangeError);
    // A version of a later node.
    expect(() => popularity.merge({ version: 2 as 1, halfLifeMs: DAY, regions: [] })).toThrow(/version 2/);
  });
});

describe('shrinkage', () => {
  const draw = (shares: readonly number[], count: number, random: () => number) => {
    const own = new Map<string, number>();
    for (let view = 0; view < count; view += 1) {
      const at = drawIndex(shares, random);
      own.set(`t${at}`, (own.get(`t${at}`) ?? 0) + 1 / count);
    }
    return own;
  };
  const zipf = Array.from({ length: 40 }, (_, at) => 1 / (at + 1));
  const total = zipf.reduce((sum, value) => sum + value, 0);
  const world = zipf.map((value) => value / total);
  const global = new Map(world.map((share, at) => [`t${at}`, share]));

  test('a region like the world gets no say of its own (in 95 of 100 draws less than a quarter)', () => {
    const random = seededRandom(3);
    const weights = Array.from({ length: 100 }, () => regionalWeight(draw(world, 2000, random), global, 2000));
    expect(weights.filter((weight) => weight > 0.25).length).toBeLessThanOrEqual(5);
  });

  test('a region of its own kind gets more say the more it is seen, and little while it is seen little', () => {
    const other = [...world].reverse();
    const weights = [20, 200, 2000, 20_000].map((count) =>
      regionalWeight(draw(other, count, seededRandom(count)), global, count),
    );
    expect(weights[0]).toBeLessThan(20 / MINIMUM_PRIOR_VIEWS);
    for (const [at, weight] of weights.entries()) expect(weight).toBeGreaterThan(weights[at - 1] ?? -1);
    expect(weights.at(-1)).toBeGreaterThan(0.9);
  });

  test('one region alone, or nothing at all, is the world', () => {
    const popularity = counted([{ titleId: 'a', region: 'north', at: NOW }]);
    expect(popularity.regionalWeight('north', NOW)).toBe(0);
    expect(popularity.shares('south', NOW, 5)).toEqual([{ titleId: 'a', share: 1 }]);
    expect(createPopularity({ halfLifeMs: DAY }).shares('north', NOW, 5)).toEqual([]);
  });
});

test.each([
  [-1, 0],
  [0, 0.89],
  [7 * DAY, 1],
  [14 * DAY, 0.34],
  [35 * DAY, 0.12],
  [42 * DAY, 0.06],
  [49 * DAY, 0.03],
  [400 * DAY, 0],
  [Number.NaN, 0],
])('a title released %d ms ago has launch strength %d', (age, strength) => {
  expect(launchStrength(0, age)).toBeCloseTo(strength, 12);
});

const events = new URL('../../../../shared/data/ml-100k/u.data', import.meta.url);
describe.skipIf(!existsSync(events))('[shared] MovieLens 100k, global temporal split', () => {
  test('live popularity reaches the recorded HR@10 .078 and beats popularity frozen at the split', {
    timeout: 60_000,
  }, () => {
    const rows = readFileSync(events, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split('\t').map(Number))
      .map(([user = 0, item = 0, , seconds = 0]) => ({ user, titleId: String(item), at: seconds * 1000 }))
      .sort((one, other) => one.at - other.at);
    const popularity = createPopularity({ halfLifeMs: DEFAULT_HALF_LIFE_MS });
    const seen = new Map<number, Set<string>>();
    const split = Math.floor(rows.length * 0.8);
    let frozen: readonly string[] = [];
    const hits = { live: 0, frozen: 0 };
    let live: readonly string[] = [];
    rows.forEach(({ user, titleId, at }, row) => {
      const own = seen.get(user) ?? new Set();
      seen.set(user, own);
      if (row >= split) {
        if ((row - split) % 50 === 0) live = popularity.shares('all', at, 2000).map((share) => share.titleId);
        if (row === split) frozen = live;
        const top = (list: readonly string[]) =>
          list
            .filter((id) => !own.has(id))
            .slice(0, 10)
            .includes(titleId);
        if (top(live)) hits.live += 1;
        if (top(frozen)) hits.frozen += 1;
      }
      own.add(titleId);
      popularity.add({ titleId, region: 'all', at }, at);
    });
    const ratio = hits.live / (rows.length - split);
    expect(ratio).toBeGreaterThan(0.07);
    expect(ratio).toBeLessThan(0.086);
    expect(hits.live).toBeGreaterThan(hits.frozen);
  });
});
