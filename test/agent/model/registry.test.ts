// Models on disk and what is made of them when they are damaged; the champion kept running; the answer without it.
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { keepChampion, scorerFiles, seedModel } from '../../../agent/model/champion.ts';
import { type ModelAbout, type ModelManifest, modelHash } from '../../../agent/model/manifest.ts';
import { openPredictor } from '../../../agent/model/predictor.ts';
import { openRegistry, plainWeights } from '../../../agent/model/registry.ts';
import { openRuntime } from '../../../agent/model/runtime.ts';
import type { ModelRuntime } from '../../../agent/model/runtime-contract.ts';
import { FEATURE_NAMES } from '../../../agent/predict/features.ts';
import { createPopularity } from '../../../agent/predict/popularity.ts';
import type { ScorerWeights } from '../../../agent/predict/scorer.ts';
import { encodeScorer } from '../../../agent/train/scorer-model.ts';

let root = '';
let dir = '';
let made = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'nearcast-registry-'));
});
beforeEach(() => {
  made += 1;
  dir = join(root, String(made));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** A sound scorer of our features that likes what `bias` says. */
const scorerOf = (bias: number): ScorerWeights => ({
  version: 1,
  features: FEATURE_NAMES,
  mean: FEATURE_NAMES.map(() => 0),
  deviation: FEATURE_NAMES.map(() => 1),
  layers: [{ units: 1, weights: FEATURE_NAMES.map((_, at) => at / 16), bias: [bias], activation: 'sigmoid' }],
});
const about = (scorer: ScorerWeights, createdAt = 1): ModelAbout => ({
  kind: 'scorer',
  seed: 1,
  features: scorer.features,
  createdAt,
  trainedOn: 'site',
  metrics: { auc: 0.9 },
  scorer,
});

/** A registry with champions one after another, oldest first; gives their hashes. */
async function champions(...biases: readonly number[]) {
  const registry = await openRegistry(dir);
  const hashes: string[] = [];
  for (const bias of biases) {
    const scorer = scorerOf(bias);
    const sha256 = await registry.add(scorerFiles(scorer), about(scorer, bias));
    await registry.point('champion', sha256);
    hashes.push(sha256);
  }
  return { registry, hashes };
}

describe('the registry', () => {
  test('gives back what was stored, after a new start too', async () => {
    const { hashes } = await champions(1, 2);
    const { model, problems } = await (await openRegistry(dir)).resolve('champion');
    expect(problems).toEqual([]);
    expect(model?.sha256).toBe(hashes[1]);
    expect(await readFile(join(model?.dir ?? '', 'scorer.onnx'))).toEqual(Buffer.from(encodeScorer(scorerOf(2))));
    expect(model?.manifest).toMatchObject({ kind: 'scorer', trainedOn: 'site', metrics: { auc: 0.9 } });
  });

  test('storing the same bytes twice is storing them once', async () => {
    const { registry, hashes } = await champions(1, 1);
    expect(hashes[0]).toBe(hashes[1]);
    expect((await registry.list()).models).toHaveLength(1);
    expect((await registry.list()).aliases.champion).toHaveLength(1);
  });

  const fileOf = (sha256: string | undefined, name: string) => join(dir, sha256 ?? '', name);
  test.each([
    ['missing', 'missing', (hash: string) => rm(fileOf(hash, 'scorer.onnx'))],
    ['its folder gone', 'missing', (hash: string) => rm(join(dir, hash), { recursive: true })],
    ['cut short', 'truncated', (hash: string) => truncate(fileOf(hash, 'scorer.onnx'), 100)],
    ['empty', 'truncated', (hash: string) => truncate(fileOf(hash, 'scorer.onnx'), 0)],
    [
      'altered by one bit',
      'wrong-hash',
      async (hash: string) => {
        const bytes = await readFile(fileOf(hash, 'scorer.onnx'));
        bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
        await writeFile(fileOf(hash, 'scorer.onnx'), bytes);
      },
    ],
    ['without a manifest', 'bad-manifest', (hash: string) => rm(fileOf(hash, 'manifest.json'))],
    ['with half a manifest', 'bad-manifest', (hash: string) => truncate(fileOf(hash, 'manifest.json'), 30)],
    ['of a later version', 'bad-manifest', (hash: string) => writeFile(fileOf(hash, 'manifest.json'), '{"version":3}')],
  ])('a champion that is %s: the one before it', async (_, why, damage) => {
    const { registry, hashes } = await champions(1, 2);
    await damage(hashes[1] ?? '');
    const { model, problems } = await registry.resolve('champion');
    expect(model?.sha256).toBe(hashes[0]);
    expect(problems).toEqual([{ sha256: hashes[1], why }]);
    // Storing it again repairs it.
    await registry.add(scorerFiles(scorerOf(2)), about(scorerOf(2)));
    expect((await registry.resolve('champion')).model?.sha256).toBe(hashes[1]);
  });

  test('all damaged, or no aliases, or aliases that are no JSON: none', async () => {
    const { registry, hashes } = await champions(1);
    await truncate(fileOf(hashes[0], 'scorer.onnx'), 1);
    expect((await registry.resolve('champion')).model).toBeUndefined();
    await writeFile(join(dir, 'aliases.json'), '{"version":1,"champion":["../../etc"],');
    expect(await registry.resolve('champion')).toEqual({ model: undefined, problems: [] });
    await writeFile(join(dir, 'aliases.json'), '{"version":1,"champion":["../../etc", 7, null]}');
    expect(await registry.resolve('champion')).toEqual({ model: undefined, problems: [] });
    expect(await (await openRegistry(join(dir, 'new'))).resolve('challenger')).toEqual({
      model: undefined,
      problems: [],
    });
  });

  test('every file of a model is checked, and a name that would leave its folder is none', async () => {
    const registry = await openRegistry(dir);
    const scorer = scorerOf(1);
    const files = new Map([...scorerFiles(scorer), ['titles.json', Buffer.from('{}')]]);
    const sha256 = await registry.add(files, about(scorer));
    expect(sha256).not.toBe(await registry.add(scorerFiles(scorer), about(scorer)));
    await registry.point('champion', sha256);
    await writeFile(fileOf(sha256, 'titles.json'), '[]');
    expect((await registry.resolve('champion')).problems).toEqual([{ sha256, why: 'wrong-hash' }]);
    const manifest: ModelManifest = JSON.parse(await readFile(fileOf(sha256, 'manifest.json'), 'utf8'));
    const lured = { ...manifest.files, '../escape': { sha256, sizeBytes: 1 } };
    await writeFile(fileOf(sha256, 'manifest.json'), JSON.stringify({ ...manifest, files: lured }));
    expect((await registry.resolve('champion')).problems).toEqual([{ sha256, why: 'bad-manifest' }]);
    expect(modelHash(lured)).not.toBe(sha256);
  });

  test('a folder that no alias names is never run, and one that is withdrawn is removed', async () => {
    const { registry, hashes } = await champions(1, 2);
    const stranger = await registry.add(scorerFiles(scorerOf(3)), about(scorerOf(3)));
    expect((await registry.resolve('champion')).model?.sha256).toBe(hashes[1]);
    await registry.withdraw('champion', hashes[1] ?? '');
    expect((await registry.resolve('champion')).model?.sha256).toBe(hashes[0]);
    expect((await readdir(dir)).sort()).toEqual(['aliases.json', hashes[0], stranger].sort());
  });

  test('an alias points only to what is there', async () => {
    const registry = await openRegistry(dir);
    await expect(registry.point('champion', 'f'.repeat(64))).rejects.toMatchObject({ code: 'AGENT_MODEL_UNKNOWN' });
  });

  test('what no alias ever pointed to stays; champions older than the history go; broken writes are swept at start', async () => {
    const registry = await openRegistry(dir);
    const waiting = await registry.add(scorerFiles(scorerOf(99)), about(scorerOf(99)));
    const { hashes } = await champions(1, 2, 3, 4, 5, 6, 7);
    expect((await registry.list()).aliases.champion).toEqual(hashes.slice(2).reverse());
    await mkdir(join(dir, 'x.tmp'));
    await openRegistry(dir);
    const names = await readdir(dir);
    expect(names.sort()).toEqual(['aliases.json', waiting, ...hashes.slice(2)].sort());
  });

  test('a folder that cannot be written is a coded error that says so', async () => {
    await writeFile(join(root, 'file'), '');
    await expect(openRegistry(join(root, 'file', 'models'))).rejects.toMatchObject({
      code: 'AGENT_MODEL_STORE',
      retryable: true,
    });
  });

  test('weights of the manifest are believed only if they are those of the file', async () => {
    const { registry } = await champions(1);
    const { model } = await registry.resolve('champion');
    if (model === undefined) throw new Error('no model');
    expect(plainWeights(model)).toEqual(scorerOf(1));
    const lie = { ...model, manifest: { ...model.manifest, scorer: scorerOf(2) } };
    expect(plainWeights(lie)).toBeUndefined();
    const broken = { ...model, manifest: { ...model.manifest, scorer: { ...scorerOf(1), deviation: [0] } } };
    expect(plainWeights(broken)).toBeUndefined();
  });
});

describe('the champion and the predictor', () => {
  const open: ModelRuntime[] = [];
  afterEach(async () => {
    for (const runtime of open.splice(0)) await runtime.close();
  });
  const NOW = Date.UTC(2026, 0, 1);
  const runtimeOf = (): ModelRuntime => {
    const runtime = openRuntime({ deadlineMs: 100, log: () => undefined });
    open.push(runtime);
    return runtime;
  };
  const predictorOf = (options: Partial<Parameters<typeof openPredictor>[0]> = {}) => {
    const popularity = createPopularity({ halfLifeMs: 1e9 });
    for (const titleId of ['a', 'a', 'b']) popularity.add({ titleId, region: 'r', at: NOW }, NOW);
    const titles = ['a', 'b', 'c', 'd', 'e'].map((id, at) => ({ id, durationSeconds: 100, series: 's', episode: at }));
    return openPredictor({
      titles: () => titles,
      catalogueVersion: () => 1,
      popularity,
      region: 'r',
      now: () => NOW,
      ...options,
    });
  };
  const session = { history: [{ titleId: 'c', positionSeconds: 99, at: NOW - 1000, isCompleted: true }] };

  test('a site without a model gets the one that ships, and the model answers as its weights do', async () => {
    const runtime = runtimeOf();
    const keeper = keepChampion(await openRegistry(dir), runtime, () => NOW);
    const champion = await keeper.start();
    expect(champion?.weights).toEqual(seedModel().scorer);
    expect(runtime.stats().state).toBe('ready');
    const plain = predictorOf({ champion: keeper.current });
    const predictor = predictorOf({ champion: keeper.current, runtime });
    await expect.poll(async () => (await predictor.rank({ session, limit: 9 })).answeredBy).toBe('model');
    const byModel = await predictor.rank({ session, limit: 9 });
    const byRules = await plain.rank({ session, limit: 9 });
    expect(byRules).toMatchObject({ answeredBy: 'rules', modelVersion: champion?.modelVersion });
    expect(byRules.titles.map(({ titleId }) => titleId)).toEqual(byModel.titles.map(({ titleId }) => titleId));
    byModel.titles.forEach(({ score }, at) => {
      expect(score).toBeCloseTo(byRules.titles[at]?.score ?? Number.NaN, 5);
    });
    expect(byModel.titles[0]).toMatchObject({ titleId: 'd', reasons: expect.arrayContaining(['next-episode']) });
  });

  test('a champion that is given up makes way for the one before it, the last one for rules', async () => {
    const { registry, hashes } = await champions(1, 2);
    const keeper = keepChampion(registry, runtimeOf(), () => NOW);
    expect((await keeper.start())?.modelVersion).toBe(hashes[1]);
    expect((await keeper.giveUp(hashes[1] ?? ''))?.modelVersion).toBe(hashes[0]);
    expect(await keeper.giveUp(hashes[0] ?? '')).toBeUndefined();
    const answer = await predictorOf({ champion: keeper.current }).rank({ session, limit: 3 });
    expect(answer.answeredBy).toBe('rules');
    expect(answer.modelVersion).toBeUndefined();
    expect(answer.titles[0]?.titleId).toBe('d');
  });

  test('a champion that answers NaN is noticed before it serves, and the one before it serves instead', async () => {
    const { registry, hashes } = await champions(1);
    const bad = { ...scorerOf(1), mean: FEATURE_NAMES.map(() => Number.NaN) };
    const sha256 = await registry.add(scorerFiles(bad), about(bad));
    await registry.point('champion', sha256);
    const disabled: string[] = [];
    const runtime = openRuntime({
      deadlineMs: 100,
      log: () => undefined,
      onDisabled: (modelVersion) => {
        disabled.push(modelVersion);
        void keeper.giveUp(modelVersion);
      },
    });
    open.push(runtime);
    const keeper = keepChampion(registry, runtime, () => NOW);
    await keeper.start();
    const predictor = predictorOf({ champion: keeper.current, runtime });
    await expect.poll(async () => (await predictor.rank({ limit: 9 })).answeredBy, { timeout: 10_000 }).toBe('model');
    expect((await predictor.rank({ limit: 9 })).modelVersion).toBe(hashes[0]);
    expect(disabled).toEqual([sha256]);
  });

  test("a shipped model of an earlier release makes way for the present one; a site's own does not", async () => {
    const registry = await openRegistry(dir);
    const old = { ...about(scorerOf(1)), trainedOn: 'synthetic' as const };
    await registry.point('champion', await registry.add(scorerFiles(scorerOf(1)), old));
    const shipped = await keepChampion(registry, runtimeOf(), () => NOW).start();
    expect(shipped?.weights).toEqual(seedModel().scorer);
    const own = await registry.add(scorerFiles(scorerOf(2)), about(scorerOf(2)));
    await registry.point('champion', own);
    expect((await keepChampion(registry, runtimeOf(), () => NOW).start())?.modelVersion).toBe(own);
  });

  test('a model of other features than this node computes is passed over', async () => {
    const { registry, hashes } = await champions(1);
    const other: ScorerWeights = { ...scorerOf(5), features: ['x', ...FEATURE_NAMES.slice(1)] };
    await registry.point('champion', await registry.add(scorerFiles(other), about(other)));
    expect((await keepChampion(registry, runtimeOf(), () => NOW).start())?.modelVersion).toBe(hashes[0]);
  });

  test('killed while asked: rules, within the deadline', async () => {
    const runtime = runtimeOf();
    const keeper = keepChampion(await openRegistry(dir), runtime, () => NOW);
    await keeper.start();
    const predictor = predictorOf({ champion: keeper.current, runtime });
    const pid = runtime.stats().pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    const askedAt = performance.now();
    const asked = predictor.rank({ session, limit: 3 });
    expect((await asked).answeredBy).toBe('rules');
    expect(performance.now() - askedAt).toBeLessThan(250);
    expect(predictor.stats()).toEqual({ byModel: 0, byRules: 1 });
  });

  test('without a session the answer is of the region alone; explain says place, score, reasons and features', async () => {
    const predictor = predictorOf();
    expect((await predictor.rank({ limit: 9 })).titles.map(({ titleId }) => titleId)).toEqual(['a', 'b']);
    expect(await predictor.explain('b')).toMatchObject({
      place: 2,
      candidates: 2,
      answeredBy: 'rules',
      reasons: ['popular'],
    });
    expect(await predictor.explain('d')).toBeUndefined();
    expect(await predictor.explain('d', session)).toMatchObject({
      place: 1,
      reasons: expect.arrayContaining(['next-episode']),
    });
    expect(predictor.nextOf('a')).toBe('b');
    expect(predictor.demand(9).map(({ titleId }) => titleId)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});
