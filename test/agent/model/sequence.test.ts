// A sequence model in the model process, beside the scorer: its files checked, many questions at once, a bias and an
// adapter without loading anything anew; and one trained from what was watched.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { runnableOf, scorerFiles } from '../../../agent/model/champion.ts';
import type { ModelAbout } from '../../../agent/model/manifest.ts';
import { openRegistry } from '../../../agent/model/registry.ts';
import { openRuntime } from '../../../agent/model/runtime.ts';
import type { ModelRuntime, RunnableModel } from '../../../agent/model/runtime-contract.ts';
import { mixed, openSequence } from '../../../agent/model/sequence.ts';
import { openSwapping } from '../../../agent/model/swap.ts';
import { trainOnSite } from '../../../agent/model/training.ts';
import { FEATURE_NAMES } from '../../../agent/predict/features.ts';
import { RULES } from '../../../agent/predict/rank.ts';
import { RANKER_FILES, readTitles } from '../../../agent/predict/ranker-files.ts';
import { type TrainedRanker, trainRanker } from '../../../agent/train/ranker.ts';

const TITLES = 24;
/** Viewers who go round a circle of titles, each from a place of his own. */
const watched = (viewers: number, views: number, day = 0) =>
  Array.from({ length: viewers * views }, (_, at) => ({
    viewer: `v${at % viewers}`,
    titleId: `t${((at % viewers) * 7 + Math.floor(at / viewers)) % TITLES}`,
    at: day + 1000 * at,
    weight: 1,
  }));

let dir = '';
let trained: TrainedRanker;
const open: ModelRuntime[] = [];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-sequence-'));
  trained = await trainRanker(watched(16, 15), { seed: 3, epochs: 20, holdOutRatio: 0 });
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((runtime) => runtime.close()));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const log = () => undefined;
const file = (name: string): Uint8Array => trained.files.get(name) ?? new Uint8Array();
const bytes = () => ({
  titles: file(RANKER_FILES.titles),
  ease: file(RANKER_FILES.ease),
  graph: file(RANKER_FILES.sequence),
});
const allTitles = Array.from({ length: TITLES }, (_, at) => `t${at}`);
/** What was opened up to a title, newest first. */
const upTo = (last: number) => Array.from({ length: 4 }, (_, back) => `t${(last - back + TITLES) % TITLES}`);

/** The model as a registry gives it. */
async function stored(metrics: Readonly<Record<string, number>> = {}): Promise<RunnableModel> {
  const registry = await openRegistry(join(dir, JSON.stringify(metrics)));
  const files = new Map([...scorerFiles(RULES), ...trained.files]);
  const about: ModelAbout = {
    ...{ kind: 'sequence', seed: 3, createdAt: 1, trainedOn: 'site', metrics, sequenceWeight: 2 },
    ...{ features: FEATURE_NAMES, scorer: RULES },
  };
  await registry.point('champion', await registry.add(files, about));
  const { model } = await registry.resolve('champion');
  if (model === undefined) throw new Error('no model');
  return runnableOf(model);
}
/** Features of candidates that the scorer finds alike. */
const alike = (rows: number) => new Float32Array(rows * FEATURE_NAMES.length);
const best = (scores: ArrayLike<number> | undefined, ids: readonly string[]): string | undefined =>
  ids[Array.from(scores ?? []).reduce((top, score, at, all) => (score > (all[top] ?? 0) ? at : top), 0)];

describe('a sequence model', () => {
  test('scores candidates by history, alone as in a batch, and says nothing of titles that it does not know', async () => {
    const model = await openSequence(bytes());
    const questions = allTitles.map((_, at) => ({ titleIds: [...allTitles, 'unknown'], history: upTo(at) }));
    const together = await model.score(questions);
    const right = questions.filter((_, at) => best(together[at]?.blend, allTitles) === `t${(at + 1) % TITLES}`);
    expect(right.length).toBeGreaterThan(TITLES * 0.8);
    const [alone] = await model.score(questions.slice(3, 4));
    alone?.blend.forEach((score, row) => {
      expect(score).toBeCloseTo(together[3]?.blend[row] ?? Number.NaN, 3);
    });
    expect(alone?.blend[TITLES]).toBe(0);
    expect(alone?.ease[TITLES]).toBe(0);
    // Nothing was opened, or only what it does not know: an answer all the same.
    const [none] = await model.score([{ titleIds: allTitles, history: ['unknown'] }]);
    expect(none?.blend.every(Number.isFinite)).toBe(true);
    await model.close();
  });

  test('a bias and an adapter hold from the next question on; an adapter of another size is refused', async () => {
    const model = await openSequence(bytes());
    const question = { titleIds: allTitles, history: upTo(3) };
    const [before] = await model.score([question]);
    model.adapt({ bias: { t20: 50, unknown: 1 } });
    const [biased] = await model.score([question]);
    expect(best(biased?.blend, allTitles)).toBe('t20');
    const { width, rank } = readTitles(bytes().titles);
    const down = Array.from({ length: width * rank }, (_, at) => Math.sin(at));
    model.adapt({ bias: {}, adapter: { down, up: down } });
    const [adapted] = await model.score([question]);
    expect(adapted?.blend).not.toEqual(before?.blend);
    expect(() => model.adapt({ bias: {}, adapter: { down: [1], up: down } })).toThrow(/64 by 4/);
    model.adapt({ bias: {} });
    expect(await model.score([question])).toEqual([before]);
    await model.close();
  });

  test.each([
    ['titles that are no JSON', { titles: Buffer.from('{') }],
    ['tables that are cut short', { ease: Buffer.from([1, 2, 3]) }],
    ['a graph that is none', { graph: Buffer.from('<html>') }],
  ])('of %s: refused', async (_, damage) => {
    await expect(openSequence({ ...bytes(), ...damage })).rejects.toThrow();
  });

  test('its scores are added to the log-odds of the scorer, which may be sure', () => {
    const sure = mixed(Float32Array.of(0, 0.5, 1), Float32Array.of(1, 2, 3), 0.5);
    expect([...sure].map(Math.round)).toEqual([-13, 1, 15]);
  });
});

