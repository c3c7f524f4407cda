// What prediction keeps over a restart, with rules alone: popularity as it was, or none at all.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { openPrediction, type Prediction, type PredictionOptions } from '../../agent/prediction.ts';
import { openState, type State } from '../../agent/state.ts';

const DAY_MS = 86_400_000;
const HALF_LIFE_MS = 14 * DAY_MS;
const root = mkdtempSync(join(tmpdir(), 'nearcast-prediction-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let now = 1_000 * DAY_MS;
let logged: string[] = [];
let closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
  logged = [];
});

function openSnapshots(name: string): State {
  const state = openState({ dir: join(root, name), flushMs: 60_000, log: (_level, event) => logged.push(event) });
  closers.push(state.close);
  return state;
}

async function open(snapshots: PredictionOptions['snapshots']): Promise<Prediction> {
  const prediction = await openPrediction({
    titles: () => ['a', 'b', 'c'].map((id) => ({ id })),
    catalogueVersion: () => 1,
    region: 'here',
    modelsDir: join(root, 'models'),
    hasModel: false,
    retrain: { promotion: 'auto', minutes: 1, maxBytes: 2 ** 29, minReachRatio: 0 },
    watches: () => [],
    pace: () => 1,
    deadlineMs: 1_000,
    snapshots,
    now: () => now,
    log: (_level, event) => logged.push(event),
  });
  closers.push(prediction.close);
  return prediction;
}

const watch = (prediction: Prediction, titleId: string, times: number): void => {
  for (let i = 0; i < times; i += 1) prediction.popularity.add({ titleId, region: 'here', at: now }, now);
};

describe('popularity', () => {
  test('is what it was after a restart, and as old as it is then', async () => {
    const state = openSnapshots('kept');
    const before = await open(state.snapshots);
    watch(before, 'a', 6);
    watch(before, 'b', 2);
    before.save();
    state.close();

    now += HALF_LIFE_MS;
    const after = await open(openSnapshots('kept').snapshots);
    expect(after.popularity.shares('here', now, 9)).toEqual([
      { titleId: 'a', share: 0.75 },
      { titleId: 'b', share: 0.25 },
    ]);
    // Four new views are worth as much as the eight of a half-life ago.
    watch(after, 'b', 4);
    expect(after.popularity.shares('here', now, 9)).toMatchObject([
      { titleId: 'b', share: 0.625 },
      { titleId: 'a', share: 0.375 },
    ]);
    expect(logged).toEqual([]);
  });

  const region = (titles: unknown) => ({
    region: 'here',
    total: { value: 1, at: 0 },
    squares: { value: 1, at: 0 },
    titles,
  });
  const whole = { version: 1, halfLifeMs: HALF_LIFE_MS };
  test.each([
    ['no JSON', '{'],
    ['null', 'null'],
    ['a later version', JSON.stringify({ ...whole, version: 2, regions: [] })],
    ['another half-life', JSON.stringify({ ...whole, halfLifeMs: 1, regions: [] })],
    ['no regions', JSON.stringify(whole)],
    [
      'a region broken behind a good one',
      JSON.stringify({ ...whole, regions: [region([['a', 9, 0]]), { region: 'x' }] }),
    ],
    ['a counter that is text', JSON.stringify({ ...whole, regions: [region([['a', 'many', 0]])] })],
  ])('begins anew from a snapshot that is %s', async (_name, text) => {
    const state = openSnapshots('garbage');
    state.snapshots.put('popularity', text);
    const prediction = await open(state.snapshots);
    expect(logged).toEqual(['popularity.unreadable']);
    expect(prediction.popularity.shares('here', now, 9)).toEqual([]);
    watch(prediction, 'c', 1);
    prediction.save();
    expect((await open(state.snapshots)).popularity.shares('here', now, 9)).toEqual([{ titleId: 'c', share: 1 }]);
  });
});

test('answers by rules are counted and timed, and name no model', async () => {
  const prediction = await open(openSnapshots('rules').snapshots);
  watch(prediction, 'b', 3);
  const ranking = await prediction.rank({ session: undefined, limit: 5 });
  expect(ranking.answeredBy).toBe('rules');
  expect(ranking.titles[0]?.titleId).toBe('b');
  expect(prediction.seconds.rules.counts.at(-1)).toBe(1);
  expect(prediction.seconds.model.counts.at(-1)).toBe(0);
  expect(prediction.models()).toEqual([]);
});
