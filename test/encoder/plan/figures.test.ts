// The figures of bench:encode on ladders whose figures are known.
import { describe, expect, test } from 'vitest';
import type { TitlePoint } from '../../bench/encode-baselines.ts';
import { deliveredOf, figuresOf, type Measured } from '../../bench/encode-figures.ts';

const point = (mega: number, vmaf: number): TitlePoint => ({
  ...{ bits: mega * 1e6, vmaf, neg: vmaf - 2, psnr: 30 + vmaf / 10, p5: vmaf - 5, cpu: 10 },
});
const fixed = [point(8, 99), point(4, 97), point(2, 92), point(1, 84), point(0.5, 72)];
const ladder = (ratio: number) => [95, 89, 83, 77].map((vmaf) => ({ ...point(1, vmaf), bits: bitsAt(vmaf) * ratio }));
/** Straight in the logarithm of bits between the fixed rungs. */
const bitsAt = (vmaf: number): number => {
  const above = [...fixed].reverse().find((one) => one.vmaf >= vmaf) ?? fixed[0];
  const below = fixed.find((one) => one.vmaf <= vmaf) ?? fixed.at(-1);
  if (above === undefined || below === undefined || above === below) return above?.bits ?? 0;
  const share = (vmaf - below.vmaf) / (above.vmaf - below.vmaf);
  return Math.exp(Math.log(below.bits) * (1 - share) + Math.log(above.bits) * share);
};
const measured = (rungs: readonly TitlePoint[]): Measured => ({
  ...{ clip: 'x', isSingle: false, seconds: 10, fixed, hull: [...fixed].reverse() },
  ours: { rungs, cpu: 25, trials: 9 },
  grid: [...fixed].reverse().map(({ bits, vmaf }) => ({ bits, quality: vmaf })),
  ...{ perShotTarget: fixed, perTitleTarget: fixed },
});

describe('figures', () => {
  test('half the bits everywhere is -50 % against every curve, whatever the metric', () => {
    const figures = figuresOf(measured(fixed.map((one) => ({ ...one, bits: one.bits / 2 }))));
    for (const name of ['bd_vs_ladder_mean', 'bd_vs_ladder_neg', 'bd_vs_ladder_psnr', 'bd_vs_target_mean'] as const) {
      expect(figures[name]).toBeCloseTo(-50, 6);
    }
    expect(figures.bd_vs_hull_mean).toBeCloseTo(-50, 6);
    expect(figures.bd_vs_hull_p5).toBeCloseTo(-50, 6);
    expect(figures.loss_vs_grid).toBeCloseTo(-50, 6);
    expect(figures.cost_vs_ladder).toBeCloseTo(0.5);
    expect(figures.cost_vs_search).toBeCloseTo(0.5);
  });

  test('a hull read at the rungs loses nothing against itself, however few the rungs', () => {
    expect(figuresOf(measured([fixed[1], fixed[3]].flatMap((one) => one ?? []))).bd_vs_hull_mean).toBeCloseTo(0, 6);
  });

  test('the parts of the delivered saving add up, and a cap alone is a cap', () => {
    const { all, cap, pruning, allocation } = deliveredOf({ fixed, ours: { rungs: ladder(0.5), cpu: 1, trials: 1 } });
    expect(cap + pruning + allocation).toBeCloseTo(all, 10);
    expect(cap).toBeGreaterThan(0.3);
    expect(allocation).toBeGreaterThan(0);
    const none = deliveredOf({ fixed: fixed.slice(2), ours: { rungs: fixed.slice(2), cpu: 1, trials: 1 } });
    for (const part of Object.values(none)) expect(part).toBeCloseTo(0, 10);
  });
});
