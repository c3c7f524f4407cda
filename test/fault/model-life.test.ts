// The life of models from end to end, in days of a few seconds: viewers are asked about, a night trains a challenger, it is
// tried on what they open next, and takes over; then they change their ways, and it is taken back. And killed in its midst.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { scorerFiles } from '../../agent/model/champion.ts';
import { openRegistry } from '../../agent/model/registry.ts';
import { FEATURE_NAMES } from '../../agent/predict/features.ts';
import { RULES } from '../../agent/predict/rank.ts';
import { openPrediction, type Prediction } from '../../agent/prediction.ts';
import { openState } from '../../agent/state.ts';
import { raw } from '../../agent/telemetry/event.ts';
import { seededRandom } from '../../agent/train/random.ts';

const VIEWERS = 40;
const TITLES = 40;
const MINUTE_MS = 60_000;
let now = Date.UTC(2026, 0, 5, 8);
let dir = '';
let prediction: Prediction;
const events: { readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-life-'));
  prediction = await openPrediction({
    titles: () => Array.from({ length: TITLES }, (_, at) => ({ id: `t${at}`, durationSeconds: 100 })),
    catalogueVersion: () => 1,
    region: 'here',
    modelsDir: join(dir, 'models'),
    hasModel: true,
    deadlineMs: 5_000,
    retrain: { promotion: 'auto', minutes: 5, maxBytes: 600 * 2 ** 20, minReachRatio: 0 },
    watches: () => [],
    pace: () => 1,
    snapshots: { get: () => undefined, put: () => undefined },
    now: () => now,
    log: (_level, event, fields) => events.push({ event, fields: fields ?? {} }),
  });
});
afterAll(async () => {
  await prediction.close();
  await rm(dir, { recursive: true, force: true });
});

const random = seededRandom(11);
const histories = new Map<number, readonly string[]>();
const play = (titleId: string): void => prediction.played({ titleId, at: now, weight: 1 });

/** The crowd plays the first titles; a viewer who is known opens one of three of the last, or of the first. */
async function open(viewer: number, wants: 'last' | 'first'): Promise<void> {
  for (let crowd = 0; crowd < 3; crowd += 1) play(`t${Math.floor(TITLES * random() ** 3)}`);
  const before = histories.get(viewer) ?? [];
  const titleId = `t${(wants === 'first' ? 0 : TITLES - 6) + ((viewer + before.length * 3 + Math.floor(random() * 2)) % 6)}`;
  const history = [titleId, ...before.filter((id) => id !== titleId)].slice(0, 5);
  histories.set(viewer, history);
  const session = {
    viewer: raw(`v${viewer}`),
    history: history.map((id) => ({ titleId: id, positionSeconds: 1, at: now, isCompleted: false })),
  };
  prediction.seen(session);
  now += MINUTE_MS;
  // The model answers in order: when this is answered, so is the question that was asked before it.
  await prediction.rank({ session, limit: 1 });
}

async function openMany(count: number, wants: 'last' | 'first'): Promise<void> {
  for (let at = 0; at < count; at += 1) await open(at % VIEWERS, wants);
  await prediction.sweep();
}

/** Viewers go on until another model is the champion, or long enough. */
async function openUntilChanged(wants: 'last' | 'first'): Promise<void> {
  const before = life().report().champion;
  for (let round = 0; round < 20 && life().report().champion === before; round += 1) await openMany(400, wants);
  await prediction.sweep();
}

const life = () => {
  if (prediction.life === undefined) throw new Error('no model');
  return prediction.life;
};

test('a challenger is trained, tried and promoted; when viewers change their ways, it is taken back', async () => {
  await expect.poll(() => prediction.models(), { timeout: 60_000 }).toMatchObject([{ alias: 'champion' }]);
  await expect.poll(() => life().report().champion, { timeout: 60_000 }).toBeDefined();
  const seed = life().report().champion;
  await openMany(1_500, 'last');
  expect(prediction.questions.stats().answered).toBeGreaterThan(600);
  expect(await prediction.retrain({ seed: 1, isUrgent: false }, new AbortController().signal)).toBe('trained');
  const challenger = life().report().other?.version;
  expect(life().report()).toMatchObject({ champion: seed, other: { role: 'challenger' } });
  expect(prediction.models().map(({ alias }) => alias)).toEqual(['champion', 'challenger']);

  await openUntilChanged('last');
  expect(life().report()).toMatchObject({ champion: challenger, other: { role: 'predecessor', version: seed } });
  expect(life().counts()).toMatchObject({ promoted: 1, rolledBack: 0 });

  await openUntilChanged('first');
  expect(life().report().champion).toBe(seed);
  expect(life().counts()).toMatchObject({ promoted: 1, rolledBack: 1 });
  // Ranks that were the last two days' are no longer, and forecasts are trusted less for it.
  expect(events.filter(({ event }) => event === 'predict.drift').length).toBeGreaterThan(0);
  expect(prediction.drift.trust()).toBeLessThan(1);
});

test('killed nine times in the middle of a trial: it goes on each time with what was on disk, and with nothing else', async () => {
  const home = join(dir, 'killed');
  const registry = await openRegistry(join(home, 'models'));
  const about = { kind: 'scorer', seed: 1, features: FEATURE_NAMES, createdAt: 1, metrics: {} } as const;
  const challenger = await registry.add(scorerFiles(RULES), { ...about, trainedOn: 'site', scorer: RULES });
  await registry.point('challenger', challenger);
  let told = 0;
  for (let kill = 0; kill < 9; kill += 1) {
    const writer = spawn(process.execPath, [new URL('./memory-writer.ts', import.meta.url).pathname, home], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const before = told;
    writer.stdout.setEncoding('utf8');
    // Now at the first word, now in the middle of what follows it.
    while (told < before + 40 + 50 * kill) {
      const [text] = await once(writer.stdout, 'data');
      told = Number(String(text).trim().split('\n').at(-1));
    }
    writer.kill('SIGKILL');
    await once(writer, 'exit');
  }
  const state = openState({ dir: home, flushMs: 60_000, log: () => undefined });
  const life = JSON.parse(state.snapshots.get('predict.life') ?? 'null');
  const drift = JSON.parse(state.snapshots.get('predict.drift') ?? 'null');
  const transitions = JSON.parse(state.snapshots.get('predict.transitions') ?? 'null');
  state.close();
  const kept: number = life.trial.sums.reduce((sum: number, { all }: { all: number }) => sum + all, 0);
  // What was told is on disk, and at most what a kill caught between writing and telling more.
  expect(kept).toBeGreaterThanOrEqual(told);
  expect(kept).toBeLessThanOrEqual(told + 50);
  expect(life.other).toEqual({ role: 'challenger', version: challenger });
  expect(JSON.stringify(life)).not.toContain('viewer-');
  // Each process had the same forty viewers under other names.
  expect(life.trial.sums).toHaveLength(200);
  expect(drift.windows.demand.present.seen).toBeGreaterThanOrEqual(told);
  expect(transitions.titles[0][1]).toBeGreaterThanOrEqual(told - 1);
});
