// The life of models with real folders and processes: a challenger is tried beside the champion, takes its place when it
// wins, and goes when it does not; training apart, within its limits.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { keepChampion, scorerFiles } from '../../../agent/model/champion.ts';
import { openLife } from '../../../agent/model/life.ts';
import type { LifeOptions, ModelLife } from '../../../agent/model/life-contract.ts';
import type { AnsweredQuestion } from '../../../agent/model/questions.ts';
import { type ModelRegistry, openRegistry } from '../../../agent/model/registry.ts';
import { type TrainingEnd, type TrainingOptions, trainApart } from '../../../agent/model/retrain.ts';
import { openRuntime } from '../../../agent/model/runtime.ts';
import type { ModelRuntime } from '../../../agent/model/runtime-contract.ts';
import { openSwapping } from '../../../agent/model/swap.ts';
import type { TrainExample } from '../../../agent/model/train-messages.ts';
import { FEATURE_NAMES } from '../../../agent/predict/features.ts';
import type { ScorerWeights } from '../../../agent/predict/scorer.ts';
import { raw } from '../../../agent/telemetry/event.ts';
import { seededRandom } from '../../../agent/train/random.ts';
import { rowsOf, stored, summing } from './crafted.ts';

let root = '';
let dir = '';
let made = 0;
const open: ModelRuntime[] = [];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'nearcast-life-'));
});
beforeEach(() => {
  made += 1;
  dir = join(root, String(made));
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((runtime) => runtime.close()));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const log = () => undefined;
const WIDTH = FEATURE_NAMES.length;
/** A feature that plain rules give no weight. */
const LIKED = FEATURE_NAMES.indexOf('position');

/** A scorer that likes that feature as much as `liking` says. */
const scorerOf = (liking: number): ScorerWeights => ({
  version: 1,
  features: FEATURE_NAMES,
  mean: FEATURE_NAMES.map(() => 0),
  deviation: FEATURE_NAMES.map(() => 1),
  layers: [
    { units: 1, weights: FEATURE_NAMES.map((_, at) => (at === LIKED ? liking : 0)), bias: [0], activation: 'sigmoid' },
  ],
});

/** Thirty candidates, of which a later one has more of it; viewers open the last one. */
const features = Float32Array.from({ length: 30 * WIDTH }, (_, at) => (at % WIDTH === LIKED ? at / (30 * WIDTH) : 0));
const titleIds = Array.from({ length: 30 }, (_, row) => `t${row}`);

/** A question as the champion of `liking` answered it. */
const questionOf = (viewer: number, liking: number): AnsweredQuestion => ({
  ...{ titleIds, features, modelVersion: undefined, at: 1, history: [], chosen: 29 },
  viewer: raw(`v${viewer}`),
  scores: Float32Array.from(titleIds, (_, row) => liking * row),
});

type World = { readonly life: ModelLife; readonly registry: ModelRegistry; readonly hashes: readonly string[] };

/** Models by their likings: champions oldest first, then a challenger if there is one. */
async function worldOf(
  likings: readonly number[],
  { challenger, ...options }: Partial<LifeOptions> & { readonly challenger?: number } = {},
): Promise<World & { readonly champion: () => string | undefined }> {
  const registry = await openRegistry(dir);
  const add = async (liking: number): Promise<string> => {
    const scorer = scorerOf(liking);
    const about = { kind: 'scorer', seed: 1, features: FEATURE_NAMES, createdAt: liking, metrics: {} } as const;
    return await registry.add(scorerFiles(scorer), { ...about, trainedOn: 'site', scorer });
  };
  const hashes: string[] = [];
  for (const liking of likings) {
    hashes.push(await add(liking));
    await registry.point('champion', hashes.at(-1) ?? '');
  }
  if (challenger !== undefined) {
    hashes.push(await add(challenger));
    await registry.point('challenger', hashes.at(-1) ?? '');
  }
  const runtime = openSwapping({ log, deadlineMs: 2_000 });
  const shadow = openRuntime({ log, deadlineMs: 5_000, niceness: 1, maxPending: 2_000 });
  open.push(runtime, shadow);
  const keeper = keepChampion(registry, runtime, () => 1);
  await keeper.start();
  const train = async (): Promise<TrainingEnd> => ({ outcome: 'failed', message: 'not in this test' });
  const given = { registry, keeper, shadow, isAutomatic: true, leastReachRatio: 0.5, train, now: () => 1, log };
  const life = openLife({ ...given, onRanked: () => undefined, ...options });
  await life.start();
  return { life, registry, hashes, champion: () => keeper.current()?.modelVersion };
}

/** Lets `count` viewers' questions be answered, all at once, and waits until they are counted. */
async function answer(life: ModelLife, count: number, liking: number): Promise<void> {
  const before = life.report().trial.questions;
  for (let at = 0; at < count; at += 1) life.answered(questionOf(at % 60, liking));
  await expect.poll(() => life.report().trial.questions, { interval: 5, timeout: 40_000 }).toBe(before + count);
}

describe('the life of models', () => {
  test('a challenger that wins takes over; the champion that it replaced is kept beside it, and comes back when it falls', async () => {
    const { life, champion, hashes, registry } = await worldOf([-1], { challenger: 1 });
    expect(life.report().other).toEqual({ role: 'challenger', version: hashes[1] });
    await answer(life, 1_000, -1);
    await life.sweep();
    // The second look finds who stands beside the new champion.
    await life.sweep();
    expect(champion()).toBe(hashes[1]);
    expect(life.report()).toMatchObject({ champion: hashes[1], other: { role: 'predecessor', version: hashes[0] } });
    expect((await life.list()).flatMap(({ aliases }) => aliases)).toEqual(['champion']);
    // Now viewers do the opposite of what it says, which plain rules and the former champion do not.
    for (let at = 0; at < 1_000; at += 1) life.answered({ ...questionOf(at % 60, 1), chosen: 0 });
    await expect.poll(() => life.report().trial.questions, { interval: 5, timeout: 40_000 }).toBe(1_000);
    await life.sweep();
    expect(champion()).toBe(hashes[0]);
    expect(life.counts()).toMatchObject({ promoted: 1, rolledBack: 1 });
    expect((await registry.list()).models.map(({ sha256 }) => sha256)).toEqual([hashes[0]]);
  });

  test('a trial goes on after a restart where it was, unless it is one of other models', async () => {
    const before = await worldOf([-1], { challenger: 1 });
    await answer(before.life, 600, -1);
    // Kept as it is on disk.
    const kept = JSON.parse(JSON.stringify(before.life.kept()));
    const { registry, champion } = before;
    const again = async (options: Partial<LifeOptions>) => {
      const shadow = openRuntime({ log, deadlineMs: 5_000, niceness: 1, maxPending: 2_000 });
      open.push(shadow);
      // Sound: nothing else of a keeper is asked while no alias moves.
      const keeper = { current: () => ({ modelVersion: champion() }) } as LifeOptions['keeper'];
      const given = { registry, keeper, shadow, isAutomatic: false, leastReachRatio: 0.5, now: () => 9, log };
      const train = async (): Promise<TrainingEnd> => ({ outcome: 'failed', message: 'not in this test' });
      const life = openLife({ ...given, train, onRanked: () => undefined, ...options });
      // Before it has started, what was kept is still what there is to keep.
      expect(life.kept()).toEqual(options.kept ?? life.kept());
      await life.start();
      return life;
    };
    const after = await again({ kept });
    expect(after.report()).toMatchObject({ other: before.life.report().other, trial: { questions: 600, viewers: 60 } });
    expect(after.kept()).toEqual(kept);
    await answer(after, 400, -1);
    await after.sweep();
    expect(after.report().lastLook).toMatchObject({ verdict: 'promote' });
    const another = await again({ kept: { ...kept, champion: 'f'.repeat(64) } });
    expect(another.report().trial.questions).toBe(0);
  });

  test('a champion that is always late makes way for the one before it until it is asked for, and is not tried beside it', async () => {
    const { life, champion, hashes, registry } = await worldOf([-1, 1]);
    expect(life.report().other).toMatchObject({ role: 'predecessor', version: hashes[0] });
    await life.gaveUp(hashes[1] ?? '', 'late');
    await life.sweep();
    expect(champion()).toBe(hashes[0]);
    expect(life.report()).toMatchObject({ champion: hashes[0], other: undefined });
    expect(life.counts()).toMatchObject({ demoted: 1, rolledBack: 0 });
    // A slow host is not its fault: it keeps its place for the next start.
    expect((await registry.list()).aliases.champion).toEqual([hashes[1], hashes[0]]);
  });

  test('one that loses is withdrawn, and one that wins waits for an operator where promotion is manual', async () => {
    const lost = await worldOf([1], { challenger: -1 });
    await answer(lost.life, 1_000, 1);
    await lost.life.sweep();
    expect(lost.champion()).toBe(lost.hashes[0]);
    expect(lost.life.counts()).toMatchObject({ withdrawn: 1, promoted: 0 });
    dir = `${dir}-manual`;
    const won = await worldOf([-1], { challenger: 1, isAutomatic: false });
    await answer(won.life, 1_000, -1);
    await won.life.sweep();
    expect(won.champion()).toBe(won.hashes[0]);
    expect(won.life.report().lastLook).toMatchObject({ verdict: 'promote' });
    await won.life.promote(won.hashes[1] ?? '');
    expect(won.champion()).toBe(won.hashes[1]);
    await won.life.rollBack();
    expect(won.champion()).toBe(won.hashes[0]);
    await expect(won.life.rollBack()).rejects.toMatchObject({ code: 'AGENT_MODEL_UNKNOWN' });
    await expect(won.life.promote('f'.repeat(64))).rejects.toMatchObject({ code: 'AGENT_MODEL_UNKNOWN' });
  });

  test('a challenger that cannot run is withdrawn at once; questions of another champion are not counted', async () => {
    const registry = await openRegistry(dir);
    const about = { kind: 'scorer', seed: 1, features: FEATURE_NAMES, createdAt: 1, metrics: {} } as const;
    const broken = await registry.add(new Map([['scorer.onnx', Buffer.from('no model')]]), {
      ...about,
      trainedOn: 'site',
    });
    await registry.point('challenger', broken);
    const { life } = await worldOf([1]);
    expect(life.report()).toMatchObject({ other: undefined });
    expect(life.counts()).toMatchObject({ withdrawn: 1 });
    life.answered({ ...questionOf(1, 1), modelVersion: 'another' });
    await answer(life, 1, 1);
    expect(life.report().trial.questions).toBe(1);
  });

  test('training: one at a time, none while paused or while a challenger is on trial, unless it is urgent', async () => {
    const ends: ((end: TrainingEnd) => void)[] = [];
    const train: LifeOptions['train'] = (_, signal) =>
      new Promise((resolve) => {
        ends.push(resolve);
        signal.addEventListener('abort', () => resolve({ outcome: 'stopped', message: '' }));
      });
    const { life, hashes } = await worldOf([1], { challenger: -1, train });
    const never = new AbortController().signal;
    expect(await life.retrain({ seed: 1, isUrgent: false }, never)).toBe('on-trial');
    const run = life.retrain({ seed: 1, isUrgent: true }, never);
    expect(await life.retrain({ seed: 1, isUrgent: true }, never)).toBe('busy');
    life.progress(0.5);
    expect(life.report().training).toEqual({ ratio: 0.5 });
    const files = [...scorerFiles(scorerOf(3))];
    const data = { from: 1, to: 2, viewers: 3, examples: 4, sha256: 'a' };
    ends[0]?.({
      outcome: 'trained',
      model: { kind: 'scorer', files, data, metrics: { auc: 1 }, scorer: scorerOf(3) },
    });
    expect(await run).toBe('trained');
    const listed = await life.list();
    const challenger = listed.find(({ aliases }) => aliases.includes('challenger'));
    expect(challenger).toMatchObject({ parent: hashes[0], data, seed: 1, trainedOn: 'site', metrics: { auc: 1 } });
    // The challenger before it is gone, not next in line.
    expect(listed.map(({ sha256 }) => sha256)).not.toContain(hashes[1]);
    const stopped = life.retrain({ seed: 1, isUrgent: true }, never);
    life.setPaused(true);
    expect(await stopped).toBe('stopped');
    expect(await life.retrain({ seed: 1, isUrgent: true }, never)).toBe('paused');
    expect(life.counts().runs).toEqual({ trained: 1, stopped: 1 });
  });

  test('a model that shows hardly anything of what is on offer is not tried', async () => {
    const files = [...scorerFiles(scorerOf(3))];
    const data = { from: 1, to: 2, viewers: 3, examples: 4, sha256: 'a' };
    const model = { kind: 'scorer' as const, files, data, metrics: { reachRatio: 0.4 }, scorer: scorerOf(3) };
    const { life } = await worldOf([1], { train: async () => ({ outcome: 'trained', model }) });
    expect(await life.retrain({ seed: 1, isUrgent: false }, new AbortController().signal)).toBe('narrow');
    expect((await life.list()).filter(({ aliases }) => aliases.includes('challenger'))).toEqual([]);
  });
});

test('a new model takes over between two questions: none is lost', async () => {
  const runtime = openSwapping({ log, deadlineMs: 5_000 });
  open.push(runtime);
  const [one, other] = [await stored(root, summing), { ...(await stored(root, summing)), modelVersion: 'other' }];
  await runtime.load(one);
  let isSwapped = false;
  const swapped = runtime.load(other).then((state) => {
    isSwapped = true;
    return state;
  });
  const versions: (string | undefined)[] = [];
  while (!isSwapped) versions.push((await runtime.score(rowsOf(1), 1))?.version);
  expect(await swapped).toBe('ready');
  versions.push((await runtime.score(rowsOf(1), 1))?.version);
  expect(versions).not.toContain(undefined);
  expect([versions[0], versions.at(-1)]).toEqual([one.modelVersion, 'other']);
  // One that cannot serve leaves the other where it is.
  expect(await runtime.load({ ...one, modelVersion: 'damaged', scorer: { ...one.scorer, sha256: 'wrong' } })).toBe(
    'disabled',
  );
  expect((await runtime.score(rowsOf(2), 1))?.version).toBe('other');
  expect(runtime.stats()).toMatchObject({ state: 'ready', answered: versions.length + 1 + 2, late: 0 });
});

/** Questions in which viewers open what has most of it. */
function examplesOf(count: number, viewers: number): readonly TrainExample[] {
  const random = seededRandom(5);
  return Array.from({ length: count }, (_, at) => {
    const rows = Float32Array.from({ length: 12 * WIDTH }, (_, cell) => (cell % WIDTH === LIKED ? random() : 0));
    let chosen = 0;
    for (let row = 1; row < 12; row += 1) {
      if ((rows[row * WIDTH + LIKED] ?? 0) > (rows[chosen * WIDTH + LIKED] ?? 0)) chosen = row;
    }
    const viewer = `v${at % viewers}`;
    return { at, viewer, titleIds: titleIds.slice(0, 12), features: rows, chosen, history: [] };
  });
}

describe('training apart', () => {
  const trainingOf = (options: Partial<TrainingOptions> = {}): TrainingOptions => ({
    ...{ seed: 3, niceness: 0, deadlineMs: 60_000, maxRssBytes: 2 ** 30, pace: () => 1, log },
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...options,
  });

  test('learns what viewers do; the same data and seed give the same model, whatever the pace', async () => {
    const data = { questions: examplesOf(800, 30), interactions: [], titles: [], scorer: undefined };
    let progress = 0;
    const [one, slow] = await Promise.all([
      trainApart(data, trainingOf()),
      trainApart(
        { ...data, questions: data.questions.toReversed() },
        trainingOf({
          pace: () => 0.3,
          onProgress: (ratio) => {
            progress = ratio;
          },
        }),
      ),
    ]);
    if (one.outcome !== 'trained' || slow.outcome !== 'trained') throw new Error(JSON.stringify([one, slow]));
    expect(one.model.files).toEqual(slow.model.files);
    expect(one.model.data).toEqual({ from: 0, to: 799, viewers: 30, examples: 800, sha256: slow.model.data.sha256 });
    expect(one.model.metrics['hitRatio1']).toBeGreaterThan(0.6);
    expect(progress).toBe(1);
  });

  test('of too little, nothing; past its deadline, too large, stopped: killed, with the reason', async () => {
    const data = { questions: examplesOf(100, 30), interactions: [], titles: [], scorer: undefined };
    const entry = join(root, 'endless.mjs');
    await writeFile(entry, "process.on('message', () => undefined);");
    const stop = new AbortController();
    const all = Promise.all([
      trainApart(data, trainingOf()),
      trainApart(data, trainingOf({ entry, deadlineMs: 300 })),
      trainApart(data, trainingOf({ entry, maxRssBytes: 2 ** 20 })),
      trainApart(data, trainingOf({ entry, signal: stop.signal })),
    ]);
    stop.abort();
    expect((await all).map(({ outcome }) => outcome)).toEqual(['too-little', 'deadline', 'memory', 'stopped']);
  });

  test('a process that ends without a word, or speaks another version, is a failed run', async () => {
    const entry = join(root, 'mute.mjs');
    await writeFile(entry, 'process.exit(3);');
    const stranger = join(root, 'stranger.mjs');
    await writeFile(stranger, "process.on('message', () => process.send({ version: 9 }));");
    const none = { questions: [], interactions: [], titles: [], scorer: undefined };
    expect(await trainApart(none, trainingOf({ entry }))).toMatchObject({ outcome: 'failed' });
    expect(await trainApart(none, trainingOf({ entry: stranger }))).toMatchObject({
      outcome: 'failed',
      message: expect.stringContaining('version 9'),
    });
  });
});
