// Bjontegaard delta rate against published curves.
import { describe, expect, test } from 'vitest';
import { bdRate, overlapOf, type RatePoint } from '../../bench/encode-bd.ts';

const curve = (bits: readonly number[], quality: readonly number[]): RatePoint[] =>
  bits.map((rate, at) => ({ bits: rate, quality: quality[at] ?? 0 }));

describe('Bjontegaard delta rate', () => {
  // Curves: the sample of the widely used Python port of VCEG-M33, and the example of the FAU-LMS bjontegaard package.
  // Values: SciPy 1.17 (PchipInterpolator.integrate), which that package uses and which equals the JCT-VC sheet.
  test.each([
    {
      anchor: curve([686.76, 309.58, 157.11, 85.95], [40.28, 37.18, 34.24, 31.42]),
      other: curve([893.34, 407.8, 204.93, 112.75], [40.39, 37.21, 34.17, 31.24]),
      percent: 31.37987820239754,
    },
    {
      anchor: curve([9487.76, 4593.6, 2486.44, 1358.24], [40.037, 38.615, 36.845, 34.851]),
      other: curve([9787.8, 4469, 2451.52, 1356.24], [40.121, 38.651, 36.97, 34.987]),
      percent: -4.4174853505891125,
    },
  ])('gives the published $percent %', ({ anchor, other, percent }) => {
    expect(bdRate(anchor, other)).toBeCloseTo(percent, 8);
  });

  test('is the factor of a curve that costs so much more everywhere, and 0 for itself', () => {
    const anchor = curve([100, 200, 400, 900, 2000], [50, 61, 70, 84, 93]);
    expect(bdRate(anchor, anchor)).toBeCloseTo(0, 10);
    const dearer = anchor.map(({ bits, quality }) => ({ bits: bits * 1.3, quality }));
    expect(bdRate(anchor, dearer)).toBeCloseTo(30, 8);
  });

  test('leaves out beaten points, and has no answer without overlap or with one point', () => {
    const anchor = curve([100, 200, 400], [50, 60, 70]);
    expect(bdRate(anchor, [...anchor, { bits: 300, quality: 55 }])).toBeCloseTo(0, 10);
    expect(bdRate(anchor, curve([100, 200], [80, 90]))).toBeNaN();
    expect(bdRate(anchor, curve([100], [60]))).toBeNaN();
    expect(overlapOf(anchor, curve([100, 200], [60, 90]))).toBeCloseTo(0.5);
  });
});
