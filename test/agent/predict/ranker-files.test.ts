// A ranker's files: what is written is read back, and what was damaged is refused whole.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addWeighted, standardised } from '../../../agent/predict/blend.ts';
import { measureDiversity } from '../../../agent/predict/diversity.ts';
import { extendEmbeddings } from '../../../agent/predict/place.ts';
import {
  besideScores,
  historyInput,
  type RankerTitles,
  readEmbeddings,
  readNeighbours,
  readTitles,
  writeEmbeddings,
  writeNeighbours,
  writeTitles,
} from '../../../agent/predict/ranker-files.ts';

const blend = { easeWeight: 0.3, historyDecay: 0.9, startWeight: 1, startDecay: 0.5 };
const titles: RankerTitles = { version: 1, titles: ['a', 'b', 'c'], length: 5, width: 2, rank: 1, blend };
const neighbours = {
  titleIds: titles.titles,
  width: 2,
  ids: Int32Array.of(1, -1, 2, 0, 1, -1),
  weights: Float32Array.of(0.5, 0, 0.25, -0.125, 1, 0),
};
const embeddings = { titleIds: ['a', 'ü', 'c'], width: 2, values: Float32Array.of(1, 0, 0, 1, 0.6, 0.8) };

describe('files', () => {
  test('come back as they were written', () => {
    expect(readTitles(writeTitles(titles))).toEqual(titles);
    expect(readNeighbours(writeNeighbours(neighbours), titles.titles)).toEqual(neighbours);
    expect(readEmbeddings(writeEmbeddings(embeddings))).toEqual(embeddings);
  });

  test.each([
    ['another version', { ...titles, version: 2 }],
    ['no titles', { ...titles, titles: undefined }],
    ['a title that is no text', { ...titles, titles: ['a', 7] }],
    ['no length', { ...titles, length: 0 }],
    ['a decay above 1', { ...titles, blend: { ...blend, historyDecay: 1.5 } }],
    ['a weight that is no number', { ...titles, blend: { ...blend, easeWeight: null } }],
    ['no object', 7],
  ])('titles.json with %s is refused', (_, content) => {
    expect(() => readTitles(new TextEncoder().encode(JSON.stringify(content)))).toThrow(RangeError);
  });

  test('a table that is cut short or of another kind is refused', () => {
    const bytes = writeNeighbours(neighbours);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), (size) => {
        expect(() => readNeighbours(bytes.subarray(0, size), titles.titles)).toThrow(RangeError);
      }),
    );
    const table = writeEmbeddings(embeddings);
    fc.assert(
      fc.property(fc.nat(table.length - 1), (size) => {
        expect(() => readEmbeddings(table.subarray(0, size))).toThrow(RangeError);
      }),
    );
    expect(() => readEmbeddings(bytes)).toThrow(RangeError);
    expect(() => readNeighbours(bytes, ['a', 'b'])).toThrow(/3 rows/);
  });

  test('numbers without sense are refused', () => {
    const wild = writeNeighbours({ ...neighbours, ids: Int32Array.of(1, -1, 3, 0, 1, -1) });
    expect(() => readNeighbours(wild, titles.titles)).toThrow(/no title/);
    const odd = writeNeighbours({ ...neighbours, weights: new Float32Array(6).fill(Number.NaN) });
    expect(() => readNeighbours(odd, titles.titles)).toThrow(/no number/);
    const place = writeEmbeddings({ ...embeddings, values: new Float32Array(6).fill(Number.POSITIVE_INFINITY) });
    expect(() => readEmbeddings(place)).toThrow(/no number/);
  });
});

describe('the blend', () => {
  test('standardised scores have mean 0 and deviation 1, whatever the unit', () => {
    const scores = fc.array(fc.float({ min: -1000, max: 1000, noNaN: true }), { minLength: 2, maxLength: 50 });
    fc.assert(
      fc.property(scores, (list) => {
        const made = standardised(Float32Array.from(list));
        const mean = made.reduce((sum, value) => sum + value, 0) / made.length;
        expect(Math.abs(mean)).toBeLessThan(1e-3);
        expect(made.every(Number.isFinite)).toBe(true);
      }),
    );
    expect([...standardised(Float32Array.of(3, 3))]).toEqual([0, 0]);
    expect([...addWeighted(Float32Array.of(1, 2), Float32Array.of(10, 20), 0.5)]).toEqual([6, 12]);
  });

  test('popularity leads a session without history and fades with each title', () => {
    const popular = Float32Array.of(0, 0, 9);
    const [none, one, four] = [[], [0], [0, 0, 0, 0]].map((history) =>
      besideScores(neighbours, history, blend, popular),
    );
    const plain = besideScores(neighbours, [0], blend);
    expect(none?.[2]).toBeGreaterThan(1);
    const gainOne = (one?.[2] ?? 0) - (plain[2] ?? 0);
    expect(gainOne).toBeCloseTo((none?.[2] ?? 0) / 2, 4);
    expect(four?.[2] ?? 0).toBeLessThan(none?.[2] ?? 0);
  });

  test('a history is aligned to the right, its newest titles kept', () => {
    expect([...historyInput([4, 0], 4)]).toEqual([0n, 0n, 5n, 1n]);
    expect([...historyInput([9, 1, 2], 2)]).toEqual([2n, 3n]);
    expect([...historyInput([], 2)]).toEqual([0n, 0n]);
  });
});

describe('places', () => {
  test('a title that nobody watched gets the place of its like', () => {
    const metadata = {
      titleIds: ['a', 'b', 'c', 'new'],
      width: 2,
      values: Float32Array.of(1, 0, 1, 0, 0, 1, 1, 0),
    };
    const learned = { titleIds: ['a', 'b', 'c'], width: 2, values: Float32Array.of(0.6, 0.8, 0.6, 0.8, -1, 0) };
    const all = extendEmbeddings(learned, metadata);
    expect(all.titleIds).toEqual(['a', 'b', 'c', 'new']);
    expect([...all.values.subarray(0, 6)]).toEqual([...learned.values]);
    expect(all.values[6]).toBeCloseTo(0.6, 5);
    expect(all.values[7]).toBeCloseTo(0.8, 5);
  });

  test('of a title without metadata nothing is claimed', () => {
    const metadata = { titleIds: ['a', 'bare'], width: 2, values: Float32Array.of(1, 0, 0, 0) };
    const all = extendEmbeddings({ titleIds: ['a'], width: 2, values: Float32Array.of(0, 1) }, metadata);
    expect([...all.values.subarray(2)]).toEqual([0, 0]);
  });
});

describe('diversity', () => {
  test('the same two titles for all reach little; all titles reach everything', () => {
    const narrow = measureDiversity(embeddings, 3);
    narrow.add([0, 1]);
    narrow.add([1, 0]);
    expect(narrow.result().reachRatio).toBeCloseTo(2 / 3, 6);
    expect(narrow.result().intraListDistance).toBeCloseTo(1, 6);
    const wide = measureDiversity(embeddings, 3);
    wide.add([0, 1, 2]);
    expect(wide.result().reachRatio).toBe(1);
    expect(wide.result().intraListDistance).toBeCloseTo((2 * (1 + 0.4 + 0.2)) / 6, 5);
    expect(measureDiversity(embeddings, 3).result()).toEqual({ reachRatio: 0, intraListDistance: 0 });
  });
});
