// Late rewards: each outcome once, only when it can have happened, and nothing for forged, old or impossible reports.
import { beforeEach, describe, expect, test } from 'vitest';
import { openRewards, type Told } from '../../../agent/preview/rewards.ts';
import { openTokens } from '../../../agent/preview/token.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;
const BEGUN = 1_700_000_000_000;
const weights = { played: 0.4, watched: 0.3, completed: 0.2, returned: 0.1 };
const tokens = openTokens(Buffer.alloc(32, 1));
const token = tokens.seal({
  ...{ id: 7, slot: 'preview', title: 'film', arm: 'action', propensity: 0.5, weight: 10, order: 0, issuedAt: BEGUN },
  taste: new Uint8Array(0),
  descriptor: new Uint8Array(3),
});
let now = BEGUN;
let counted = new Map<number, number>();
let take: ReturnType<typeof openRewards>;
beforeEach(() => {
  now = BEGUN;
  counted = new Map();
  const spent = {
    get: (id: number) => counted.get(id) ?? 0,
    add: (id: number, bit: number) => void counted.set(id, (counted.get(id) ?? 0) | bit),
  };
  take = openRewards({ tokens, spent, weights, now: () => now });
});
const at = (ageMs: number, told: Told, durationSeconds?: number) => {
  now = BEGUN + ageMs;
  const { result, rewards } = take(token, told, durationSeconds);
  return { result, amount: rewards.reduce((sum, { amount }) => sum + amount, 0) };
};

describe('outcomes', () => {
  test.each<[string, number, Told, number | undefined, string | undefined, number]>([
    ['opened at once', 0, { type: 'open' }, undefined, 'played', 0.4],
    ['played within ten minutes', 10 * MINUTE, { type: 'play' }, undefined, 'played', 0.4],
    ['played after that', 10 * MINUTE + 1, { type: 'play' }, undefined, 'expired', 0],
    ['two minutes watched', 3 * MINUTE, { type: 'pause', positionSeconds: 120 }, 3_600, 'watched', 0.3],
    ['left before two minutes', 3 * MINUTE, { type: 'stop', positionSeconds: 119 }, 3_600, undefined, 0],
    ['completed', 60 * MINUTE, { type: 'stop', positionSeconds: 3_300 }, 3_600, 'completed', 0.5],
    ['a short title completed', MINUTE, { type: 'stop', positionSeconds: 58 }, 60, 'completed', 0.5],
    ['of unknown length: watched', 90 * MINUTE, { type: 'stop', positionSeconds: 5_000 }, undefined, 'watched', 0.3],
    ['back on the next day', DAY, { type: 'open' }, undefined, 'returned', 0.1],
    ['back after a week', 7 * DAY + 1, { type: 'open' }, undefined, 'expired', 0],
    ['watched days later', 2 * DAY, { type: 'stop', positionSeconds: 500 }, 3_600, 'expired', 0],
    ['a pause that says no position', MINUTE, { type: 'pause' }, 3_600, undefined, 0],
    ['a hover says nothing', MINUTE, { type: 'hover' }, 3_600, undefined, 0],
    ['left the preview', 0, { type: 'unhover' }, undefined, 'failure', 0],
  ])('%s', (_name, ageMs, told, duration, result, amount) => {
    const taken = at(ageMs, told, duration);
    expect(taken.result).toBe(result);
    expect(taken.amount).toBeCloseTo(amount, 12);
  });

  test('all four, each once: together 1', () => {
    const story: [number, Told][] = [
      [0, { type: 'open' }],
      [3 * MINUTE, { type: 'pause', positionSeconds: 130 }],
      [55 * MINUTE, { type: 'stop', positionSeconds: 3_400 }],
      [DAY, { type: 'open' }],
    ];
    const earned = story.map(([ageMs, told]) => at(ageMs, told, 3_600).amount);
    expect(earned.reduce((sum, amount) => sum + amount, 0)).toBeCloseTo(1, 12);
    for (const [ageMs, told] of story) expect(at(ageMs, told, 3_600)).toEqual({ result: 'replayed', amount: 0 });
  });

  test('a preview that was left may still be played, once', () => {
    expect(at(0, { type: 'unhover' }).result).toBe('failure');
    expect(at(1, { type: 'unhover' }).result).toBe('replayed');
    expect(at(2, { type: 'play' }).result).toBe('played');
    expect(at(3, { type: 'unhover' }).result).toBe('replayed');
  });
});

describe('what cannot be', () => {
  test('an hour watched within a second is early', () => {
    expect(at(1_000, { type: 'stop', positionSeconds: 3_590 }, 3_600).result).toBe('early');
    expect(counted.size).toBe(0);
  });

  test('a clock set back makes tokens of the future: refused until it is right again', () => {
    expect(at(-5_000, { type: 'play' }).result).toBe('early');
    expect(at(1_000, { type: 'play' }).result).toBe('played');
  });

  test('a clock set ahead by a year makes them old', () => {
    expect(at(365 * DAY, { type: 'play' }).result).toBe('expired');
  });

  test('a forged and a malformed token change nothing', () => {
    const last = token.endsWith('A') ? 'B' : 'A';
    expect(['forged', 'malformed']).toContain(take(token.slice(0, -1) + last, { type: 'play' }).result);
    expect(take('nonsense', { type: 'play' }).result).toBe('malformed');
    expect(counted.size).toBe(0);
  });

  test('what was counted before a restart counts no more', () => {
    expect(at(0, { type: 'play' }).result).toBe('played');
    const spent = { get: (id: number) => counted.get(id) ?? 0, add: () => undefined };
    const again = openRewards({ tokens, spent, weights, now: () => now });
    expect(again(token, { type: 'play' }).result).toBe('replayed');
  });
});
