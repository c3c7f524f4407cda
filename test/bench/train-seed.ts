// Trains the model that ships and writes agent/model/seed-scorer.json: `node run.mjs --entry=test/bench/train-seed.ts`.
// The same sources give the same file to the byte.
import { writeFileSync } from 'node:fs';
import { SEED_RECIPE, trainSeed } from '../../agent/train/seed.ts';

const seed = trainSeed(SEED_RECIPE);
writeFileSync(
  new URL('../../agent/model/seed-scorer.json', import.meta.url),
  `${JSON.stringify(seed, undefined, 1)}\n`,
);
console.log(JSON.stringify(seed.metrics));
