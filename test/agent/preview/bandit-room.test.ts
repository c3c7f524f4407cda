// The bandit from outside: it learns what is liked by whom, forgets what no longer holds, stops what does harm, and nothing
// happens before a choice is shown.
import { describe, expect, test } from 'vitest';
import type { Choice } from '../../../agent/preview/choice.ts';
import { fakeBandit, memoryStore } from '../../fake/bandit.ts';
import { chances } from '../../fake/chance.ts';

const DAY = 86_400_000;

const arms = [
  { id: 'calm', features: Float64Array.of(0, 1, 0.5) },
  { id: 'wild', features: Float64Array.of(1, 0, 0.5) },
];
const calmViewer = Float64Array.of(0.1, 0.9, 0.5);
const wildViewer = Float64Array.of(0.9, 0.1, 0.5);
const asked = { slot: 'preview', titleId: 'film', arms } as const;
const chanceOf = (choice: Choice, index: number) => choice.propensities[index] ?? Number.NaN;

/** So many previews; `likes` says which arm a viewer plays, three times of ten, or as often as `ratioAt` says. */
function live(
  room: ReturnType<typeof fakeBandit>,
  rounds: number,
  likes: (isCalm: boolean) => number,
  ratioAt = (_round: number) => 0.3,
): void {
  const { bandit, clock } = room;
  const luck = chances(rounds);
  for (let n = 0; n < rounds; n += 1) {
    const isCalm = n % 2 === 0;
    const choice = bandit.choose({ ...asked, context: isCalm ? calmViewer : wildViewer });
    const token = bandit.shown(choice);
    if (choice.index === likes(isCalm) && luck() < ratioAt(n)) bandit.told(token, { type: 'play' });
    clock.ms += 5 * 60_000;
    bandit.sweep();
  }
}

describe.each(['linucb', 'thompson'])('%s', (policy) => {
  test('shows each what it likes, after some hundred previews', () => {
    const room = fakeBandit({ settings: { policy }, random: chances(1) });
    live(room, 400, (isCalm) => (isCalm ? 0 : 1));
    expect(chanceOf(room.bandit.choose({ ...asked, context: calmViewer }), 0)).toBeGreaterThan(0.9);
    expect(chanceOf(room.bandit.choose({ ...asked, context: wildViewer }), 1)).toBeGreaterThan(0.9);
    expect(room.bandit.choose({ ...asked, context: calmViewer }).expected[0]).toBeGreaterThan(0.2);
  });

  test('finds that tastes have turned, and turns', () => {
    const room = fakeBandit({ settings: { policy }, random: chances(2) });
    live(room, 600, (isCalm) => (isCalm ? 0 : 1));
    live(room, 600, (isCalm) => (isCalm ? 1 : 0));
    expect(room.bandit.stats().drifts).toBeGreaterThan(0);
    expect(chanceOf(room.bandit.choose({ ...asked, context: calmViewer }), 1)).toBeGreaterThan(0.9);
  });

  test('every arm keeps its floor, and the log has the chance that was drawn from', () => {
    const { bandit, store } = fakeBandit({ settings: { policy, explorationRatio: 0.1 }, random: chances(3) });
    for (let n = 0; n < 50; n += 1) bandit.shown(bandit.choose({ ...asked, context: wildViewer }));
    for (const { propensities, chosen, policy: by } of store.log) {
      expect(propensities.reduce((sum, chance) => sum + chance, 0)).toBeCloseTo(1, 9);
      for (const chance of propensities) expect(chance).toBeGreaterThanOrEqual(0.05 - 1e-12);
      expect(propensities[chosen]).toBeGreaterThan(0);
      expect(by).toBe(policy);
    }
  });
});

test('a tide of the day, in which all is played less or more, is no drift', () => {
  const room = fakeBandit({ random: chances(9) });
  const dayRounds = DAY / (5 * 60_000);
  live(
    room,
    3 * dayRounds,
    (isCalm) => (isCalm ? 0 : 1),
    (round) => 0.3 + 0.15 * Math.sin((2 * Math.PI * round) / dayRounds),
  );
  expect(room.bandit.stats().drifts).toBe(0);
  expect(chanceOf(room.bandit.choose({ ...asked, context: wildViewer }), 1)).toBeGreaterThan(0.9);
});

