// A whole night's training in its process: from what was watched to a model that serves, the same from the same data.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runnableOf, seedModel } from '../../agent/model/champion.ts';
import { openRegistry } from '../../agent/model/registry.ts';
import { type TrainingEnd, trainApart } from '../../agent/model/retrain.ts';
import { openRuntime } from '../../agent/model/runtime.ts';
import { FEATURE_NAMES } from '../../agent/predict/features.ts';
import { RULES } from '../../agent/predict/rank.ts';
import { SEED_RECIPE, trainSeed } from '../../agent/train/seed.ts';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-training-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test('the model that ships is what its recipe trains', () => {
  expect(trainSeed(SEED_RECIPE)).toEqual(seedModel());
});

const TITLES = 60;
/** Viewers of one day who watch titles that are near each other. */
const rows = Array.from({ length: 6_000 }, (_, at) => {
  const viewer = at % 600;
  return {
    viewer: `v${viewer}`,
    titleId: `t${(viewer * 7 + Math.floor(at / 600)) % TITLES}`,
    at: 86_400_000,
    weight: 1,
  };
});

const train = (interactions: typeof rows): Promise<TrainingEnd> =>
  trainApart(
    {
      questions: [],
      interactions: [interactions.slice(0, 3_000), interactions.slice(3_000)],
      titles: [],
      scorer: RULES,
    },
    {
      ...{ seed: 7, deadlineMs: 300_000, maxRssBytes: 600 * 2 ** 20, pace: () => 1, onProgress: () => undefined },
      ...{ signal: new AbortController().signal, log: () => undefined },
    },
  );

test('the same watches, in whatever order the disk gives them, are the same model; and it serves', async () => {
  const [one, other] = [await train(rows), await train(rows.toReversed())];
  if (one.outcome !== 'trained' || other.outcome !== 'trained') throw new Error(JSON.stringify([one, other]));
  expect(one.model.data).toEqual(other.model.data);
  expect(one.model).toMatchObject({ kind: 'sequence', data: { examples: 6_000, viewers: 600 }, sequenceWeight: 0.5 });
  const registry = await openRegistry(dir);
  const about = { seed: 7, createdAt: 1, trainedOn: 'site', features: FEATURE_NAMES } as const;
  const hashes = await Promise.all(
    [one, other].map(({ model: { files, kind, metrics, scorer } }) =>
      registry.add(new Map(files), { ...about, kind, metrics, scorer }),
    ),
  );
  expect(hashes[0]).toBe(hashes[1]);
  await registry.point('champion', hashes[0] ?? '');
  const { model } = await registry.resolve('champion');
  const runtime = openRuntime({ log: () => undefined, deadlineMs: 5_000 });
  expect(await runtime.load(model && runnableOf(model))).toBe('ready');
  const titleIds = ['t1', 't2', 't3', 't4'];
  const answer = await runtime.score(new Float32Array(4 * FEATURE_NAMES.length), 4, { titleIds, history: ['t0'] });
  expect(answer?.scores).toHaveLength(4);
  expect(new Set(answer?.ease).size).toBeGreaterThan(1);
  await runtime.close();
});
