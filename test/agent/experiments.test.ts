// Experiments over a real state: who is in one, what is kept of a session, restarts, and reports; and the calls about them.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { openExperiments } from '../../agent/experiments.ts';
import { openState, type State } from '../../agent/state.ts';
import { raw } from '../../agent/telemetry/event.ts';
import type { Session, Viewing } from '../../agent/telemetry/session.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-experiments-'));
let directories = 0;
let state: State;
afterAll(() => {
  state.close();
  rmSync(root, { recursive: true, force: true });
});
const open = (dir: string) => openState({ dir, flushMs: 60_000, log: () => undefined });
let dir = '';
beforeEach(() => {
  directories += 1;
  dir = join(root, String(directories));
  if (directories > 1) state.close();
  state = open(dir);
});

const variants = [
  { name: 'control', share: 0.5, policy: 'default' },
  { name: 'without', share: 0.5, policy: 'holdout' },
];
const plan = { id: 'what-previews-change', layer: 'main', from: 0, to: 1, rampRatio: 1, variants };
const viewing = (watchedSeconds: number, isCompleted = false): Viewing => ({
  ...{ titleId: `title-${watchedSeconds}`, positionSeconds: watchedSeconds, watchedSeconds, at: 0, isCompleted },
});

function room(over = state) {
  const clock = { ms: 1_700_000_000_000 };
  const histories = new Map<string, readonly Viewing[]>();
  const experiments = openExperiments({
    state: over,
    sessionOf: (sid): Session | undefined => {
      const history = histories.get(sid);
      return history && { sid: raw(sid), viewer: raw(`viewer of ${sid}`), history, hovers: [], actions: [] };
    },
    isPolicy: (policy) => ['default', 'linucb'].includes(policy),
    now: () => clock.ms,
    random: () => 0.5,
    log: () => undefined,
  });
  return { experiments, histories, clock };
}

describe('sessions', () => {
  test('without consent, or without an experiment, nothing is decided and nothing kept', () => {
    const { experiments, histories } = room();
    experiments.exposed('nobody');
    histories.set('somebody', []);
    expect(experiments.assign({ sid: 'somebody' })).toBeUndefined();
    expect(experiments.start(plan)).toBeUndefined();
    expect(experiments.assign({ sid: 'nobody' })).toBeUndefined();
    experiments.exposed('nobody');
    expect(state.exposures.of(plan.id)).toEqual([]);
  });

  test('are in one variant for good, about half in each', () => {
    const { experiments, histories } = room();
    experiments.start(plan);
    let held = 0;
    for (let n = 0; n < 200; n += 1) {
      histories.set(`s${n}`, []);
      const assigned = experiments.assign({ sid: `s${n}` });
      expect(experiments.assign({ sid: `s${n}` })).toEqual(assigned);
      if (assigned?.isHeldOut === true) held += 1;
      else expect(assigned?.policy).toBe('default');
    }
    expect(Math.abs(held - 100)).toBeLessThan(35);
  });

  test('count once, with what they did before apart from what they did after', () => {
    const { experiments, histories } = room();
    experiments.start(plan);
    histories.set('s', [viewing(600)]);
    experiments.exposed('s');
    experiments.exposed('s');
    histories.set('s', [viewing(600), viewing(300, true), viewing(5)]);
    experiments.sweep();
    const rows = state.exposures.of(plan.id);
    expect(rows).toHaveLength(1);
    expect(rows[0]?.covariates).toEqual([Math.log1p(10), 1, 0]);
    expect(rows[0]?.outcomes[0]).toBe(1);
    expect(rows[0]?.outcomes[1]).toBeCloseTo(305 / 60, 9);
    expect(rows[0]?.outcomes[2]).toBe(1);
    expect(JSON.stringify(rows)).not.toContain('viewer of');
    expect(experiments.stats()).toEqual({ running: 1, units: 1 });
  });

  test('are followed for a day, and no longer', () => {
    const { experiments, histories, clock } = room();
    experiments.start(plan);
    histories.set('s', []);
    experiments.exposed('s');
    clock.ms += 86_400_001;
    experiments.sweep();
    histories.set('s', [viewing(600)]);
    experiments.sweep();
    expect(state.exposures.of(plan.id)[0]?.outcomes).toEqual([0, 0, 0]);
  });
});

test('what runs goes on after a restart, and what was found stays after a stop', async () => {
  const first = room();
  first.experiments.start(plan);
  for (let n = 0; n < 20; n += 1) {
    first.histories.set(`s${n}`, []);
    first.experiments.exposed(`s${n}`);
  }
  state.close();
  state = open(dir);
  const second = room(state);
  second.histories.set('s3', []);
  expect(second.experiments.assign({ sid: 's3' })).toEqual(first.experiments.assign({ sid: 's3' }));
  expect(second.experiments.list()).toMatchObject([{ id: plan.id, units: 20 }]);
  expect(second.experiments.stop(plan.id)).toBe(true);
  expect(second.experiments.stop(plan.id)).toBe(false);
  expect(second.experiments.assign({ sid: 's3' })).toBeUndefined();
  const report = await second.experiments.report(plan.id);
  expect(report?.variants.reduce((sum, { units }) => sum + units, 0)).toBe(20);
  expect(report?.comparisons.every(({ verdict }) => verdict === 'too-little')).toBe(true);
  expect(second.experiments.remove(plan.id)).toBe(true);
  expect(state.exposures.of(plan.id)).toEqual([]);
  expect(second.experiments.list()).toEqual([]);
});

test('off-policy answers come from the newest choices, and only of the last 30 days', async () => {
  const { experiments, clock } = room();
  const today = Math.floor(clock.ms / 86_400_000);
  const choice = (day: number, chosen: number) => ({
    ...{ day, slot: 'preview', titleId: 't', policy: 'linucb', chosen, arms: ['a', 'b'] },
    ...{ propensities: [0.5, 0.5], expected: [0.1, 0.1] },
  });
  for (let n = 0; n < 50; n += 1) state.choices.add(choice(today - 31, 0));
  for (let n = 0; n < 4_500; n += 1) state.choices.reward(state.choices.add(choice(today, n % 2)), n % 2);
  const { slots } = await experiments.policies();
  expect(slots).toMatchObject([{ slot: 'preview', choices: 4_500, reward: 0.5 }]);
  const byDefault = slots[0]?.policies.find(({ policy }) => policy === 'default')?.estimate;
  expect(byDefault?.snips.estimate).toBe(0);
  expect(byDefault?.isDecidable).toBe(true);
});

describe('refused', () => {
  test.each([
    [
      'a policy that nobody has',
      { ...plan, variants: [{ name: 'a', share: 1, policy: 'magic' }] },
      /no policy "magic"/,
    ],
    [
      'shares that do not sum to 1',
      { ...plan, variants: [...variants, { name: 'c', share: 1, policy: 'linucb' }] },
      /sum to 1/,
    ],
  ])('%s', (_name, wrong, message) => {
    const { experiments } = room();
    expect(experiments.start(wrong)).toMatch(message);
    expect(experiments.list()).toEqual([]);
  });

  test('what runs cannot be removed, and what is not there has no report', async () => {
    const { experiments } = room();
    experiments.start(plan);
    expect(experiments.remove(plan.id)).toBe(false);
    expect(await experiments.report('other')).toBeUndefined();
    expect(experiments.start(plan)).toMatch(/already/);
  });

  test('experiments of a later version are left alone', () => {
    state.snapshots.put('experiments', '{"version":2,"experiments":[{"id":"x"}]}');
    expect(room().experiments.list()).toEqual([]);
  });
});
