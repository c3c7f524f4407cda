// Taste: what is watched, skipped and looked at moves it, by how much and for how long; and what it changes in a ranking.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openPredictor } from '../../../agent/model/predictor.ts';
import { embedMetadata } from '../../../agent/predict/embed.ts';
import { cosineOf, indexNearest, nearest } from '../../../agent/predict/nearest.ts';
import { createPopularity, DEFAULT_HALF_LIFE_MS } from '../../../agent/predict/popularity.ts';
import { placesOf, type TitleEmbeddings } from '../../../agent/predict/tables.ts';
import { evidenceOf, type TasteSession, tasteOf } from '../../../agent/predict/taste.ts';
import { seededRandom } from '../../../agent/train/random.ts';

const NOW = Date.UTC(2026, 0, 1);
const HOUR = 3_600_000;
const GENRES = ['drama', 'comedy', 'crime', 'documentary', 'family'];
const TITLES = GENRES.flatMap((genre) =>
  Array.from({ length: 20 }, (_, at) => ({ id: `${genre}-${at}`, durationSeconds: 3600, genres: [genre] })),
);

/** Runs steps to their end. */
function whole<T>(steps: Generator<void, T, void>): T {
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value;
}
const table = whole(embedMetadata(TITLES));
const viewing = (titleId: string, watchedSeconds: number, agoMs = 0) => ({
  ...{ titleId, watchedSeconds, positionSeconds: watchedSeconds, at: NOW - agoMs, isCompleted: false },
});
const weightOf = (session: TasteSession, titleId: string): number =>
  evidenceOf(session, NOW).find((one) => one.titleId === titleId)?.weight ?? 0;
const toward = (session: TasteSession, titleId: string): number => {
  const taste = tasteOf(evidenceOf(session, NOW), table);
  return taste === undefined ? 0 : cosineOf(table, placesOf(table.titleIds).get(titleId), taste);
};

describe('what a session says', () => {
  test('the longer watched the more, never more than 1; two minutes are half of it', () => {
    const weights = [0, 60, 120, 1200, 1e9].map((seconds) =>
      weightOf({ history: [viewing('drama-1', seconds)] }, 'drama-1'),
    );
    expect(weights).toEqual([...weights].sort((a, b) => a - b));
    expect(weights[0]).toBe(0);
    expect(weights[2]).toBe(0.5);
    expect(weights.at(-1)).toBeLessThanOrEqual(1);
  });

  test('less with age and with every newer title', () => {
    const old = { history: [viewing('drama-1', 600, 24 * HOUR)] };
    const week = { history: [viewing('drama-1', 600, 7 * 24 * HOUR)] };
    const second = { history: [viewing('comedy-1', 600), viewing('drama-1', 600)] };
    const fresh = weightOf({ history: [viewing('drama-1', 600)] }, 'drama-1');
    expect(weightOf(old, 'drama-1')).toBeLessThan(0.5 * fresh);
    expect(weightOf(week, 'drama-1')).toBeCloseTo(0.25 * fresh, 4);
    expect(weightOf(second, 'drama-1')).toBeCloseTo(0.9 * fresh, 6);
  });

  test('a title left at once speaks against its kind, unless it is the newest or still plays', () => {
    const left = { history: [viewing('comedy-1', 600), viewing('drama-1', 20)] };
    expect(weightOf(left, 'drama-1')).toBeLessThan(0);
    expect(toward(left, 'drama-2')).toBeLessThan(toward({ history: [viewing('comedy-1', 600)] }, 'drama-2'));
    expect(weightOf({ ...left, current: { titleId: 'drama-1' } }, 'drama-1')).toBeGreaterThan(0);
    expect(weightOf({ history: [viewing('drama-1', 20)] }, 'drama-1')).toBeGreaterThan(0);
  });

  test('a long look says a little, a glance nothing, and never more than watching', () => {
    const looked = (dwellBucket: 'under-1' | '3-10' | 'over-10') => ({
      history: [],
      hovers: [{ titleId: 'crime-1', at: NOW, dwellBucket }],
    });
    expect(evidenceOf(looked('under-1'), NOW)).toEqual([]);
    expect(toward(looked('over-10'), 'crime-2')).toBeGreaterThan(0.9);
    expect(weightOf(looked('3-10'), 'crime-1')).toBeLessThan(
      weightOf({ history: [viewing('crime-1', 120)] }, 'crime-1'),
    );
  });

  test('is bounded and finite whatever the session is, and of length 1', () => {
    const entry = fc.record({
      titleId: fc.constantFrom('drama-1', 'comedy-1', 'unknown'),
      watchedSeconds: fc.double({ min: -10, max: 1e12, noNaN: true }),
      positionSeconds: fc.double({ min: -10, max: 1e12, noNaN: true }),
      at: fc.double({ min: NOW - 1e12, max: NOW + 1e12, noNaN: true }),
      isCompleted: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 50 }), (history) => {
        const evidence = evidenceOf({ history }, NOW);
        expect(evidence.every(({ weight }) => Math.abs(weight) <= 1)).toBe(true);
        const taste = tasteOf(evidence, table);
        const length = taste?.reduce((sum, value) => sum + value ** 2, 0) ?? 1;
        expect(length).toBeCloseTo(1, 4);
      }),
    );
  });
});

