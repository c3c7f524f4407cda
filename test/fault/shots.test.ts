// The goals of shot detection on real clips and on splices of them.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { measureShots } from '../bench/shots.ts';

const clips = fileURLToPath(new URL('../../../shared/clips', import.meta.url));

test.skipIf(!existsSync(clips))('[shared] shots of the clips and of 200 splices of them', async () => {
  const scores = await measureShots(clips);
  expect(scores.hard.missed.length).toBeLessThanOrEqual(1);
  expect(scores.hard.false).toEqual([]);
  expect(scores.recall).toBeGreaterThanOrEqual(0.94);
  expect(scores.precision).toBeGreaterThanOrEqual(0.98);
  expect(scores.gradualRecall).toBeGreaterThanOrEqual(0.9);
  expect(scores.dissolveRecall).toBeGreaterThanOrEqual(0.85);
  expect(scores.fadeRecall).toBeGreaterThanOrEqual(0.95);
  expect(scores.gradualPrecision).toBeGreaterThanOrEqual(0.98);
  expect(scores.flashFalse).toBeLessThanOrEqual(5);
  const { decode, features, shots } = scores.cpu;
  expect(decode + features + shots).toBeLessThanOrEqual(1.5 * (decode + features));
});