test('what an arm proved to be by itself is void after a drift', () => {
  const room = fakeBandit({ random: chances(2) });
  const expected = (titleId: string) => room.bandit.choose({ ...asked, titleId, context: wildViewer }).expected;
  live(room, 600, (isCalm) => (isCalm ? 0 : 1));
  for (let n = 0; n < 60; n += 1) {
    const token = room.bandit.shown(room.bandit.choose({ ...asked, titleId: 'proven', context: wildViewer }));
    room.bandit.told(token, { type: 'play' });
  }
  expect(expected('proven')).not.toEqual(expected('never seen'));
  live(room, 600, (isCalm) => (isCalm ? 1 : 0));
  expect(room.bandit.stats().drifts).toBeGreaterThan(0);
  expect(expected('proven')).toEqual(expected('never seen'));
});

test('a title never seen begins with what others taught of its looks', () => {
  const room = fakeBandit({ random: chances(4) });
  live(room, 400, (isCalm) => (isCalm ? 0 : 1));
  const cold = room.bandit.choose({ ...asked, titleId: 'premiere', context: wildViewer });
  expect(chanceOf(cold, 1)).toBeGreaterThan(0.8);
});

test('a choice has no effect before it is shown', () => {
  const { bandit, store } = fakeBandit();
  for (let n = 0; n < 10; n += 1) bandit.choose({ ...asked, context: calmViewer });
  expect(store.log).toEqual([]);
  expect(bandit.stats().choices.preview).toBe(0);
});

test('a late reward teaches what an early one would have', () => {
  const expectedAfter = (lateMs: number) => {
    const { bandit, clock } = fakeBandit({
      settings: { weights: { played: 0.4, watched: 0.3, completed: 0.2, returned: 0.1 } },
    });
    const tokens = Array.from({ length: 20 }, () => bandit.shown(bandit.choose({ ...asked, context: calmViewer })));
    clock.ms += lateMs;
    for (const token of tokens) bandit.told(token, { type: 'stop', positionSeconds: 500 }, 3_600);
    return bandit.choose({ ...asked, context: calmViewer }).expected;
  };
  const [early, late] = [expectedAfter(300_000), expectedAfter(3_600_000)];
  for (const [index, value] of early.entries()) expect(late[index]).toBeCloseTo(value, 5);
});

describe('what a restart keeps', () => {
  test('models, counted tokens and stops', () => {
    const store = memoryStore();
    const first = fakeBandit({ store, random: chances(5) });
    live(first, 200, (isCalm) => (isCalm ? 0 : 1));
    const choice = first.bandit.choose({ ...asked, context: wildViewer });
    const token = first.bandit.shown(choice);
    expect(first.bandit.told(token, { type: 'play' })).toBe('played');
    first.bandit.save();
    const second = fakeBandit({ store });
    second.clock.ms = first.clock.ms;
    expect(second.bandit.told(token, { type: 'play' })).toBe('replayed');
    const [before, after] = [first, second].map(({ bandit }) => bandit.choose({ ...asked, context: wildViewer }));
    expect(after?.expected).toEqual(before?.expected);
  });

  test('looks of another length begin anew, and old tokens teach nothing', () => {
    const store = memoryStore();
    const first = fakeBandit({ store, random: chances(6) });
    const token = first.bandit.shown(first.bandit.choose({ ...asked, context: wildViewer }));
    first.bandit.save();
    const { bandit } = fakeBandit({ store });
    const longer = arms.map(({ id }, n) => ({ id, features: Float64Array.of(n, n, n, n, n) }));
    const choice = bandit.choose({ ...asked, arms: longer });
    bandit.shown(choice);
    expect(bandit.told(token, { type: 'play' })).toBe('played');
    expect(bandit.choose({ ...asked, arms: longer }).expected.every(Number.isFinite)).toBe(true);
  });
});

