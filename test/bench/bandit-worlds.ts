// Simulated worlds whose truth is known, for bench:bandit, and a bandit of the product in memory that lives in them.
import type { LoggedChoice } from '../../agent/experiment/estimate.ts';
import type { Bandit, BanditSettings } from '../../agent/preview/bandit-room.ts';
import { normal, seededRandom } from '../../agent/train/random.ts';
import { fakeBandit } from '../fake/bandit.ts';

/** Numbers of a context and of a descriptor. */
export const WIDTH = 16;
/** Rounds of a life, which takes 28 days. */
export const ROUNDS = 10_000;
const LIFE_MS = 28 * 86_400_000;

/** A look: numbers of 0..1. */
export const drawLook = (random: () => number, width = WIDTH): Float64Array =>
  Float64Array.from({ length: width }, random);

/** The same around 0, of about length 1. */
const centred = (look: Float64Array): Float64Array => look.map((value) => (2 * value - 1) * Math.sqrt(3 / look.length));

/** A world: arms, and the chance of a reward of each for a context in a round. */
export type World = {
  readonly arms: readonly { readonly id: string; readonly features: Float64Array }[];
  readonly chances: (round: number, context: Float64Array) => readonly number[];
};

/**
 * Each arm's reward is linear in the context (16 numbers) with logistic noise: 1 with chance sigmoid(a + b f + sum of
 * w_i c_i f_i), held to 2-20 %; a, b, w and descriptors f are drawn. With `isDrifting` all of b and w are drawn anew at
 * half-time.
 */
export function drawWorld(seed: number, options: { readonly arms: number; readonly isDrifting: boolean }): World {
  const random = seededRandom(seed);
  const arms = Array.from({ length: options.arms }, (_, n) => ({ id: `arm-${n}`, features: drawLook(random) }));
  const looks = arms.map(({ features }) => centred(features));
  const draw = () => Float64Array.from({ length: WIDTH }, () => normal(random));
  const eras = [
    { own: draw(), both: draw() },
    { own: draw(), both: draw() },
  ];
  return {
    arms,
    chances(round, context) {
      const era = eras[options.isDrifting && round >= ROUNDS / 2 ? 1 : 0] ?? { own: draw(), both: draw() };
      const taste = centred(context);
      return looks.map((look) => {
        let match = 0;
        for (let i = 0; i < WIDTH; i += 1)
          match += (look[i] ?? 0) * (0.5 * (era.own[i] ?? 0) + 4 * (era.both[i] ?? 0) * (taste[i] ?? 0));
        return Math.min(0.2, Math.max(0.02, 1 / (1 + Math.exp(2.6 - 0.55 * match))));
      });
    },
  };
}

/** A bandit of the product on a clock of its own, its tables in memory. `log` holds what it showed. */
export type Life = {
  readonly bandit: Bandit;
  readonly log: readonly LoggedChoice[];
  /** One turn of the clock; every tenth looks after late rewards. */
  readonly tick: (round: number, rounds?: number) => void;
};

/** Begins a life with the default settings, but that a play is the whole reward. */
export function beginLife(seed: number, settings: Partial<BanditSettings> = {}): Life {
  const { bandit, store, clock } = fakeBandit({ settings, random: seededRandom(seed) });
  const begun = clock.ms;
  return {
    bandit,
    log: store.log,
    tick(round, rounds = ROUNDS) {
      clock.ms = begun + Math.round((round * LIFE_MS) / rounds);
      if (round % 10 === 0) bandit.sweep();
    },
  };
}
