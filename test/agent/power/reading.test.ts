// Raw text of sysfs to values: what is believed, what is not, and counters of energy that begin anew.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  hostJoules,
  hostWatts,
  joulesBetween,
  parseCelsius,
  parseTrip,
  parseWhole,
} from '../../../agent/power/reading.ts';

describe('text', () => {
  test.each([
    ['45000\n', 45],
    ['-5000', -5],
    ['0', 0],
    ['', undefined],
    ['NaN', undefined],
    ['45.5', undefined],
    ['99999999', undefined],
    ['-273150', undefined],
    ['0x20', undefined],
    [undefined, undefined],
  ])('%j is %s degrees', (text, celsius) => expect(parseCelsius(text)).toBe(celsius));

  test.each([
    ['95000', 95],
    ['0', undefined],
    ['-274000', undefined],
    ['140000', undefined],
  ])('%j is a trip point of %s', (text, celsius) => expect(parseTrip(text)).toBe(celsius));

  test('of any kind gives a whole number or nothing', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const value = parseWhole(text);
        expect(value === undefined || Number.isSafeInteger(value) || Math.abs(value) < 1e16).toBe(true);
      }),
    );
  });
});

describe('energy', () => {
  const RANGE = 262_143_328_850;

  test('is the difference of two counts, also over the end of the counter, at any place', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: RANGE }), fc.integer({ min: 0, max: 500_000_000 }), (start, grown) => {
        const later = (start + grown) % (RANGE + 1);
        const joules = joulesBetween({ microjoules: start, at: 0 }, { microjoules: later, at: 2_000 }, RANGE);
        expect(joules).toBeCloseTo(grown / 1e6, 6);
      }),
    );
  });

  test.each([
    ['time stands still', { microjoules: 5, at: 0 }, RANGE],
    ['time goes back', { microjoules: 5, at: -1_000 }, RANGE],
    ['it would be more than any host takes', { microjoules: RANGE, at: 1_000 }, RANGE],
    ['it fell and its range is not known', { microjoules: 0, at: 1_000 }, undefined],
  ])('is not known when %s', (_name, later, range) => {
    expect(joulesBetween({ microjoules: 1, at: 0 }, later, range)).toBeUndefined();
  });
});

describe('the host takes', () => {
  const rails = (...pairs: readonly (readonly [string, number | undefined])[]) =>
    pairs.map(([rail, watts]) => ({ rail, watts, joules: (watts ?? 0) * 10 }));

  test.each([
    ['its packages and their memory, not the cores within', rails(['package-0', 40], ['core', 30], ['dram', 5]), 45],
    ['two packages', rails(['package-0', 40], ['package-1', 20]), 60],
    ['psys, which holds all', rails(['package-0', 40], ['psys', 70]), 70],
    ['what a Jetson draws at its input', rails(['VDD_IN', 12], ['VDD_CPU_GPU_CV', 7], ['VDD_SOC', 3]), 12],
    ['the sum of what is measured', rails(['ina a', 3], ['ina b', 4]), 7],
    ['nothing that is known', rails(), undefined],
    ['nothing that is known while a part is lost', rails(['package-0', 40], ['package-1', undefined]), undefined],
  ])('%s', (_name, given, watts) => {
    expect(hostWatts(given)).toBe(watts);
    if (given.length === 0) expect(hostJoules(given)).toBeUndefined();
    else if (watts !== undefined) expect(hostJoules(given)).toBe(watts * 10);
  });
});
