// Decisions under chance, on data whose truth is known: whether one ranking beats another, and what of that is kept.
import { describe, expect, test } from 'vitest';
import { pairedDifference, type ViewerPair } from '../../../agent/model/bootstrap.ts';
import { gainAt, openTrial, placeOf } from '../../../agent/model/trial.ts';
import { raw } from '../../../agent/telemetry/event.ts';
import { type Random, seededRandom } from '../../../agent/train/random.ts';

/** Viewers with tastes of their own, so that a viewer's questions hang together; `gain` is how much better ours is. */
function viewersOf(count: number, gain: number, random: Random): readonly ViewerPair[] {
  return Array.from({ length: count }, () => {
    const questions = 3 + Math.floor(random() * 15);
    const taste = 0.2 + 0.3 * random();
    const own = (random() - 0.5) * 0.2;
    let ours = 0;
    let theirs = 0;
    for (let question = 0; question < questions; question += 1) {
      if (random() < taste + own + gain) ours += 1;
      if (random() < taste) theirs += 1;
    }
    return { questions, ours, theirs };
  });
}

describe('the bootstrap by viewers', () => {
  const options = { seed: 1, rounds: 400, alpha: 0.025 };

  test('its interval holds the truth about as often as it says', () => {
    const random = seededRandom(9);
    let low = 0;
    let high = 0;
    for (let round = 0; round < 200; round += 1) {
      const difference = pairedDifference(viewersOf(100, 0.05, random), options);
      if (difference.low > 0.05) low += 1;
      if (difference.high < 0.05) high += 1;
    }
    expect(low / 200).toBeLessThan(0.06);
    expect(high / 200).toBeLessThan(0.06);
    expect((low + high) / 200).toBeGreaterThan(0.01);
  });

  test('the same pairs and seed give the same answer; no viewers leave all open', () => {
    const pairs = viewersOf(50, 0.1, seededRandom(2));
    expect(pairedDifference(pairs, options)).toEqual(pairedDifference(pairs, options));
    expect(pairedDifference([], options)).toMatchObject({ low: -Infinity, high: Infinity, viewers: 0 });
  });

  test('more viewers than are drawn one by one are put together, with the same width', () => {
    const pairs = viewersOf(6000, 0.05, seededRandom(4));
    const many = pairedDifference(pairs, options);
    expect(many.viewers).toBe(6000);
    expect(many.high - many.low).toBeLessThan(0.03);
    expect(many.low).toBeLessThan(0.05);
    expect(many.high).toBeGreaterThan(0.05);
  });
});

/** A whole trial of a challenger that is better by `gain` than a champion of 0.4, until it is decided. */
function verdictOf(seed: number, gain: number, rules = 0.2): string {
  const random = seededRandom(seed);
  const trial = openTrial();
  const own = Array.from({ length: 40 }, () => (random() - 0.5) * 0.2);
  for (let question = 0; question < 16_500; question += 1) {
    const viewer = Math.floor(random() * own.length);
    const hit = (chance: number) => (random() < chance ? 1 : 0);
    trial.add(raw(`v${viewer}`), {
      champion: hit(0.4),
      other: hit(0.4 + gain + (own[viewer] ?? 0)),
      baselines: { rules: hit(rules) },
    });
    const look = question % 250 === 0 ? trial.look('challenger') : undefined;
    if (look !== undefined && look.verdict !== 'none') return look.verdict;
  }
  return 'none';
}

