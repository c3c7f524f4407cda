// Regret of the product's bandit in worlds whose truth is known, beside epsilon-greedy and the best LinUCB.

import { seededRandom } from '../../agent/train/random.ts';
import { epsilonGreedy, inputsOf, linearEpsilonGreedy, linUcb, type Rival } from './bandit-rivals.ts';
import { beginLife, drawLook, drawWorld, ROUNDS } from './bandit-worlds.ts';
import { mean } from './figures.ts';

/** Worlds that nothing was tuned on; the defaults were chosen on seeds 101 to 108 and 201 to 216. */
const SEEDS = [11, 12, 13, 14];
const ARMS = 20;
/** What LinUCB is tuned over, with the truth at hand: the one of least mean regret counts. */
const ALPHAS = [0.5, 1, 2];
const DEVIATIONS = [0.1, 0.05];
const HALF_LIVES = [Number.POSITIVE_INFINITY, 2_000, 1_000];

type Lived = { readonly regret: number };

function live(
  seed: number,
  isDrifting: boolean,
  player: (context: Float64Array, round: number, draw: (arm: number) => number) => number,
): Lived {
  const world = drawWorld(seed, { arms: ARMS, isDrifting });
  const contexts = seededRandom(seed + 1_000);
  const luck = seededRandom(seed + 2_000);
  let regret = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const context = drawLook(contexts);
    const chances = world.chances(round, context);
    const arm = player(context, round, (chosen) => (luck() < (chances[chosen] ?? 0) ? 1 : 0));
    regret += Math.max(...chances) - (chances[arm] ?? 0);
  }
  return { regret };
}

function ours(seed: number, isDrifting: boolean, policy: string): number {
  const { arms } = drawWorld(seed, { arms: ARMS, isDrifting });
  const { bandit, tick } = beginLife(seed + 3_000, { policy });
  return live(seed, isDrifting, (context, round, draw) => {
    tick(round);
    const choice = bandit.choose({ slot: 'preview', titleId: 'film', context, arms });
    const token = bandit.shown(choice);
    if (draw(choice.index) === 1) bandit.told(token, { type: 'play' });
    return choice.index;
  }).regret;
}

function rival(seed: number, isDrifting: boolean, made: Rival): number {
  const { arms } = drawWorld(seed, { arms: ARMS, isDrifting });
  return live(seed, isDrifting, (context, _round, draw) => {
    const inputs = inputsOf(context, arms);
    const arm = made.choose(inputs);
    made.learn({ arm, input: inputs[arm] ?? new Float64Array(0), reward: draw(arm) });
    return arm;
  }).regret;
}

const over = (regretOf: (seed: number) => number, seeds = SEEDS): number => mean(seeds.map(regretOf));
/** Thompson sampling is no default: shown beside, from fewer worlds. */
const FEW = SEEDS.slice(0, 2);

/** Ratios of mean regrets over the evaluation worlds; of the steady and the drifting world the worse. */
export function measureRegret(print: (line: string) => void): Record<string, number> {
  const ratios = [false, true].map((isDrifting) => {
    const lives = isDrifting ? HALF_LIVES : HALF_LIVES.slice(0, 1);
    const grid = ALPHAS.flatMap((alpha) =>
      lives.flatMap((life) => DEVIATIONS.map((deviation) => ({ alpha, life, deviation }))),
    );
    const tuned = Math.min(...grid.map((one) => over((seed) => rival(seed, isDrifting, linUcb(one)))));
    const plain = over((seed) => rival(seed, isDrifting, epsilonGreedy(0.1, seededRandom(seed + 4_000))));
    const linear = over((seed) => rival(seed, isDrifting, linearEpsilonGreedy(0.1, seededRandom(seed + 4_000))));
    const own = over((seed) => ours(seed, isDrifting, 'linucb'));
    const thompson = over((seed) => ours(seed, isDrifting, 'thompson'), FEW);
    const show = (name: string, regret: number) => print(`  ${name.padEnd(44)}${regret.toFixed(0).padStart(7)}`);
    print(`regret after ${ROUNDS} rounds, ${isDrifting ? 'all preferences drawn anew at half-time' : 'steady world'}`);
    show('this bandit (linucb, the default)', own);
    show('this bandit (thompson)', thompson);
    show('LinUCB tuned with the truth known', tuned);
    show('epsilon-greedy 0.1, no context', plain);
    show('epsilon-greedy 0.1, the same linear model', linear);
    return { best: own / tuned, plain: own / plain, linear: own / linear, thompson: thompson / tuned };
  });
  const worst = (name: 'best' | 'plain' | 'linear' | 'thompson') => Math.max(...ratios.map((ratio) => ratio[name]));
  return {
    regret_vs_egreedy: worst('plain'),
    regret_vs_linear_egreedy: worst('linear'),
    regret_vs_best: worst('best'),
    thompson_regret_vs_best: worst('thompson'),
  };
}
