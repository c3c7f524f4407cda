// A report from exposures: verdicts, refusals, broken shares, and the page made of it.
import { describe, expect, test } from 'vitest';
import type { Experiment } from '../../../agent/experiment/assign.ts';
import { experimentPage, policiesPage } from '../../../agent/experiment/page.ts';
import { type PolicyReport, policySteps } from '../../../agent/experiment/policies.ts';
import { type ExperimentReport, type Exposure, reportSteps } from '../../../agent/experiment/report.ts';
import { chances } from '../../fake/chance.ts';

function reportPolicies(choices: Parameters<typeof policySteps>[0]): PolicyReport {
  const steps = policySteps(choices);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}

const experiment: Experiment = {
  ...{ id: 'bandit-or-not', layer: 'main', from: 0, to: 1, rampRatio: 1, startedAt: 1_700_000_000_000 },
  variants: [
    { name: 'control', share: 0.5, policy: 'default' },
    { name: 'bandit<b>', share: 0.5, policy: 'linucb' },
  ],
};

/** Sessions of which those of the bandit begin a title more often by `lift`. */
function exposures(count: number, lift: number, share = 0.5): Exposure[] {
  const random = chances(11);
  return Array.from({ length: count }, () => {
    const isTreated = random() < share;
    const before = random();
    const played = random() < 0.2 + 0.2 * before + (isTreated ? lift : 0) ? 1 : 0;
    const outcomes = [played, played * 30 * random(), played * (random() < 0.3 ? 1 : 0)];
    return { variant: isTreated ? 'bandit<b>' : 'control', covariates: [before, random(), random()], outcomes };
  });
}

function reportOf(sessions: readonly Exposure[]): ExperimentReport {
  const steps = reportSteps(experiment, sessions, chances(1));
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}
const verdicts = (report: ExperimentReport) => report.comparisons.map(({ metric, verdict }) => `${metric} ${verdict}`);

describe('verdicts', () => {
  test('a true gain is found, with what caused it', () => {
    const report = reportOf(exposures(4_000, 0.15));
    expect(verdicts(report)).toContain('played better');
    const played = report.comparisons.find(({ metric }) => metric === 'played');
    for (const interval of [played?.difference, played?.adjusted, played?.learned]) {
      expect(interval?.low).toBeLessThan(0.15);
      expect(interval?.high).toBeGreaterThan(0.15);
    }
    expect(played?.placebo.isSound).toBe(true);
  });

  test('a true loss is found', () => expect(verdicts(reportOf(exposures(4_000, -0.15)))).toContain('played worse'));
  test('nothing is found where there is nothing', () => {
    expect(verdicts(reportOf(exposures(4_000, 0)))).toEqual([
      'played undecided',
      'minutes undecided',
      'completed undecided',
    ]);
  });
  test('fewer than 500 sessions in a variant decide nothing, however clear', () => {
    expect(verdicts(reportOf(exposures(900, 0.5)))).toEqual([
      'played too-little',
      'minutes too-little',
      'completed too-little',
    ]);
  });
  test('shares that are not as planned spoil all', () => {
    const report = reportOf(exposures(4_000, 0.15, 0.6));
    expect(report.ratio.isSound).toBe(false);
    expect(new Set(report.comparisons.map(({ verdict }) => verdict))).toEqual(new Set(['broken']));
  });
  test('no session at all: a report that says so, in JSON too', () => {
    const report = reportOf([]);
    expect(report.comparisons[0]).toMatchObject({ verdict: 'too-little', units: 0 });
    expect(JSON.parse(JSON.stringify(report)).comparisons[0].difference.high).toBe(Number.MAX_VALUE);
  });
});

describe('pages', () => {
  test('an experiment, its names escaped and without scripts', () => {
    const page = experimentPage(reportOf(exposures(1_200, 0.1)));
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).toContain('bandit&lt;b&gt;');
    expect(page).not.toMatch(/<script|bandit<b>/);
    expect(experimentPage(reportOf([]))).toContain('too little');
  });

  test('policies, too little said where it is', () => {
    const choice = {
      slot: 'preview',
      policy: 'linucb',
      chosen: 0,
      propensities: [0.5, 0.5],
      expected: [0.1, 0.1],
      reward: 1,
    };
    const few = policiesPage(reportPolicies([choice]));
    expect(few).toContain('too little to tell');
    const many = policiesPage(reportPolicies(Array.from({ length: 4_000 }, (_, n) => ({ ...choice, chosen: n % 2 }))));
    expect(many).not.toContain('too little to tell');
  });
});
