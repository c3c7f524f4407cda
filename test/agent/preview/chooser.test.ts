// The chooser with its rewards: tokens are single-use, signed and expire, and what is rewarded is shown more often.
import { expect, test } from 'vitest';
import { openChooser } from '../../../agent/preview/chooser.ts';
import type { TitlePosteriors } from '../../../agent/preview/posteriors.ts';
import type { PreviewRecord } from '../../../agent/preview/rewards.ts';

const ARMS = ['a', 'b', 'c'].map((id, index) => ({ id, features: Float64Array.of(index / 2, 0.5) }));

function open(random = () => 0.5) {
  const clock = { ms: 1_700_000_000_000 };
  const saved = new Map<string, TitlePosteriors>();
  const records: PreviewRecord[] = [];
  const chooser = openChooser({
    store: {
      load: (id) => saved.get(id) ?? {},
      save: (id, posteriors) => void saved.set(id, posteriors),
      log: (record) => void records.push(record),
    },
    secret: Buffer.alloc(32, 1),
    now: () => clock.ms,
    random,
  });
  const choose = (context?: Float64Array) =>
    chooser.choose({ slot: 'preview', titleId: 'film', arms: ARMS, ...(context === undefined ? {} : { context }) });
  return { chooser, choose, saved, records, clock };
}

test.each([
  ['open', 'success'],
  ['play', 'success'],
  ['unhover', 'failure'],
] as const)('%s is a %s, counted once', async (outcome, result) => {
  const { chooser, choose, saved, records } = open();
  const token = chooser.shown(choose());
  expect(chooser.reward(token, outcome)).toBe(result);
  expect(chooser.reward(token, 'play')).toBe('replayed');
  await chooser.close();
  expect(saved.size).toBe(1);
  expect(records.map(({ kind }) => kind)).toEqual(['choice', 'reward']);
});

test('silence is a failure, a late token worth nothing, a forged one neither', async () => {
  const { chooser, choose, clock } = open();
  const token = chooser.shown(choose());
  expect(chooser.reward(`${token.slice(0, -3)}AAA`, 'play')).toBe('forged');
  expect(chooser.reward('nonsense', 'play')).toBe('malformed');
  clock.ms += 600_000;
  chooser.sweep();
  expect(chooser.reward(token, 'play')).toBe('expired');
  expect(chooser.stats()).toMatchObject({ expiries: 1, waiting: 0 });
  await chooser.close();
});

test('a choice that is not shown is not logged', () => {
  const { choose, records } = open();
  choose();
  expect(records).toEqual([]);
});

test('a taste moves the chances towards the arm that is near to it', () => {
  const { choose } = open();
  const near = choose(Float64Array.of(1, 0.5)).propensities;
  expect(near[2]).toBeGreaterThan((choose().propensities[2] ?? 1) + 0.1);
  expect(near.reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 9);
});

test('rewards change what is shown next', async () => {
  const { chooser, choose } = open(() => 0.999);
  for (let count = 0; count < 30; count += 1) {
    const choice = choose();
    chooser.reward(chooser.shown(choice), choice.index === 2 ? 'play' : 'unhover');
    await chooser.close();
  }
  expect(choose().propensities[2]).toBeGreaterThan(0.8);
});
