// Which cores an encoder may use: all but the first ones, where others are left.
import { expect, test } from 'vitest';
import { encoderCores } from '../../agent/encoder-process.ts';

test.each([
  ['0-3', 1, '1,2,3'],
  ['0-3', 2, '2,3'],
  ['0,4-6,9', 2, '5,6,9'],
  ['0-1', 1, '1'],
  ['0', 1, undefined],
  ['0-3', 4, undefined],
  ['0-3', 0, undefined],
  ['', 1, undefined],
  ['0-', 1, undefined],
  ['none', 1, undefined],
])('of %j without the first %d: %s', (allowed, reserved, cores) => {
  expect(encoderCores(allowed, reserved)).toBe(cores);
});
