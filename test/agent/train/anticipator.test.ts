// The small transformer of viewers' next seconds: it starts from the hazards, learns what they cannot know, and repeats.
import { describe, expect, test } from 'vitest';
import { type AnticipatorExample, anticipate, fitAnticipator } from '../../../agent/train/anticipator.ts';
import { seededRandom } from '../../../agent/train/random.ts';

const HAZARD = [0.4, 0.3, 0.1, 0.1, 0.1];

/** Viewers who pause again if they paused the time before last; the hazards know nothing of that. */
function examples(count: number, seed: number): AnticipatorExample[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const kinds = Array.from({ length: 1 + Math.floor(random() * 5) }, () => 1 + Math.floor(random() * 4));
    const deeds = kinds.map((kind, at) => ({ kind, secondsAgo: 100 - 10 * at, positionSeconds: 10 * at }));
    const outcome = kinds.at(-2) === 2 ? 1 : 0;
    return { deeds, positionSeconds: 200, durationSeconds: 1000, hazard: HAZARD, outcome, weight: 1 };
  });
}

describe('the anticipator', () => {
  test('says what the hazards say before it has learnt anything', async () => {
    const weights = await fitAnticipator(examples(8, 1), { seed: 1, steps: 0 });
    const [first] = await anticipate(weights, examples(1, 2));
    HAZARD.forEach((chance, at) => {
      expect(first?.[at]).toBeCloseTo(chance, 5);
    });
  });

  test('learns from the order of deeds what hazards cannot know', async () => {
    const weights = await fitAnticipator(examples(2_000, 1), { seed: 1, steps: 60 });
    const asked = examples(300, 9);
    const answers = await anticipate(weights, asked);
    const right = asked.filter(({ outcome }, at) => {
      const chances = answers[at] ?? new Float32Array();
      return chances.indexOf(Math.max(...chances)) === outcome;
    });
    expect(right.length).toBeGreaterThan(280);
    for (const chances of answers) expect(chances.reduce((sum, chance) => sum + chance, 0)).toBeCloseTo(1, 4);
  });

  test('the same examples and seed give the same weights; odd moments give finite chances', async () => {
    const [one, again] = [
      await fitAnticipator(examples(50, 1), { seed: 4, steps: 3 }),
      await fitAnticipator(examples(50, 1), { seed: 4, steps: 3 }),
    ];
    expect([...one.values()]).toEqual([...again.values()]);
    const odd = [
      { deeds: [], positionSeconds: 0, durationSeconds: undefined, hazard: HAZARD },
      { deeds: [], positionSeconds: 1e9, durationSeconds: 0, hazard: [1, 0, 0, 0, 0] },
    ];
    for (const chances of await anticipate(one, odd)) expect(chances.every(Number.isFinite)).toBe(true);
  });

  test('nothing to learn from is refused', async () => {
    await expect(fitAnticipator([], { seed: 1, steps: 1 })).rejects.toThrow(RangeError);
  });
});
