// Candidates of a training step: all that it has to foretell, others by chance, and corrections that make them stand for all.
import { describe, expect, test } from 'vitest';
import { type Batch, openCandidates, type TitleHistory } from '../../../agent/train/candidates.ts';
import { seededRandom } from '../../../agent/train/random.ts';

const TITLES = 400;
const random = seededRandom(7);
/** Titles are opened about as Zipf has it. */
const draw = (): number => 1 + Math.floor(TITLES * random() ** 3);
const histories: readonly TitleHistory[] = Array.from({ length: 200 }, () => ({
  rows: Int32Array.from({ length: 30 }, draw),
  weights: new Float32Array(30).fill(1),
}));

function batchOf(targets: readonly number[], weights: readonly number[]): Batch {
  const dims = [targets.length, 1];
  return {
    history: { type: 'int64', dims: [targets.length], values: new BigInt64Array(targets.length) },
    targets: { type: 'int64', dims, values: BigInt64Array.from(targets, BigInt) },
    weights: { type: 'float32', dims, values: Float32Array.from(weights) },
    padding: { type: 'float32', dims: [1, 1, targets.length], values: new Float32Array(targets.length) },
  };
}
const open = (count: number, targets: number) =>
  openCandidates({ histories, titles: TITLES, count, targets, random: seededRandom(1) });
const numbers = (tensor: { readonly values: ArrayLike<number | bigint> } | undefined): readonly number[] =>
  Array.from(tensor?.values ?? [], Number);

describe('the candidates of a step', () => {
  test('are different rows, nothing first, with every target that has a weight, by its place among them', () => {
    const targets = [5, 9, 5, 300, 0];
    const step = open(50, 5).of(batchOf(targets, [1, 0.5, 1, 1, 0]));
    const rows = numbers(step['candidates']);
    expect([rows[0], rows.length, new Set(rows).size]).toEqual([0, 50, 50]);
    expect(rows.every((row) => row >= 0 && row <= TITLES)).toBe(true);
    const places = numbers(step['targets']);
    expect(places.slice(0, 4).map((place) => rows[place])).toEqual([5, 9, 5, 300]);
    expect(numbers(step['weights'])).toEqual([1, 0.5, 1, 1, 0]);
    expect(numbers(step['corrections']).every((value) => value >= 0 && Number.isFinite(value))).toBe(true);
  });

  test('beyond their number weigh nothing, and a batch is left as it was', () => {
    const batch = batchOf([1, 2, 3, 4, 5], [1, 1, 1, 1, 1]);
    const step = open(4, 5).of(batch);
    expect(numbers(step['weights'])).toEqual([1, 1, 1, 0, 0]);
    expect(numbers(batch.weights)).toEqual([1, 1, 1, 1, 1]);
    expect(numbers(batch.targets)).toEqual([1, 2, 3, 4, 5]);
  });

  test('stand for the whole catalogue: corrected, they add up to as much as all titles do', () => {
    const candidates = open(120, 60);
    // Scores that hang together with how often a title is opened, as those of a model do.
    const scoreOf = (row: number): number => Math.cos(row) - row / 200;
    const whole = Array.from({ length: TITLES + 1 }, (_, row) => Math.exp(scoreOf(row))).reduce(
      (sum, one) => sum + one,
    );
    let sum = 0;
    const steps = 400;
    for (let step = 0; step < steps; step += 1) {
      const targets = Array.from({ length: 60 }, draw);
      const made = candidates.of(batchOf(targets, new Array<number>(60).fill(1)));
      const corrections = numbers(made['corrections']);
      sum += numbers(made['candidates']).reduce(
        (total, row, at) => total + Math.exp(scoreOf(row) + (corrections[at] ?? 0)),
        0,
      );
    }
    expect(sum / steps / whole).toBeGreaterThan(0.97);
    expect(sum / steps / whole).toBeLessThan(1.03);
  });

  test('are drawn from the seed', () => {
    const batch = batchOf([7], [1]);
    expect(open(30, 1).of(batch)).toEqual(open(30, 1).of(batch));
  });
});