describe('an arm that is a bait', () => {
  /** Previews of `bait` are always played and never completed; those of `fair` are played and completed by half. */
  function baited(rounds: number) {
    const room = fakeBandit({ settings: { policy: 'uniform' }, random: chances(8) });
    const offered = [
      { id: 'fair', features: arms[0]?.features ?? new Float64Array(3) },
      { id: 'bait', features: arms[1]?.features ?? new Float64Array(3) },
    ];
    const ask = () => room.bandit.choose({ slot: 'preview', titleId: 'film', arms: offered });
    for (let n = 0; n < rounds; n += 1) {
      const choice = ask();
      const token = room.bandit.shown(choice);
      room.bandit.told(token, { type: 'play' });
      room.clock.ms += 200_000;
      if (choice.index === 0 && n % 2 === 0) room.bandit.told(token, { type: 'stop', positionSeconds: 180 }, 190);
    }
    room.bandit.sweep();
    return { ...room, ask };
  }

  test('is stopped, and let in again after its rest', () => {
    const { bandit, clock, ask } = baited(600);
    expect(bandit.stats().stopped).toMatchObject([{ slot: 'preview', arm: 'bait' }]);
    expect(ask().propensities).toEqual([1, 0]);
    clock.ms += 7 * DAY;
    expect(ask().propensities).toEqual([0.5, 0.5]);
  });

  test('is not stopped for its first plays', () => {
    expect(baited(20).bandit.stats().stopped).toEqual([]);
  });

  test('a clock set back far ends the stop rather than prolong it', () => {
    const { clock, ask } = baited(600);
    clock.ms -= 30 * DAY;
    expect(ask().propensities).toEqual([0.5, 0.5]);
  });
});

describe('bad questions', () => {
  test('without arms there is none to choose, and such a choice cannot be shown', () => {
    const { bandit } = fakeBandit();
    const choice = bandit.choose({ ...asked, arms: [] });
    expect(choice).toMatchObject({ index: -1, propensities: [] });
    expect(() => bandit.shown(choice)).toThrow(RangeError);
  });

  test.each([
    ['one arm', arms.slice(0, 1), undefined],
    ['arms of several lengths', [...arms, { id: 'odd', features: Float64Array.of(1) }], undefined],
    ['a taste of another length', arms, Float64Array.of(1)],
    [
      'descriptors of nothing',
      [
        { id: 'a', features: new Float64Array(0) },
        { id: 'b', features: new Float64Array(0) },
      ],
      undefined,
    ],
  ])('%s: the default', (_name, offered, context) => {
    const { bandit } = fakeBandit();
    const choice = bandit.choose({ ...asked, arms: offered, ...(context === undefined ? {} : { context }) });
    expect(choice).toMatchObject({ index: 0, propensity: 1, policy: 'default' });
    expect(bandit.shown(choice)).toMatch(/^[\w-]+$/);
  });

  test('numbers that are none are neutral', () => {
    const { bandit } = fakeBandit();
    const choice = bandit.choose({ ...asked, context: Float64Array.of(Number.NaN, Number.POSITIVE_INFINITY, -1) });
    expect(choice.expected.every(Number.isFinite)).toBe(true);
  });
});

describe('rankers of modules', () => {
  const rankers = [
    { id: 'second', propensities: () => [0, 1] },
    { id: 'broken', propensities: () => [0.7, 0.7] },
    {
      id: 'throwing',
      propensities: () => {
        throw new Error('no');
      },
    },
  ];

  test('choose, within the floor', () => {
    const { bandit } = fakeBandit({ rankers, settings: { policy: 'second', explorationRatio: 0.1 } });
    const choice = bandit.choose(asked);
    expect(choice.policy).toBe('second');
    expect(choice.propensities[1]).toBeCloseTo(0.95, 12);
  });

  test.each(['broken', 'throwing'])('%s: the own policy chooses, and it is counted', (policy) => {
    const { bandit } = fakeBandit({ rankers, settings: { policy } });
    expect(bandit.choose(asked).policy).toBe('linucb');
    expect(bandit.stats().badRankings).toBe(1);
  });
});

describe('experiments', () => {
  test('decide the policy of a session, and expose it when something is shown', () => {
    const exposed: string[] = [];
    const { bandit } = fakeBandit({
      assign: ({ sid }) => (sid === 'in' ? { policy: 'default', isHeldOut: false } : undefined),
      exposed: (sid) => void exposed.push(sid),
    });
    const choice = bandit.choose({ ...asked, sid: 'in' });
    expect(choice).toMatchObject({ policy: 'default', propensities: [1, 0] });
    expect(bandit.choose({ ...asked, sid: 'out' }).policy).toBe('linucb');
    expect(exposed).toEqual([]);
    bandit.shown(choice);
    expect(exposed).toEqual(['in']);
  });

  test('the holdout is exposed, but nothing is logged and there is no token', () => {
    const exposed: string[] = [];
    const { bandit, store } = fakeBandit({
      assign: () => ({ isHeldOut: true }),
      exposed: (sid) => void exposed.push(sid),
    });
    const choice = bandit.choose({ ...asked, sid: 's' });
    expect(choice.isHeldOut).toBe(true);
    expect(bandit.shown(choice)).toBe('');
    expect([exposed, store.log]).toEqual([['s'], []]);
  });
});
