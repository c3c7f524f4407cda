// What S3-FIFO's constants are worth: with any of them changed it no longer agrees with its slow model.
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { S3FIFO_TUNING, type S3Fifo, type S3FifoTuning } from '../../../../cache/rules/eviction/s3fifo.ts';
import { history, play } from './histories.ts';
import { naiveS3Fifo } from './naive.ts';
import { PAPER_TUNING } from './reference.ts';

const FILE = new URL('../../../../cache/rules/eviction/s3fifo.ts', import.meta.url);
const SOURCE = readFileSync(FILE, 'utf8');
const HISTORIES = fc.sample(history, { seed: 1, numRuns: 400 });

/** What the text of the policy exports, with something in it changed. */
async function load(text: string): Promise<(tuning: S3FifoTuning) => S3Fifo> {
  const absolute = text.replaceAll(/'(\.\/\w+\.ts)'/g, (_, path: string) => `'${new URL(path, FILE).href}'`);
  const module = await import(
    /* @vite-ignore */ `data:text/javascript,${encodeURIComponent(stripTypeScriptTypes(absolute))}`
  );
  return module.s3fifo;
}

const agrees = (open: (tuning: S3FifoTuning) => S3Fifo): boolean =>
  HISTORIES.every((steps) =>
    [S3FIFO_TUNING, PAPER_TUNING].every((tuning) => {
      try {
        play(steps, open(tuning), naiveS3Fifo(tuning));
        return true;
      } catch {
        // A disagreement is what is looked for.
        return false;
      }
    }),
  );

describe('S3-FIFO', () => {
  test('agrees with its model as it is', async () => {
    expect(agrees(await load(SOURCE))).toBe(true);
  });

  test.each([
    ['MAX_USES = 3', 'MAX_USES = 2'],
    ['MAX_USES = 3', 'MAX_USES = 4'],
    ['EARNED_USES = 2', 'EARNED_USES = 1'],
    ['EARNED_USES = 2', 'EARNED_USES = 3'],
    ['slots.uses[slot] = uses - 1', 'slots.uses[slot] = 0'],
    ['held * tuning.smallRatio', 'held * tuning.smallRatio * 1.5'],
    ['held / 2', 'held / 3'],
    ['tuning.smallLargest * largestBytes', '(tuning.smallLargest && tuning.smallLargest + 1) * largestBytes'],
    ['held * tuning.ghostRatio', 'held * tuning.ghostRatio * 0.8'],
    ['ghost.take(key) ? main : small', 'small'],
  ])('does not with %s as %s', async (is, becomes) => {
    expect(SOURCE.split(is)).toHaveLength(2);
    expect(agrees(await load(SOURCE.replace(is, becomes)))).toBe(false);
  });

  test('its tuning is the one that the figures are quoted for', () => {
    expect(S3FIFO_TUNING).toEqual({ smallRatio: 0.1, smallLargest: 4, ghostRatio: 0.9 });
  });
});
