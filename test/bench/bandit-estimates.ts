// Whether what is said of other policies, and of experiments, is true as often as it claims: coverage of SNIPS and DR
// intervals on logs of the product's bandit, and false alarms of experiments without any difference.
import type { Experiment } from '../../agent/experiment/assign.ts';
import { estimatePolicy, type TargetPolicy } from '../../agent/experiment/estimate.ts';
import { checkRatio } from '../../agent/experiment/ratio.ts';
import { METRICS, reportSteps } from '../../agent/experiment/report.ts';
import { differenceSequence, sumsOf } from '../../agent/experiment/sequences.ts';
import { normal, seededRandom } from '../../agent/train/random.ts';
import { beginLife, drawLook, drawWorld } from './bandit-worlds.ts';

const LOGS = 50;
const CHOICES = 4_000;
/** A title has about so many cuts. */
const ARMS = 4;
/** Share of uniform choices in these logs: with the default of 0.01 most estimates are refused, as they should be. */
const EXPLORATION = 0.4;
const TRUTH_CONTEXTS = 2_000;

const TARGETS: Readonly<Record<string, TargetPolicy>> = {
  uniform: ({ propensities }) => propensities.map(() => 1 / ARMS),
  'half of the first two arms each': ({ propensities }) => propensities.map((_, arm) => (arm < 2 ? 0.5 : 0)),
};

type Covered = { decided: number; refused: number; snips: number; dr: number };

function coverLog(seed: number, policy: string, counts: Covered): void {
  const world = drawWorld(seed, { arms: ARMS, isDrifting: false });
  const random = seededRandom(seed + 5_000);
  const { bandit, log, tick } = beginLife(seed + 6_000, { policy, explorationRatio: EXPLORATION });
  for (let round = 0; round < CHOICES; round += 1) {
    tick(round, CHOICES);
    const context = drawLook(random);
    const choice = bandit.choose({ slot: 'preview', titleId: 'film', context, arms: world.arms });
    const token = bandit.shown(choice);
    if (random() < (world.chances(0, context)[choice.index] ?? 0)) bandit.told(token, { type: 'play' });
  }
  const [some] = log;
  if (some === undefined) return;
  for (const target of Object.values(TARGETS)) {
    let truth = 0;
    const chances = target(some);
    for (let n = 0; n < TRUTH_CONTEXTS; n += 1) {
      const context = drawLook(random);
      for (const [arm, chance] of world.chances(0, context).entries())
        truth += ((chances[arm] ?? 0) * chance) / TRUTH_CONTEXTS;
    }
    const estimate = estimatePolicy(log, target);
    if (estimate?.isDecidable !== true) {
      counts.refused += 1;
      continue;
    }
    counts.decided += 1;
    if (estimate.snips.low <= truth && truth <= estimate.snips.high) counts.snips += 1;
    if (estimate.dr.low <= truth && truth <= estimate.dr.high) counts.dr += 1;
  }
}

/** Share of 95 % intervals that held the truth, over the logs of both policies; of SNIPS and DR the lesser. */
export function measureCoverage(print: (line: string) => void): Record<string, number> {
  const all: Covered = { decided: 0, refused: 0, snips: 0, dr: 0 };
  for (const policy of ['linucb', 'thompson']) {
    const counts: Covered = { decided: 0, refused: 0, snips: 0, dr: 0 };
    for (let seed = 1; seed <= LOGS; seed += 1) coverLog(seed, policy, counts);
    const percent = (held: number) => ((100 * held) / counts.decided).toFixed(1);
    print(
      `off-policy 95 % intervals on ${LOGS} logs of ${policy}: SNIPS holds the truth in ${percent(counts.snips)} %, ` +
        `DR in ${percent(counts.dr)} % of ${counts.decided}; ${counts.refused} refused`,
    );
    for (const name of ['decided', 'refused', 'snips', 'dr'] as const) all[name] += counts[name];
  }
  return { interval_coverage: Math.min(all.snips, all.dr) / all.decided };
}

const TRIALS = 1_000;
const DAYS = 30;
const UNITS_A_DAY = 200;

/** Whether one A/A experiment ever looked like a difference, or like broken shares, at one of its daily looks. */
function peek(seed: number): { readonly isAlarmed: boolean; readonly isBroken: boolean } {
  const random = seededRandom(seed);
  const outcomes: [number[], number[]] = [[], []];
  let isAlarmed = false;
  let isBroken = false;
  for (let day = 0; day < DAYS; day += 1) {
    for (let n = 0; n < UNITS_A_DAY; n += 1) {
      // Minutes of a session: most watch nothing, some for long.
      const minutes = random() < 0.3 ? Math.exp(2.5 + normal(random)) : 0;
      (random() < 0.5 ? outcomes[0] : outcomes[1]).push(minutes);
    }
    const { low, high } = differenceSequence(sumsOf(outcomes[1]), sumsOf(outcomes[0]), 0.05);
    isAlarmed ||= low > 0 || high < 0;
    isBroken ||= !checkRatio([outcomes[0].length, outcomes[1].length], [0.5, 0.5]).isSound;
  }
  return { isAlarmed, isBroken };
}

const REPORTS = 100;

/** Share of whole reports without any effect that name a winner, a loser, or broken shares. */
function falseReports(): number {
  const variants = [
    { name: 'control', share: 0.5, policy: 'default' },
    { name: 'bandit', share: 0.5, policy: 'linucb' },
  ];
  const experiment: Experiment = { id: 'aa', layer: 'main', from: 0, to: 1, rampRatio: 1, variants, startedAt: 0 };
  let alarms = 0;
  for (let seed = 1; seed <= REPORTS; seed += 1) {
    const random = seededRandom(seed + 9_000);
    const exposures = Array.from({ length: 2_000 }, () => {
      const before = Math.exp(normal(random));
      const minutes = before * (random() < 0.5 ? 4 : 0) + random();
      const variant = random() < 0.5 ? 'control' : 'bandit';
      return {
        variant,
        covariates: [Math.log1p(before), 1, 0],
        outcomes: METRICS.map((_, index) => (index === 1 ? minutes : random() < 0.2 ? 1 : 0)),
      };
    });
    const steps = reportSteps(experiment, exposures, random);
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    if (step.value.comparisons.some(({ verdict }) => verdict !== 'undecided')) alarms += 1;
  }
  return alarms / REPORTS;
}

/** Share of A/A experiments that ever raised an alarm. */
export function measurePeeking(print: (line: string) => void): Record<string, number> {
  const trials = Array.from({ length: TRIALS }, (_, n) => peek(n + 1));
  const alarms = trials.filter(({ isAlarmed }) => isAlarmed).length / TRIALS;
  const broken = trials.filter(({ isBroken }) => isBroken).length / TRIALS;
  const reports = falseReports();
  print(
    `A/A, looked at on each of ${DAYS} days: ${(100 * alarms).toFixed(1)} % of ${TRIALS} find a difference, ` +
      `${(100 * broken).toFixed(1)} % broken shares; ${(100 * reports).toFixed(0)} % of ${REPORTS} whole reports do`,
  );
  return { aa_false_positive: Math.max(alarms, reports) };
}
