// How well what a viewer does next is anticipated, on viewers of the simulator that were not trained on: counted hazards
// against the mean alone, and the small transformer that corrects them against the hazards. `--write` counts the prior that ships anew, into agent/predict/anticipate-prior.ts.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Hazard, type Intent, LAST_ACTIONS, OUTCOMES, type Outcome } from '../../agent/predict/anticipate.ts';
import { drawViewings, type Second } from '../../agent/simulate/player-habits.ts';
import { type AnticipatorMoment, anticipate, fitAnticipator } from '../../agent/train/anticipator.ts';
import { seededRandom } from '../../agent/train/random.ts';
import { mean } from './figures.ts';

const TRAIN_VIEWINGS = 3_000;
const TEST_VIEWINGS = 1_000;
const SEEDS = [1, 2, 3] as const;
/** Sum of the counts that ship: real viewers outweigh them within days. */
const PRIOR_SECONDS = 1_000_000;

/** Of seconds in which a viewer goes on, one in so many is learnt from, and stands for the others. */
const THINNING = 20;
const STEPS = 2_500;
/** Of the seconds judged the transformer gets one in so many; the hazards it is compared with get the same ones. */
const JUDGED_EVERY = 4;

type Judge = (second: Second) => Intent;

function train(seed: number): Hazard {
  const hazard = new Hazard();
  for (const viewing of drawViewings(seed, TRAIN_VIEWINGS)) {
    for (const { moment, outcome } of viewing) {
      hazard.observe(moment, outcome);
      // Of most viewers nothing is known but the place.
      hazard.observe({ ...moment, last: 'none', sinceSeconds: 0 }, outcome);
    }
  }
  return hazard;
}

const logLoss = (seconds: readonly Second[], judge: Judge): number =>
  seconds.reduce((sum, second) => sum - Math.log(Math.max(1e-9, judge(second)[second.outcome])), 0) / seconds.length;

/** Area under the ROC curve for one outcome against all others: by ranks, ties shared (Mann and Whitney). */
function auc(seconds: readonly Second[], judge: Judge, outcome: Outcome): number {
  const scored = seconds
    .map((second) => ({ score: judge(second)[outcome], isIt: second.outcome === outcome }))
    .sort((one, other) => one.score - other.score);
  let ranks = 0;
  let positives = 0;
  for (let from = 0; from < scored.length; ) {
    let to = from;
    let own = 0;
    while (to < scored.length && scored[to]?.score === scored[from]?.score) {
      own += scored[to]?.isIt === true ? 1 : 0;
      to += 1;
    }
    ranks += own * ((from + to + 1) / 2);
    positives += own;
    from = to;
  }
  const negatives = scored.length - positives;
  return (ranks - (positives * (positives + 1)) / 2) / Math.max(1, positives * negatives);
}

const momentOf = ({ moment, deeds }: Second, hazard: Hazard): AnticipatorMoment => {
  const at = (deeds.at(-1)?.at ?? 0) + moment.sinceSeconds;
  const intent = hazard.intent(moment);
  return {
    deeds: deeds.map((deed) => ({
      kind: LAST_ACTIONS.indexOf(deed.type),
      secondsAgo: at - deed.at,
      positionSeconds: deed.positionSeconds,
    })),
    positionSeconds: moment.positionSeconds,
    durationSeconds: moment.durationSeconds,
    hazard: OUTCOMES.map((outcome) => intent[outcome]),
  };
};

/** Log-loss of the transformer on `seconds`. */
async function transformerLoss(seed: number, hazard: Hazard, seconds: readonly Second[]): Promise<number> {
  const chance = seededRandom(seed);
  const learnt = drawViewings(seed, TRAIN_VIEWINGS)
    .flat()
    .filter(({ outcome }) => outcome !== 'continue' || chance() < 1 / THINNING);
  const examples = learnt.map((second) => ({
    ...momentOf(second, hazard),
    outcome: OUTCOMES.indexOf(second.outcome),
    weight: second.outcome === 'continue' ? THINNING : 1,
  }));
  const weights = await fitAnticipator(examples, { seed, steps: STEPS });
  const answers = await anticipate(
    weights,
    seconds.map((second) => momentOf(second, hazard)),
  );
  return seconds.reduce(
    (sum, { outcome }, at) =>
      sum - Math.log(Math.max(1e-9, answers[at]?.[OUTCOMES.indexOf(outcome)] ?? 0)) / seconds.length,
    0,
  );
}

