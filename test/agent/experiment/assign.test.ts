// Who is in which experiment: the same every time, in the planned shares, never in two of one layer, and stable under ramp.
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type Experiment, placeOf, problemOf, variantOf } from '../../../agent/experiment/assign.ts';

const made = (over: Partial<Experiment> = {}): Experiment => ({
  ...{ id: 'one', layer: 'main', from: 0, to: 1, rampRatio: 1, startedAt: 0 },
  variants: [
    { name: 'control', share: 0.2, policy: 'default' },
    { name: 'bandit', share: 0.8, policy: 'linucb' },
  ],
  ...over,
});
const units = Array.from({ length: 10_000 }, (_, n) => `unit-${n}`);
const countOf = (experiment: Experiment, name: string) =>
  units.filter((unit) => variantOf(experiment, unit)?.name === name).length;

test('a place is the first 52 bits of SHA-256 of salt and unit', () => {
  const digest = createHash('sha256').update('salt\nunit').digest('hex').slice(0, 13);
  expect(placeOf('salt', 'unit')).toBe(Number.parseInt(digest, 16) / 2 ** 52);
});

describe('assignment', () => {
  test('gives planned shares', () => {
    expect(countOf(made(), 'control') / units.length).toBeCloseTo(0.2, 1);
    expect(Math.abs(countOf(made(), 'control') - 2_000)).toBeLessThan(160);
    expect(countOf(made(), 'control') + countOf(made(), 'bandit')).toBe(units.length);
  });

  test('no unit is in two experiments of a layer, and all parts of it are covered', () => {
    const [first, second] = [made({ to: 0.4 }), made({ id: 'two', from: 0.4 })];
    for (const unit of units.slice(0, 2_000)) {
      const places = [first, second].filter((one) => variantOf(one, unit) !== undefined);
      expect(places).toHaveLength(1);
    }
  });

  test('layers are independent: variants of one fall evenly into those of another', () => {
    const [one, other] = [made(), made({ id: 'two', layer: 'other' })];
    const both = units.filter(
      (unit) => variantOf(one, unit)?.name === 'control' && variantOf(other, unit)?.name === 'control',
    );
    expect(Math.abs(both.length - 400)).toBeLessThan(80);
  });

  test('a ramp keeps who is in, in the same variant', () => {
    const [small, large] = [made({ rampRatio: 0.1 }), made({ rampRatio: 0.5 })];
    const inSmall = units.filter((unit) => variantOf(small, unit) !== undefined);
    expect(Math.abs(inSmall.length - 1_000)).toBeLessThan(120);
    for (const unit of inSmall)
      expect(variantOf(large, unit)).toBe(large.variants.find(({ name }) => name === variantOf(small, unit)?.name));
  });

  test('nobody is in a stopped one', () => {
    expect(units.some((unit) => variantOf(made({ stoppedAt: 1 }), unit) !== undefined)).toBe(false);
  });
});

test.each<[string, Partial<Experiment>, readonly Experiment[]]>([
  ['id', { id: 'No Such' }, []],
  ['already', {}, [made({ from: 0, to: 0.1 })]],
  ['from and to', { from: 0.5, to: 0.5 }, []],
  ['from and to', { to: Number.NaN }, []],
  ['ramp', { rampRatio: 0 }, []],
  ['variants', { variants: made().variants.slice(1) }, []],
  ['variants', { variants: made().variants.map((one) => ({ ...one, name: 'same' })) }, []],
  ['shares', { variants: made().variants.map((one) => ({ ...one, share: 0.9 })) }, []],
  ['layer', { id: 'two', from: 0.5 }, [made({ to: 0.6 })]],
])('%s stands against starting', (word, over, running) => expect(problemOf(made(over), running)).toContain(word));

test('beside one of another part, of another layer, or a stopped one it may start', () => {
  const running = [made({ to: 0.5 }), made({ id: 'x', layer: 'other' }), made({ id: 'y', stoppedAt: 5 })];
  expect(problemOf(made({ id: 'two', from: 0.5 }), running)).toBeUndefined();
});