describe('the trial', () => {
  test('promotes hardly any challenger that is no better, and almost all that are', () => {
    const seeds = Array.from({ length: 30 }, (_, seed) => seed);
    const promoted = (gain: number) =>
      seeds.filter((seed) => verdictOf(seed, gain) === 'promote').length / seeds.length;
    expect(promoted(0)).toBeLessThanOrEqual(0.05);
    expect(promoted(0.1)).toBeGreaterThanOrEqual(0.95);
  });

  test('better than the champion is not enough: plain rules must be beaten too', () => {
    expect(verdictOf(1, 0.1, 0.55)).toBe('rollBack');
    expect(verdictOf(1, 0.1, 0.3)).toBe('promote');
  });

  test('one that is worse is withdrawn; a champion that falls behind the one before it is rolled back', () => {
    expect(verdictOf(5, -0.15)).toBe('withdraw');
    const random = seededRandom(8);
    const trial = openTrial();
    for (let question = 0; question < 1200; question += 1) {
      const gains = { champion: random() < 0.3 ? 1 : 0, other: random() < 0.5 ? 1 : 0, baselines: {} };
      trial.add(raw(`v${question % 50}`), gains);
    }
    expect(trial.look('predecessor')).toMatchObject({ verdict: 'rollBack' });
    // Looked at: the next decision is at twice as many.
    expect(trial.look('predecessor')).toBeUndefined();
    expect(trial.report()).toMatchObject({ viewers: 50, questions: 1200, nextLook: 2000 });
  });

  test('few viewers decide nothing, however much they ask; who is forgotten counts no more', () => {
    const trial = openTrial();
    for (let question = 0; question < 5000; question += 1) {
      trial.add(raw(`v${question % 20}`), { champion: 0, other: 1, baselines: { rules: 0 } });
    }
    expect(trial.look('challenger')).toBeUndefined();
    trial.forget(new Set(['v0', 'v1']));
    expect(trial.report()).toMatchObject({ viewers: 18, questions: 4500, championNdcg: 0, otherNdcg: 1 });
  });

  test('goes on from what was kept, which names nobody, with the same verdict', () => {
    const random = seededRandom(3);
    const before = openTrial();
    const ask = (trial: ReturnType<typeof openTrial>, from: number, count: number): void => {
      for (let question = from; question < from + count; question += 1) {
        const [champion, other] = [random() < 0.4 ? 1 : 0, random() < 0.6 ? 1 : 0];
        // Every tenth answer of the other model is late.
        const answer = question % 10 === 0 ? undefined : other;
        trial.add(raw(`viewer-${question % 45}`), { champion, other: answer, baselines: { rules: 0 } });
      }
    };
    ask(before, 0, 900);
    const text = JSON.stringify(before.kept());
    expect(text).not.toContain('viewer-');
    const after = openTrial(JSON.parse(text));
    expect(after.report()).toEqual(before.report());
    expect(after.kept()).toEqual(before.kept());
    ask(after, 900, 300);
    expect(after.look('challenger')).toMatchObject({ verdict: 'promote' });
    expect(after.report()).toMatchObject({ questions: 1200, nextLook: 2000 });
    // What is kept is not what goes on.
    expect(JSON.stringify(before.kept())).toBe(text);
  });

  test('of many viewers keeps the sums of groups: bounded, and as wide an interval', () => {
    const trial = openTrial();
    const random = seededRandom(12);
    for (let question = 0; question < 3_000; question += 1) {
      const viewer = question % 1_000;
      const own = viewer % 7 === 0 ? 0.3 : 0;
      const gains = { champion: random() < 0.4 ? 1 : 0, other: random() < 0.4 + own ? 1 : 0, baselines: {} };
      trial.add(raw(`v${viewer}`), gains);
    }
    const kept = trial.kept();
    expect(kept.sums).toHaveLength(200);
    const after = openTrial(kept);
    expect(after.report()).toEqual(trial.report());
    const [one, other] = [trial.look('challenger'), after.look('challenger')].map(
      (look) => look?.differences['challenger - champion'],
    );
    expect(other?.mean).toBeCloseTo(one?.mean ?? 0, 9);
    const width = (difference: typeof one) => (difference?.high ?? 0) - (difference?.low ?? 0);
    expect(width(other) / width(one)).toBeGreaterThan(0.8);
    expect(width(other) / width(one)).toBeLessThan(1.25);
  });

  test('places and gains', () => {
    expect([placeOf([1, 3, 2], 1), placeOf([1, 3, 2], 0), placeOf([1, 1, 1], 0), placeOf([1], 4)]).toEqual([
      1,
      3,
      2,
      undefined,
    ]);
    expect([gainAt(1), gainAt(3), gainAt(11), gainAt(undefined)]).toEqual([1, 0.5, 0, 0]);
  });
});
