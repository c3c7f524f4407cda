// Short of memory: background work waits first, then the RAM tier shrinks; both come back, slower than they went.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NO_PRESSURE, nextPressure, type Pressure } from '../../../cache/rules/pressure.ts';

const after = (ratios: readonly number[]): Pressure => ratios.reduce(nextPressure, NO_PRESSURE);
const times = (count: number, ratio: number) => new Array<number>(count).fill(ratio);

test.each<readonly [string, readonly number[], Pressure]>([
  ['room', [0.5, 0.7, 0.84], { isTight: false, share: 1 }],
  ['little of it: background work waits, the RAM tier stays', [0.86], { isTight: true, share: 1 }],
  ['it goes on waiting until there is room again', [0.86, 0.8, 0.76], { isTight: true, share: 1 }],
  ['and begins again then', [0.86, 0.75], { isTight: false, share: 1 }],
  ['hardly any: the RAM tier shrinks', [0.9], { isTight: true, share: 0.75 }],
  ['step by step', [0.95, 0.95], { isTight: true, share: 0.5625 }],
  ['to an eighth', times(50, 1.2), { isTight: true, share: 0.125 }],
  ['holds what it has between the two', [0.95, 0.88, 0.8], { isTight: true, share: 0.75 }],
  ['and regains it slowly', [0.95, 0.7], { isTight: false, share: 0.765625 }],
  ['in the end all of it', [...times(50, 1.2), ...times(56, 0.5)], { isTight: false, share: 1 }],
])('%s', (_what, ratios, pressure) => {
  expect(after(ratios)).toEqual(pressure);
});

test('the share stays within its bounds, and only shrinks when memory is short', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 2, noNaN: true }), { maxLength: 100 }), (ratios) => {
      let pressure = NO_PRESSURE;
      for (const ratio of ratios) {
        const next = nextPressure(pressure, ratio);
        expect(next.share).toBeGreaterThanOrEqual(0.125);
        expect(next.share).toBeLessThanOrEqual(1);
        if (next.share < pressure.share) expect(ratio).toBeGreaterThanOrEqual(0.9);
        if (ratio >= 0.85) expect(next.isTight).toBe(true);
        pressure = next;
      }
    }),
  );
});