describe('in the model process', () => {
  test('answers beside the scorer, many at once, with what EASE says; biases outlive a new process and a new model', async () => {
    const runtime = openSwapping({
      log,
      deadlineMs: 5_000,
      restart: { firstPauseMs: 1, maxPauseMs: 1, crashBudget: 9, coolDownMs: 1 },
    });
    open.push(runtime);
    expect(await runtime.load(await stored())).toBe('ready');
    const ask = (at: number) => runtime.score(alike(TITLES), TITLES, { titleIds: allTitles, history: upTo(at) });
    const answers = await Promise.all(Array.from({ length: 30 }, (_, at) => ask(at % TITLES)));
    expect(answers.map((answer) => answer?.ease?.length)).toEqual(new Array(30).fill(TITLES));
    const right = answers.filter((answer, at) => best(answer?.scores, allTitles) === `t${(at + 1) % TITLES}`);
    expect(right.length).toBeGreaterThan(20);
    // Without a history the scorer answers alone.
    const plain = await runtime.score(alike(2), 2);
    expect(plain).toMatchObject({ ease: undefined });
    runtime.adapt({ bias: { t20: 50 } });
    expect(best((await ask(1))?.scores, allTitles)).toBe('t20');
    process.kill(runtime.stats().pid ?? 0, 'SIGKILL');
    await expect
      .poll(async () => best((await ask(1))?.scores, allTitles), { interval: 5, timeout: 40_000 })
      .toBe('t20');
    expect(await runtime.load(await stored({ int8LossRatio: 0.001 }))).toBe('ready');
    expect(best((await ask(1))?.scores, allTitles)).toBe('t20');
    runtime.adapt({ bias: {} });
    expect(best((await ask(1))?.scores, allTitles)).not.toBe('t20');
  });

  test('the 8-bit form serves where it was measured to lose at most 1 %', async () => {
    const graphOf = async (metrics: Readonly<Record<string, number>>) => (await stored(metrics)).sequence?.graph.path;
    expect(await graphOf({})).toMatch(/sequence\.onnx$/);
    expect(await graphOf({ int8LossRatio: 0.02 })).toMatch(/sequence\.onnx$/);
    expect(await graphOf({ int8LossRatio: 0.01 })).toMatch(/sequence-int8\.onnx$/);
  });

  test('a graph of another hash is not loaded', async () => {
    const events: unknown[] = [];
    const runtime = openRuntime({ log: (_level, _event, fields) => events.push(fields) });
    open.push(runtime);
    const model = await stored();
    const path = join(dir, 'other.onnx');
    await writeFile(path, 'x');
    const graph = { path, sha256: 'f'.repeat(64) };
    const broken = model.sequence && { ...model, sequence: { ...model.sequence, graph } };
    expect(await runtime.load(broken)).toBe('disabled');
    expect(events.at(-1)).toMatchObject({ reason: 'wrong-hash' });
  });
});

describe('trained on the site', () => {
  const breathe = async () => undefined;

  test('too little watched: no sequence model; nothing at all: an error that says how much is needed', async () => {
    const none = { questions: [], interactions: watched(10, 10), titles: [], scorer: RULES };
    await expect(trainOnSite(none, 1, breathe)).rejects.toThrow(/500 answered questions/);
  });

  test('tells how far it is, from the scorer to the last epoch, and stops where it is told to', async () => {
    const ratios: number[] = [];
    const stop = (ratio: number) => {
      ratios.push(ratio);
      return ratios.length > 3 ? Promise.reject(new Error('enough')) : Promise.resolve();
    };
    const data = { questions: [], interactions: watched(500, 10), titles: [], scorer: RULES };
    await expect(trainOnSite(data, 1, stop)).rejects.toThrow('enough');
    expect(ratios).toEqual(ratios.toSorted((one, other) => one - other));
    expect(ratios.every((ratio) => ratio > 0 && ratio <= 1)).toBe(true);
  });
});
