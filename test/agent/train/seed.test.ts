// Training: repeatable to the bit, never looking ahead, and better than the rules on a later week.
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { seedModel } from '../../../agent/model/champion.ts';
import { FEATURE_NAMES } from '../../../agent/predict/features.ts';
import { isSoundScorer } from '../../../agent/predict/scorer.ts';
import { makeQuestions } from '../../../agent/train/dataset.ts';
import { evaluate } from '../../../agent/train/evaluate.ts';
import { drawIndex, seededRandom } from '../../../agent/train/random.ts';
import { encodeScorer } from '../../../agent/train/scorer-model.ts';
import { type SeedRecipe, trainSeed } from '../../../agent/train/seed.ts';
import { makeWorkload } from '../../../agent/train/workload.ts';

const SMALL: SeedRecipe = { seed: 7, viewers: 40, series: 12, films: 30, days: 14, testDays: 4, depth: 20 };
const hashOf = (recipe: SeedRecipe) =>
  createHash('sha256')
    .update(encodeScorer(trainSeed(recipe).scorer))
    .digest('hex');

describe('training', () => {
  test('the same seed gives the same model file, another seed another', () => {
    expect(hashOf(SMALL)).toBe(hashOf(SMALL));
    expect(hashOf(SMALL)).not.toBe(hashOf({ ...SMALL, seed: 8 }));
  });

  test('the model that ships can be asked, and said of itself that it beats the rules on the week after', () => {
    const { scorer, metrics } = seedModel();
    expect(isSoundScorer(scorer)).toBe(true);
    expect(scorer.features).toEqual(FEATURE_NAMES);
    expect(metrics['testQuestions']).toBeGreaterThan(1000);
    expect(metrics['hitRatio10']).toBeGreaterThan((metrics['rulesHitRatio10'] ?? 1) + 0.02);
    expect(metrics['auc']).toBeGreaterThan((metrics['rulesAuc'] ?? 1) + 0.02);
    // A scorer above what the candidates cover would be reading the answer.
    expect(metrics['hitRatio10']).toBeLessThan(metrics['coverageRatio'] ?? 0);
  });
});

describe('questions', () => {
  const workload = makeWorkload(SMALL);

  test('know nothing of what comes after them: cutting the future off changes none', () => {
    const whole = makeQuestions(workload, SMALL.depth);
    const cut = Math.floor(workload.events.length * 0.6);
    const part = makeQuestions({ titles: workload.titles, events: workload.events.slice(0, cut) }, SMALL.depth);
    expect(part.length).toBeGreaterThan(100);
    expect(part).toEqual(whole.slice(0, part.length));
  });

  test('mostly have their answer among the candidates, marked right', () => {
    const questions = makeQuestions(workload, SMALL.depth);
    const covered = questions.filter(({ chosen }) => chosen >= 0);
    expect(covered.length / questions.length).toBeGreaterThan(0.8);
    const asked = workload.events.slice(-questions.length);
    questions.forEach((question, at) => {
      expect(question.features).toHaveLength(question.titleIds.length * FEATURE_NAMES.length);
      if (question.chosen >= 0) expect(question.titleIds[question.chosen]).toBe(asked[at]?.titleId);
      else expect(question.titleIds).not.toContain(asked[at]?.titleId);
    });
  });
});

describe('a workload', () => {
  const { titles, events } = makeWorkload(SMALL);

  test('is in order of time and watches only what is released', () => {
    const release = new Map(titles.map((title) => [title.id, title.releaseAt ?? 0]));
    events.forEach((event, at) => {
      expect(event.at).toBeGreaterThanOrEqual(events[at - 1]?.at ?? 0);
      expect(event.positionSeconds).toBeGreaterThanOrEqual(0);
    });
    const early = events.filter(({ at, titleId }) => (release.get(titleId) ?? 0) > at);
    // Who goes on with a series may be ahead of its one release date only if the whole series was out when it began.
    expect(early).toEqual([]);
  });
});

describe('evaluation', () => {
  const question = (chosen: number, rows: number) => ({
    at: 0,
    titleIds: Array.from({ length: rows }, (_, at) => `t${at}`),
    features: new Float32Array(rows * FEATURE_NAMES.length),
    chosen,
  });

  test('a perfect order, a worst one and a tie', () => {
    const questions = [question(3, 20)];
    const score = (own: number) => () => Array.from({ length: 20 }, (_, at) => (at === 3 ? own : at / 100));
    expect(evaluate(questions, score(1))).toMatchObject({ hitRatio1: 1, hitRatio10: 1, auc: 1, coverageRatio: 1 });
    expect(evaluate(questions, score(-1))).toMatchObject({ hitRatio1: 0, hitRatio10: 0, auc: 0 });
    expect(evaluate(questions, () => new Float32Array(20)).auc).toBe(0.5);
    expect(evaluate(questions, score(1)).reachRatio).toBe(0.5);
  });

  test('a choice that was no candidate is a miss', () => {
    const quality = evaluate([question(-1, 5), question(0, 5)], () => [1, 0, 0, 0, 0]);
    expect(quality).toMatchObject({ questions: 2, coverageRatio: 0.5, hitRatio1: 0.5, hitRatio10: 0.5, auc: 1 });
  });
});

describe('seeded chance', () => {
  test('is even: chi-square of 16 cells over 160,000 draws is below the 99.9 % point of 15 degrees', () => {
    const random = seededRandom(42);
    const cells = new Float64Array(16);
    for (let draw = 0; draw < 160_000; draw += 1) {
      const cell = Math.floor(random() * 16);
      cells[cell] = (cells[cell] ?? 0) + 1;
    }
    expect(cells.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0)).toBeLessThan(37.7);
  });

  test('draws in proportion, and nothing where nothing has weight', () => {
    const random = seededRandom(1);
    const draws = Array.from({ length: 30_000 }, () => drawIndex([1, 0, 2], random));
    expect(draws.filter((index) => index === 0).length / draws.length).toBeCloseTo(1 / 3, 1);
    expect(draws).not.toContain(1);
    expect(drawIndex([0, 0], random)).toBe(-1);
  });
});
