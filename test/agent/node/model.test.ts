// A node with a bad model, as it finds it at its start or is told to run it: it stays ready, and plain code answers
// within 100 ms. And what an operator does with models from the command line.
import { readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openRegistry } from '../../../agent/model/registry.ts';
import { FEATURE_NAMES } from '../../../agent/predict/features.ts';
import { badModels } from '../model/crafted.ts';
import {
  beacon,
  catalogue,
  command,
  leavePlace,
  makePlace,
  openWorld,
  type Place,
  sample,
  type World,
} from './world.ts';

/** The deadline, and what a machine with other work adds to a timer and to a connection of its own. */
const IN_TIME_MS = 100 + 150;
const ATTEMPTS = 20;
const predict = { enabled: true, retrain: { promotion: 'manual' } };

const play = (world: World) =>
  beacon(world, { sid: 'viewer', consent: 'personal', events: [{ type: 'play', title: 'film', positionSeconds: 0 }] });

type Explained = { readonly ranking: { readonly answeredBy: string; readonly titles: readonly unknown[] } };

/** Asks for a ranking; how long that took. */
async function rank(world: World): Promise<{ readonly by: string; readonly tookMs: number }> {
  const askedAt = performance.now();
  // Sound: the shape of the answer, of which the test reads these keys alone.
  const { ranking } = (await world.ask('GET', '/explain?sid=viewer')) as Explained;
  const tookMs = performance.now() - askedAt;
  expect(ranking.titles.length).toBeGreaterThan(0);
  expect((await fetch(`http://127.0.0.1:${world.node.metricsPort}/readyz`)).status).toBe(200);
  return { by: ranking.answeredBy, tookMs };
}

/** Who answers a ranking, in time, of a node that is ready. A busy machine may be late; a node that waits for its model always is. */
async function rankInTime(world: World): Promise<string> {
  let last = await rank(world);
  for (let time = 1; time < ATTEMPTS && last.tookMs >= IN_TIME_MS; time += 1) last = await rank(world);
  expect(last.tookMs).toBeLessThan(IN_TIME_MS);
  return last.by;
}