/** Runs it; `print` gets a row for each judge. */
export async function runAnticipator(
  print: (row: Readonly<Record<string, unknown>>) => void,
): Promise<Record<string, number>> {
  const rows = new Map<string, number[]>();
  const note = (name: string, value: number): void => {
    rows.set(name, [...(rows.get(name) ?? []), value]);
  };
  for (const seed of SEEDS) {
    const hazard = train(seed);
    const base = new Hazard(new Hazard().save());
    const seconds = drawViewings(1000 + seed, TEST_VIEWINGS).flat();
    for (const { outcome } of drawViewings(seed, TRAIN_VIEWINGS / 10).flat())
      base.observe({ positionSeconds: 1000, durationSeconds: undefined, last: 'none', sinceSeconds: 0 }, outcome);
    const still = { positionSeconds: 1000, durationSeconds: undefined, last: 'none', sinceSeconds: 0 } as const;
    const judges: Readonly<Record<string, Judge>> = {
      mean: () => base.intent(still),
      place: ({ moment }) => hazard.intent({ ...moment, last: 'none', sinceSeconds: 0 }),
      hazard: ({ moment }) => hazard.intent(moment),
    };
    for (const [name, judge] of Object.entries(judges)) {
      note(`${name} loss`, logLoss(seconds, judge));
      for (const outcome of OUTCOMES) note(`${name} auc ${outcome}`, auc(seconds, judge, outcome));
    }
    const some = seconds.filter((_, at) => at % JUDGED_EVERY === 0);
    const byHazard = logLoss(some, ({ moment }) => hazard.intent(moment));
    note('gain', 1 - (await transformerLoss(seed, hazard, some)) / byHazard);
  }
  print({
    judge: 'transformer',
    trainedOn: 'viewer simulator',
    lossBelowHazard: mean(rows.get('gain') ?? []).toFixed(4),
  });
  for (const name of ['mean', 'place', 'hazard']) {
    const figures = [...rows].filter(([key]) => key.startsWith(`${name} `));
    const shown = figures.map(([key, values]) => [key.slice(name.length + 1), mean(values).toFixed(4)]);
    print({ judge: name, trainedOn: 'viewer simulator', ...Object.fromEntries(shown) });
  }
  return { anticipator_vs_hazard: mean(rows.get('gain') ?? []) };
}

function writePrior(): void {
  const counts = train(1).save();
  const scale = PRIOR_SECONDS / counts.reduce((sum, count) => sum + count, 0);
  const lines: string[] = [];
  for (let cell = 0; cell * OUTCOMES.length < counts.length; cell += 1) {
    const own = counts.slice(cell * OUTCOMES.length, (cell + 1) * OUTCOMES.length);
    if (own.some((count) => count > 0))
      lines.push(`  '${cell}:${own.map((count) => Number((count * scale).toFixed(1))).join(',')}',`);
  }
  const text = `// Counts of what simulated viewers did next (agent/simulate/player-viewer.ts), which real viewers outweigh within days.
// Written by \`node run.mjs --entry=test/bench/predict-anticipator.ts --write\`.
import { readCounts } from './anticipate.ts';

/** Counts of ${PRIOR_SECONDS} seconds, as the hazards begin. */
export const SIMULATED_PRIOR = readCounts([
${lines.join('\n')}
]);
`;
  writeFileSync(new URL('../../agent/predict/anticipate-prior.ts', import.meta.url), text);
}

if (process.argv[1] === fileURLToPath(import.meta.url) || process.argv.includes('--write')) {
  if (process.argv.includes('--write')) writePrior();
  const rows: Readonly<Record<string, unknown>>[] = [];
  const figures = await runAnticipator((row) => rows.push(row));
  console.table(rows);
  console.log(JSON.stringify(figures));
}
