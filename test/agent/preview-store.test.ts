// The bandit's memory over the agent's database on a real disk.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { addChoice, addReward, emptyLinear } from '../../agent/preview/bandit-linear.ts';
import type { SlotState } from '../../agent/preview/posteriors.ts';
import { openPreviewStore } from '../../agent/preview-store.ts';
import { openState, type State } from '../../agent/state.ts';
import { banditOver } from '../fake/bandit.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-preview-store-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

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
const open = (state: State, region = 'eu') => openPreviewStore(state, { region, now: () => 1_700_000_000_000 });

function slotState(): SlotState {
  const [steady, quick] = [emptyLinear(8), emptyLinear(8)];
  addChoice(
    steady,
    Float64Array.from({ length: 8 }, (_, n) => n / 3),
    10,
  );
  addReward(
    steady,
    Float64Array.from({ length: 8 }, (_, n) => n / 7),
    4,
  );
  const at = 1_700_000_000_000.5;
  return { length: 3, steady, quick, order: 1.5, drifts: 2, lead: 0.25, at, driftedAt: at - 1, scales: [0.5, 4] };
}

test('models, arms and guards are the same after a restart, and of another region nothing', () => {
  const dir = fresh();
  const first = openDir(dir);
  const store = open(first);
  const arm = { information: 2, response: -0.5, at: 5 };
  store.saveSlot('preview', slotState());
  store.saveArm({ slot: 'preview', title: 'film', arm: 'action' }, arm);
  store.saveGuard({ slot: 'preview', arm: 'action' }, { plays: 4, completions: 2, stoppedUntil: 9 });
  first.close();
  const again = open(openDir(dir));
  expect(again.loadSlot('preview')).toEqual(slotState());
  expect(again.loadSlot('artwork')).toBeUndefined();
  expect(again.loadArm('preview', 'film', 'action')).toEqual(arm);
  expect(again.loadArm('artwork', 'film', 'action')).toBeUndefined();
  expect([...again.armsOf('preview')]).toEqual([arm]);
  expect(again.guards()).toMatchObject([{ slot: 'preview', arm: 'action', plays: 4 }]);
  opened.pop()?.close();
  expect(open(openDir(dir), 'us').loadSlot('preview')).toBeUndefined();
});

describe('a stored model that is damaged begins anew', () => {
  test.each([
    ['cut short', 'UPDATE bandits SET steady_response = zeroblob(7)'],
    ['not finite', `UPDATE bandits SET quick_response = x'${'000000000000f87f'.repeat(8)}'`],
    ['of a later version', `UPDATE bandits SET json = '{"version":3}'`],
    ['no JSON', `UPDATE bandits SET json = '{'`],
    ['of another length', 'UPDATE bandits SET length = 4'],
  ])('%s', (_name, sql) => {
    const dir = fresh();
    const state = openDir(dir);
    open(state).saveSlot('preview', slotState());
    state.close();
    const database = new DatabaseSync(join(dir, 'state.sqlite'));
    database.exec(sql);
    database.close();
    expect(open(openDir(dir)).loadSlot('preview')).toBeUndefined();
  });
});

test('a choice is numbered once, its reward joins it, and what a token counted for is kept', () => {
  const dir = fresh();
  const first = openDir(dir);
  const store = open(first);
  const choice = {
    ...{ day: 20_000, slot: 'preview', titleId: 'film', policy: 'linucb', chosen: 0 },
    ...{ arms: ['a', 'b'], propensities: [0.9, 0.1], expected: [0.2, 0.1] },
  };
  const id = store.addChoice(choice);
  const other = store.addChoice(choice);
  store.addReward(id, 0.4);
  store.addReward(id, 0.9);
  store.spent.add(id, 1);
  store.spent.add(id, 4);
  expect(first.choices.since(0).map(({ reward }) => reward)).toEqual([1, 0]);
  first.close();
  const again = open(openDir(dir));
  expect([again.spent.get(id), again.spent.get(other)]).toEqual([5, 0]);
});

test('killed in the middle of writing: no half row, nothing told is lost, and no token counts twice', async () => {
  const dir = fresh();
  const child = spawn(process.execPath, [fileURLToPath(new URL('bandit-writer.ts', import.meta.url)), dir]);
  const tokens: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    const [count, token = ''] = line.split(' ');
    tokens.push(token);
    if (count === '25') child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  const state = openDir(dir);
  expect(state.stats().recoveries).toBe(0);
  const store = open(state);
  const model = store.loadSlot('preview');
  const choices = state.choices.since(0);
  expect(choices.length).toBeGreaterThanOrEqual(tokens.length);
  expect(choices.every(({ reward }) => reward === 1)).toBe(true);
  // Evidence fades with time only, and no time passed: the model holds each choice that the log holds, once.
  expect(model?.steady.weight).toBe(choices.length);
  const { bandit } = banditOver(store, {});
  for (const token of tokens) expect(bandit.told(token, { type: 'play' })).toBe('replayed');
  expect(state.choices.since(0).reduce((sum, { reward }) => sum + reward, 0)).toBe(choices.length);
});