describe('row 46 to 48: a model that is told to be the champion', () => {
  let place: Place;
  let world: World;
  const hashes: Record<string, string> = {};
  beforeAll(async () => {
    place = await makePlace();
    catalogue(place, [{ id: 'film', durationSeconds: 100, nextId: 'next' }, { id: 'next' }]);
    world = await openWorld({ predict }, { place });
    await play(world);
    await world.line('model.ready');
    const registry = await openRegistry(join(place.dir, 'state', 'models'));
    for (const [name, bytes] of Object.entries(badModels(FEATURE_NAMES.length))) {
      const about = { kind: 'scorer', seed: 1, createdAt: 1, metrics: {}, trainedOn: 'site' } as const;
      hashes[name] = await registry.add(new Map([['scorer.onnx', bytes]]), { ...about, features: FEATURE_NAMES });
    }
  });
  afterAll(async () => {
    await world?.close();
    await leavePlace(place);
  });

  test.each(['answers NaN', 'answers the same for all'])(
    '%s: given up, and the one before it goes on to answer',
    async (name) => {
      const promoted = world.ask('POST', '/models/promote', { model: hashes[name] });
      await rankInTime(world);
      await promoted;
      await expect.poll(() => rankInTime(world), { interval: 5, timeout: 40_000 }).toBe('model');
      await expect
        .poll(() => world.ask('GET', '/models'), { interval: 5, timeout: 40_000 })
        .toMatchObject({ champion: expect.not.stringContaining(hashes[name] ?? ''), running: [{ alias: 'champion' }] });
    },
  );

  test.each(['hangs', 'is slow'])('%s: plain rules answer in time, every time', async (name) => {
    await world.ask('POST', '/models/promote', { model: hashes[name] });
    const answers = [await rankInTime(world), await rankInTime(world), await rankInTime(world)];
    expect(answers).toEqual(['rules', 'rules', 'rules']);
    expect(await command(['model', 'rollback', '--socket', world.socket])).toMatchObject({ code: 0 });
    await expect.poll(() => rankInTime(world), { interval: 5, timeout: 40_000 }).toBe('model');
  });

  test('the command line lists, promotes, rolls back, trains and pauses', async () => {
    const nearcast = (...args: readonly string[]) => command([...args, '--socket', world.socket]);
    const { stdout } = await nearcast('model', 'list');
    expect(stdout).toMatch(/^ {2}[0-9a-f]{12} {2}champion +scorer, synthetic/m);
    expect(stdout).toMatch(/trial +0 questions of 0 viewers/);
    expect(await nearcast('model', 'promote', 'abc')).toMatchObject({ code: 1 });
    expect((await nearcast('model', 'promote', 'f'.repeat(64))).stderr).toMatch(/no model/);
    expect(await nearcast('model', 'promote')).toMatchObject({ code: 64 });
    expect(await nearcast('model', 'sell')).toMatchObject({ code: 64 });
    const trained = await nearcast('model', 'retrain');
    expect(trained).toMatchObject({ code: 1, stdout: expect.stringContaining('too-little') });
    expect(sample(await world.metrics(), 'nearcast_model_training_runs_total{outcome="too-little"}')).toBe(1);
    expect(await nearcast('pause')).toMatchObject({ code: 0 });
    expect(await nearcast('model', 'retrain')).toMatchObject({ stdout: expect.stringContaining('paused') });
    expect(await nearcast('resume')).toMatchObject({ code: 0 });
    const file = join(place.dir, 'adapt.json');
    writeFileSync(file, '{"bias": {"film": 1}}');
    expect(JSON.parse((await nearcast('model', 'adapt', file)).stdout)).toEqual({ biases: 1, hasAdapter: false });
    writeFileSync(file, '{"bias": {"film": "much"}}');
    expect(await nearcast('model', 'adapt', file)).toMatchObject({ code: 1, stderr: expect.stringMatching(/numbers/) });
    expect(await nearcast('model', 'adapt', `${file}.none`)).toMatchObject({ code: 1 });
    const ofTitle = JSON.parse((await nearcast('explain', 'film')).stdout);
    expect(ofTitle).toMatchObject({
      ranking: { titleId: 'film', score: expect.any(Number), features: expect.anything() },
    });
    expect(JSON.parse((await nearcast('explain', 'viewer')).stdout)).toMatchObject({ session: { hovered: null } });
  });
});

describe('row 46: a champion on disk that is', () => {
  test.each<[string, (file: string) => void]>([
    ['missing', (file) => rmSync(file)],
    ['truncated', (file) => truncateSync(file, 40)],
    ['another one than its hash says', (file) => writeFileSync(file, badModels(FEATURE_NAMES.length)['hangs'] ?? '')],
  ])('%s: the node starts, is ready, and answers', async (_, damage) => {
    const place = await makePlace();
    try {
      catalogue(place, [{ id: 'film', durationSeconds: 100, nextId: 'next' }, { id: 'next' }]);
      const models = join(place.dir, 'state', 'models');
      const registry = await openRegistry(models);
      const about = { kind: 'scorer', seed: 1, createdAt: 1, metrics: {}, trainedOn: 'site' } as const;
      const files = new Map([['scorer.onnx', badModels(FEATURE_NAMES.length)['is slow'] ?? new Uint8Array()]]);
      await registry.point('champion', await registry.add(files, { ...about, features: FEATURE_NAMES }));
      const [folder] = readdirSync(models).filter((name) => name.length === 64);
      damage(join(models, folder ?? '', 'scorer.onnx'));
      const world = await openWorld({ predict }, { place });
      try {
        await play(world);
        await rankInTime(world);
        // What ships takes its place.
        await world.line('model.ready');
        await expect.poll(() => rankInTime(world), { interval: 5, timeout: 40_000 }).toBe('model');
      } finally {
        await world.close();
      }
    } finally {
      await leavePlace(place);
    }
  });
});