describe('the ranking', () => {
  const predictor = openPredictor({
    titles: () => TITLES,
    catalogueVersion: () => 1,
    popularity: createPopularity({ halfLifeMs: DEFAULT_HALF_LIFE_MS }),
    region: 'here',
    now: () => NOW,
  });
  const comedies = Array.from({ length: 12 }, (_, at) => viewing(`comedy-${at}`, 1500, (at + 1) * HOUR));
  /** The best place of a documentary that is not the one being watched, and how near it is to the taste. */
  const documentaryIn = async (history: readonly ReturnType<typeof viewing>[]) => {
    const { titles } = await predictor.rank({ session: { history }, limit: 100 });
    const place = titles.findIndex(
      ({ titleId }) => titleId.startsWith('documentary') && titleId !== history[0]?.titleId,
    );
    return { place: place < 0 ? titles.length : place, nearness: titles[place]?.features.taste ?? 0 };
  };

  test('changes with the next question after two minutes of a documentary', async () => {
    const before = await documentaryIn(comedies);
    const after = await documentaryIn([viewing('documentary-3', 120), ...comedies]);
    expect(after.nearness).toBeGreaterThan(before.nearness + 0.05);
    expect(after.place).toBeLessThan(before.place);
  });

  test('without a session there is no taste and nothing of anybody', async () => {
    const { titles } = await predictor.rank({ limit: 100 });
    expect(titles.every(({ features, reasons }) => features.taste === 0 && !reasons.includes('taste'))).toBe(true);
  });
});

describe('nearest titles', () => {
  const random = seededRandom(5);
  const width = 8;
  const count = 5_000;
  const values = Float32Array.from({ length: count * width }, () => random() - 0.5);
  for (let row = 0; row < count; row += 1) {
    const part = values.subarray(row * width, (row + 1) * width);
    const length = Math.hypot(...part);
    part.forEach((value, at) => {
      part[at] = row === 7 ? 0 : value / length;
    });
  }
  const vectors: TitleEmbeddings = { titleIds: Array.from({ length: count }, (_, row) => `t${row}`), width, values };
  const index = whole(indexNearest(vectors));

  test('are mostly those that a look at every title finds, in their order', () => {
    let found = 0;
    for (let asked = 0; asked < 20; asked += 1) {
      const vector = values.slice((asked + 20) * width, (asked + 21) * width);
      const exact = vectors.titleIds
        .map((titleId, row) => ({ titleId, cosine: cosineOf(vectors, row, vector) }))
        .sort((one, other) => other.cosine - one.cosine)
        .slice(0, 10);
      const near = nearest(index, vector, { count: 10 });
      expect(near[0]?.titleId).toBe(exact[0]?.titleId);
      expect(near.map(({ cosine }) => cosine)).toEqual(near.map(({ cosine }) => cosine).sort((a, b) => b - a));
      found += near.filter(({ titleId }) => exact.some((one) => one.titleId === titleId)).length;
    }
    expect(found / 200).toBeGreaterThan(0.9);
  });

  test('a title of which nothing is known is never near, and nothing is near nothing', () => {
    const vector = values.slice(0, width);
    expect(nearest(index, vector, { count }).some(({ titleId }) => titleId === 't7')).toBe(false);
    const empty = whole(indexNearest({ titleIds: [], width, values: new Float32Array(0) }));
    expect(nearest(empty, vector, { count: 5 })).toEqual([]);
  });

  test('of titles that are alike the more popular ones come first', () => {
    const alike = whole(indexNearest(table));
    const bonus = new Float32Array(TITLES.length);
    bonus[placesOf(table.titleIds).get('crime-7') ?? 0] = 0.05;
    const vector = table.values.slice(40 * table.width, 41 * table.width);
    expect(nearest(alike, vector, { count: 3, bonus })[0]?.titleId).toBe('crime-7');
  });
});

describe('places from metadata', () => {
  test('titles of one series are nearest, of one genre near, of none apart; case does not matter', () => {
    const embedded = whole(
      embedMetadata([
        { id: 'a1', series: 'a', genres: ['drama'] },
        { id: 'a2', series: 'a', genres: ['Drama'] },
        { id: 'b1', series: 'b', genres: ['drama'] },
        { id: 'c', genres: ['comedy'], people: ['one'] },
        { id: 'nothing' },
      ]),
    );
    const cosine = (one: number, other: number) =>
      cosineOf(embedded, other, embedded.values.slice(one * embedded.width, (one + 1) * embedded.width));
    expect(cosine(0, 1)).toBeCloseTo(1, 5);
    expect(cosine(0, 2)).toBeGreaterThan(0.3);
    expect(cosine(0, 2)).toBeLessThan(0.95);
    expect(cosine(0, 3)).toBeLessThan(0.3);
    expect(cosine(4, 4)).toBe(0);
  });
});
