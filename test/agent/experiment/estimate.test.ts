// Off-policy estimates against numbers worked by hand, and their refusal to tell from too little.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { estimatePolicy, LEAST_EFFECTIVE_COUNT, type LoggedChoice } from '../../../agent/experiment/estimate.ts';
import { type PolicyReport, policySteps } from '../../../agent/experiment/policies.ts';

function reportPolicies(choices: Parameters<typeof policySteps>[0]): PolicyReport {
  const steps = policySteps(choices);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}

const always = (arm: number) => (choice: LoggedChoice) =>
  choice.propensities.map((_, other) => (other === arm ? 1 : 0));
const row = (chosen: number, reward: number, expected: readonly number[] = [0, 0]): LoggedChoice => ({
  chosen,
  propensities: [0.75, 0.25],
  expected,
  reward,
});

describe('by hand', () => {
  // Always the second arm: weights 4 where it was shown, else 0.
  const log = [row(1, 1), row(0, 1), row(1, 0), row(0, 0)];

  test('IPS is the mean of weight times reward, SNIPS divides by the weights', () => {
    const found = estimatePolicy(log, always(1));
    expect(found?.ips.estimate).toBeCloseTo(4 / 4, 12);
    expect(found?.snips.estimate).toBeCloseTo(4 / 8, 12);
    expect(found?.effectiveCount).toBeCloseTo(64 / 32, 12);
    // Delta method: sqrt((4 * 0.5)^2 + (4 * 0.5)^2) / 8 = 0.353553.
    expect(found?.snips.high).toBeCloseTo(0.5 + 1.959963984540054 * 0.3535533905932738, 9);
    // Values 4, 0, 0, 0: variance 4, error 1.
    expect(found?.ips.high).toBeCloseTo(1 + 1.959963984540054, 9);
  });

  test('DR adds what was not expected to what was', () => {
    const expected = [0.2, 0.6];
    const found = estimatePolicy([row(1, 1, expected), row(0, 1, expected)], always(1));
    // 0.6 + 4 * (1 - 0.6) = 2.2 and 0.6.
    expect(found?.dr.estimate).toBeCloseTo(1.4, 12);
  });

  test('a log of the policy itself gives its mean, whatever was expected', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ reward: fc.constantFrom(0, 1), guess: fc.double({ min: 0, max: 1, noNaN: true }) }), {
          minLength: 1,
        }),
        (rows) => {
          const own = rows.map(({ reward, guess }) => ({ chosen: 0, propensities: [1], expected: [guess], reward }));
          const mean = rows.reduce((sum, { reward }) => sum + reward, 0) / rows.length;
          const found = estimatePolicy(own, ({ propensities }) => propensities);
          for (const estimate of [found?.ips, found?.snips, found?.dr]) expect(estimate?.estimate).toBeCloseTo(mean, 9);
          expect(found?.effectiveCount).toBeCloseTo(rows.length, 6);
        },
      ),
    );
  });
});

describe('refusal', () => {
  test('below a thousand effective choices nothing is decided', () => {
    const some = Array.from({ length: LEAST_EFFECTIVE_COUNT - 1 }, () => row(0, 1));
    expect(estimatePolicy(some, always(0))?.isDecidable).toBe(false);
    expect(estimatePolicy([...some, row(0, 0), row(0, 0)], always(0))?.isDecidable).toBe(true);
  });

  test('a hundred thousand choices may be too few, if all rests on one', () => {
    const log = [
      { chosen: 1, propensities: [0.9999, 0.0001], expected: [0, 0], reward: 1 },
      ...Array.from({ length: 5_000 }, () => ({ ...row(0, 0), propensities: [0.9999, 0.0001] })),
    ];
    const half = (choice: LoggedChoice) => choice.propensities.map(() => 0.5);
    expect(estimatePolicy(log, half)?.effectiveCount).toBeLessThan(5);
    expect(estimatePolicy(log, half)?.isDecidable).toBe(false);
  });

  test('nothing logged, arms never shown, chances of 0', () => {
    expect(estimatePolicy([], always(0))).toBeUndefined();
    expect(estimatePolicy([{ ...row(1, 1), propensities: [1, 0] }], always(1))).toBeUndefined();
    const never = estimatePolicy([row(0, 1), row(0, 0)], always(1));
    expect(never).toMatchObject({ effectiveCount: 0, isDecidable: false });
    expect(never?.snips.high).toBe(Number.POSITIVE_INFINITY);
  });
});

test('the report names slots and policies, and leaves out choices that were none', () => {
  const choice = { slot: 'preview', policy: 'linucb', ...row(0, 1) };
  const report = reportPolicies([choice, { ...choice, slot: 'artwork' }, { ...choice, policy: 'default' }]);
  expect(report.slots.map(({ slot, choices }) => [slot, choices])).toEqual([
    ['artwork', 1],
    ['preview', 1],
  ]);
  expect(report.slots[0]?.policies.map(({ policy }) => policy)).toEqual(['default', 'uniform', 'greedy']);
  expect(reportPolicies([])).toEqual({ version: 1, slots: [] });
});
