// Play-through of personal choices against the best single preview of each title, and how long one choice takes.

import { normal, seededRandom } from '../../agent/train/random.ts';
import { beginLife, drawLook } from './bandit-worlds.ts';

const TITLES = 12;
const CUTS = 4;
const WIDTH = 12;
const ROUNDS = 60_000;
/** What comes before is learning: a node begins with it once, not with each title. */
const MEASURED_FROM = ROUNDS / 2;

type Taste = 'differ' | 'same';

/**
 * Viewers play a title after its preview with chance sigmoid(a + taste match + what the cut is by itself). Where tastes
 * differ, four groups of viewers like different looks, and are known by what they watched, with noise; where they don't,
 * all like the same.
 */
function drawViewers(seed: number, taste: Taste) {
  const random = seededRandom(seed);
  const groups = Array.from({ length: taste === 'differ' ? 4 : 1 }, () => drawLook(random, WIDTH));
  const cuts = Array.from({ length: TITLES }, () =>
    Array.from({ length: CUTS }, (_, n) => {
      // Half of the cuts look like what one of the groups likes: a theme is cut for somebody.
      const liked = groups[(n + Math.floor(random() * 4)) % groups.length] ?? drawLook(random, WIDTH);
      const features = liked.map((value) => Math.min(1, Math.max(0, 0.5 * value + 0.5 * random())));
      return { id: `cut-${n}`, features, own: 0.15 * normal(random) };
    }),
  );
  const match = (a: Float64Array, b: Float64Array) =>
    a.reduce((sum, value, i) => sum + (2 * value - 1) * (2 * (b[i] ?? 0) - 1), 0) / WIDTH;
  return {
    random,
    cuts,
    draw() {
      const group = groups[Math.floor(random() * groups.length)] ?? drawLook(random, WIDTH);
      const title = popular(random());
      const context = group.map((value) => Math.min(1, Math.max(0, value + 0.1 * normal(random))));
      const chances = (cuts[title] ?? []).map(
        ({ features, own }) => 1 / (1 + Math.exp(2.2 - 6 * match(features, group) - own)),
      );
      return { title, context, chances };
    },
  };
}

/** Titles are asked for as Zipf's law has it, the first most often. */
const POPULARITY = Array.from({ length: TITLES }, (_, rank) => 1 / (rank + 1));
const ALL = POPULARITY.reduce((sum, share) => sum + share, 0);

function popular(uniform: number): number {
  let left = uniform * ALL;
  for (const [title, share] of POPULARITY.entries()) {
    left -= share;
    if (left < 0) return title;
  }
  return 0;
}

function gainOf(seed: number, taste: Taste): number {
  const { random, cuts, draw } = drawViewers(seed, taste);
  const { bandit, tick } = beginLife(seed + 100);
  let earned = 0;
  const single = cuts.map(() => new Float64Array(CUTS));
  for (let round = 0; round < ROUNDS; round += 1) {
    tick(round, ROUNDS);
    const { title, context, chances } = draw();
    const choice = bandit.choose({ slot: 'preview', titleId: `film-${title}`, context, arms: cuts[title] ?? [] });
    const token = bandit.shown(choice);
    const chance = chances[choice.index] ?? 0;
    if (random() < chance) bandit.told(token, { type: 'play' });
    if (round < MEASURED_FROM) continue;
    earned += chance;
    for (const [cut, other] of chances.entries()) {
      const sums = single[title];
      if (sums !== undefined) sums[cut] = (sums[cut] ?? 0) + other;
    }
  }
  return earned / single.reduce((sum, values) => sum + Math.max(...values), 0) - 1;
}

/** Mean relative gains in play-through over the best single cut of each title, which only the truth tells. */
export function measurePlaythrough(print: (line: string) => void): Record<string, number> {
  const mean = (taste: Taste) => [1, 2, 3].reduce((sum, seed) => sum + gainOf(seed, taste), 0) / 3;
  const figures = { playthrough_gain: mean('differ'), playthrough_gain_same_tastes: mean('same') };
  print('play-through beside the best single preview of each title, in the second half of 60,000 previews');
  print(`  tastes differ    ${(100 * figures.playthrough_gain).toFixed(1).padStart(6)} %`);
  print(`  one taste        ${(100 * figures.playthrough_gain_same_tastes).toFixed(1).padStart(6)} %`);
  return figures;
}

/** How long choosing among 20 arms takes, with all that is needed to answer: the choice, its log row, its token. */
export function measureSelection(print: (line: string) => void): Record<string, number> {
  const random = seededRandom(7);
  const times: number[] = [];
  for (const policy of ['linucb', 'thompson']) {
    const { bandit } = beginLife(1, { policy });
    const arms = Array.from({ length: 20 }, (_, n) => ({ id: `arm-${n}`, features: drawLook(random) }));
    for (let n = 0; n < 2_500; n += 1) {
      const context = drawLook(random);
      const begun = performance.now();
      bandit.shown(bandit.choose({ slot: 'preview', titleId: 'film', context, arms }));
      if (n >= 500) times.push(performance.now() - begun);
    }
  }
  const sorted = times.toSorted((a, b) => a - b);
  const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;
  print(`choosing among 20 arms: p50 ${(sorted[sorted.length / 2] ?? 0).toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`);
  return { selection_p99_ms: p99 };
}
