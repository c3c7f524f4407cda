// Inversion by tiles and EASE^R: the algebra holds, and what is watched together is found.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fitEase, MAX_EASE_TITLES, scoreEase } from '../../../agent/predict/ease.ts';
import { symmetricMatrix } from '../../../agent/predict/invert.ts';
import { seededRandom } from '../../../agent/train/random.ts';

describe('a symmetric matrix', () => {
  test.each([1, 3, 63, 64, 65, 130])('of %i rows times its inverse is one', (size) => {
    const random = seededRandom(size);
    const matrix = symmetricMatrix(size);
    const plain = Array.from({ length: size }, () => new Float64Array(size));
    for (let row = 0; row < size; row += 1) {
      for (let column = 0; column <= row; column += 1) {
        const value = row === column ? size + random() : random() - 0.5;
        matrix.set(row, column, value);
        for (const [one, other] of [
          [row, column],
          [column, row],
        ] as const)
          (plain[one] ?? [])[other] = value;
      }
    }
    matrix.invert();
    for (let row = 0; row < size; row += Math.ceil(size / 5)) {
      for (let column = 0; column < size; column += 1) {
        const sum = (plain[row] ?? new Float64Array()).reduce(
          (all, value, at) => all + value * matrix.at(at, column),
          0,
        );
        expect(Math.abs(sum - (row === column ? 1 : 0))).toBeLessThan(1e-10);
      }
    }
  });

  test('that is not positive definite is refused', () => {
    const matrix = symmetricMatrix(3);
    for (const at of [0, 1, 2]) matrix.set(at, at, at === 2 ? -1 : 1);
    expect(() => matrix.invert()).toThrow(RangeError);
  });

  test('both halves are one', () => {
    const matrix = symmetricMatrix(70);
    matrix.set(3, 68, 2);
    matrix.add(68, 3, 0.5);
    expect(matrix.at(3, 68)).toBe(2.5);
    expect(() => matrix.at(0, 70)).toThrow(/inside/);
  });
});

const once = (rows: readonly number[]) => ({
  rows: Int32Array.from(rows),
  weights: new Float32Array(rows.length).fill(1),
});
const ids = (count: number): string[] => Array.from({ length: count }, (_, at) => `t${at}`);

describe('EASE', () => {
  test('weights are those of the closed form: minus P over its diagonal, none to itself', () => {
    // Two titles, three histories: G + 1 = [[3, 1], [1, 3]], P = [[3, -1], [-1, 3]] / 8, B = 1/3.
    const fitted = fitEase(ids(2), [once([0, 1]), once([0]), once([1])], { ridge: 1, width: 5 });
    expect([...fitted.ids]).toEqual([1, 0]);
    expect(fitted.weights[0]).toBeCloseTo(1 / 3, 6);
    expect(fitted.weights[1]).toBeCloseTo(1 / 3, 6);
  });

  test('finds the other title of each pair, strongest first', () => {
    const pairs = Array.from({ length: 40 }, (_, at) => once([2 * (at % 10), 2 * (at % 10) + 1]));
    const noise = Array.from({ length: 10 }, (_, at) => once([at, (at + 7) % 20]));
    const fitted = fitEase(ids(20), [...pairs, ...noise], { ridge: 2, width: 3 });
    for (let title = 0; title < 20; title += 1) {
      expect(fitted.ids[title * 3]).toBe(title ^ 1);
      const weights = [...fitted.weights.subarray(title * 3, title * 3 + 3)].map(Math.abs);
      expect(weights).toEqual([...weights].sort((one, other) => other - one));
    }
  });

  test('a newer title of a history counts for more', () => {
    const fitted = fitEase(ids(4), [once([0, 1]), once([0, 1]), once([2, 3]), once([2, 3])], { ridge: 1, width: 3 });
    const scores = scoreEase(fitted, [0, 2], 0.5);
    expect(scores[3]).toBeCloseTo(2 * (scores[1] ?? 0), 5);
    expect([...scoreEase(fitted, [], 0.5)]).toEqual([0, 0, 0, 0]);
  });

  test('a lighter view says less', () => {
    const light = { rows: Int32Array.of(0, 1), weights: Float32Array.of(1, 0.25) };
    const weak = fitEase(ids(2), [light], { ridge: 1, width: 1 });
    const strong = fitEase(ids(2), [once([0, 1])], { ridge: 1, width: 1 });
    expect(Math.abs(weak.weights[0] ?? 0)).toBeLessThan(Math.abs(strong.weights[0] ?? 0));
  });

  test('a catalogue beyond the bound is refused before any memory is taken', () => {
    expect(() => fitEase(ids(MAX_EASE_TITLES + 1), [], { ridge: 1, width: 1 })).toThrow(RangeError);
  });

  test('any histories give finite weights', () => {
    const histories = fc.array(fc.uniqueArray(fc.nat(11), { minLength: 1, maxLength: 8 }), { maxLength: 30 });
    fc.assert(
      fc.property(histories, fc.double({ min: 0.01, max: 1000, noNaN: true }), (lists, ridge) => {
        const { weights } = fitEase(ids(12), lists.map(once), { ridge, width: 11 });
        expect(weights.every(Number.isFinite)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });
});
