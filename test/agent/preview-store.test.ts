// The preview's memory over the agent's database on a real disk.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { ARMS } from '../../agent/preview/moments.ts';
import type { PreviewRecord } from '../../agent/preview/rewards.ts';
import { openPreviewStore } from '../../agent/preview-store.ts';
import { openState, type State } from '../../agent/state.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-preview-store-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const [ARM] = ARMS;

let count = 0;
let opened: State[] = [];
afterEach(() => {
  for (const state of opened) state.close();
  opened = [];
});
function openDir(dir: string): State {
  const state = openState({ dir, flushMs: 60_000, log: () => undefined });
  opened.push(state);
  return state;
}
const fresh = (): string => {
  count += 1;
  return join(root, String(count));
};

const line = (id: string) => ({ version: 1, id, day: 20_000, title: 'film', arm: ARM, propensity: 0.25 }) as const;
const choice = (id: string): PreviewRecord => ({ ...line(id), kind: 'choice', answer: 'cohort', arms: [] });
const reward = (id: string, value: 0 | 1): PreviewRecord => ({
  ...line(id),
  kind: 'reward',
  reward: value,
  outcome: value === 1 ? 'play' : 'unhover',
});

test('posteriors are the same after a restart, and empty for a title never shown', async () => {
  const dir = fresh();
  const first = openDir(dir);
  const store = openPreviewStore(first);
  const counts = Object.fromEntries(
    ARMS.map((arm, index) => [arm, { successes: index + 0.5, failures: 2, at: 7_000 }]),
  );
  store.save('film', counts);
  expect(store.load('film')).toEqual(counts);
  first.close();
  const again = openPreviewStore(openDir(dir));
  expect(again.load('film')).toEqual(counts);
  expect(again.load('other')).toEqual({});
});

test('an arm that this version does not know is left out', () => {
  const state = openDir(fresh());
  state.arms.put({ titleId: 'film', arm: 'an-arm-of-another-version', successes: 1, failures: 1, updatedAt: 1 });
  state.arms.put({ titleId: 'film', arm: ARM, successes: 1, failures: 1, updatedAt: 1 });
  expect(openPreviewStore(state).load('film')).toEqual({ [ARM]: { successes: 1, failures: 1, at: 1 } });
});

test('a reward joins its choice, once, and nothing but its own', () => {
  const state = openDir(fresh());
  const store = openPreviewStore(state);
  for (const id of ['one', 'two', 'three']) store.log(choice(id));
  store.log(reward('two', 1));
  store.log(reward('two', 0));
  store.log(reward('three', 0));
  store.log(reward('never chosen here', 1));
  const row = { day: 20_000, titleId: 'film', arm: ARM, propensity: 0.25 };
  expect(state.choices.since(0)).toEqual([row, { ...row, reward: 1 }, { ...row, reward: 0 }]);
});

test('nothing that names a choice or a viewer is written', () => {
  const state = openDir(fresh());
  openPreviewStore(state).log(choice('the-nonce-of-a-token'));
  expect(JSON.stringify(state.choices.since(0))).not.toContain('the-nonce');
});

test('of more choices than may wait, the oldest goes without its reward', () => {
  const state = openDir(fresh());
  const store = openPreviewStore(state);
  for (let i = 0; i <= 20_000; i += 1) store.log(choice(String(i)));
  store.log(reward('0', 1));
  store.log(reward('1', 1));
  const rewarded = state.choices.since(0).map((row) => row.reward);
  expect(rewarded.slice(0, 3)).toEqual([undefined, 1, undefined]);
});
