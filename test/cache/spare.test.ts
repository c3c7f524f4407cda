// Until when bytes in the background wait: not at all without viewers, as their rate says beside them.
import { afterEach, expect, test } from 'vitest';
import { type SpareWatch, watchSpare } from '../../cache/fill/spare.ts';

const MIB = 1024 * 1024;
let watch: SpareWatch;
afterEach(() => watch.close());

test('nobody is served: no wait', () => {
  watch = watchSpare(() => 0);
  expect(watch.took(1024 * MIB)).toBeLessThanOrEqual(performance.now());
});

test('a viewer was answered: a second for each 8 MiB, those of all fills one after the other', () => {
  watch = watchSpare(() => 1);
  const beganMs = performance.now();
  watch.took(4 * MIB);
  expect(watch.took(4 * MIB) - beganMs).toBeGreaterThanOrEqual(1_000);
});
