// Thompson sampling over the cuts of a title, with the exact chance of each arm. Pure: chance and time come in.

/** What was seen of one arm: discounted counts as of `at` (milliseconds since the epoch). */
export type Posterior = { readonly successes: number; readonly failures: number; readonly at: number };

/** Parameters of a Beta distribution, each >= 1. */
export type Belief = { readonly alpha: number; readonly beta: number };

/** Nothing seen. */
export const UNSEEN: Posterior = { successes: 0, failures: 0, at: 0 };

/**
 * Counts as of `now`: each reward halves in weight every `halfLifeMs` (discounted Thompson sampling, Raj and Kalyani
 * 2017). A clock set back discounts nothing.
 */
export function discount(posterior: Posterior, now: number, halfLifeMs: number): Posterior {
  const weight = 0.5 ** (Math.max(0, now - posterior.at) / halfLifeMs);
  return { successes: posterior.successes * weight, failures: posterior.failures * weight, at: now };
}

/** Posterior after one reward (1) or none (0). */
export function observe(
  posterior: Posterior,
  seen: { readonly reward: 0 | 1; readonly now: number; readonly halfLifeMs: number },
): Posterior {
  const old = discount(posterior, seen.now, seen.halfLifeMs);
  return { ...old, successes: old.successes + seen.reward, failures: old.failures + 1 - seen.reward };
}

/**
 * Belief in an arm. `affinityRatio` is how well the arm fits a viewer's taste (0..1, 0.5 is neutral) and `strength` how
 * many views that is worth: pseudo-counts beside the title's own.
 */
export function believe(
  posterior: Posterior,
  taste: { readonly affinityRatio: number; readonly strength: number } = { affinityRatio: 0.5, strength: 0 },
): Belief {
  return {
    alpha: 1 + posterior.successes + taste.strength * taste.affinityRatio,
    beta: 1 + posterior.failures + taste.strength * (1 - taste.affinityRatio),
  };
}

/** A drawn arm, the chance it had, and the chance of every arm (in the order given, sum 1). */
export type Choice = { readonly index: number; readonly propensity: number; readonly propensities: readonly number[] };

/**
 * Draws an arm with one uniform number in [0, 1). Instead of drawing one value per arm and taking the largest, the chance
 * that each arm is the largest is integrated and the number picks by it: the same policy, and the propensity that is
 * logged is the very number that was drawn from. So an error of the quadrature moves the policy a little, but never the
 * estimate (IPS, SNIPS) made from the log. A share of `explorationRatio` of all choices is uniform, so every
 * propensity is at least explorationRatio / arms and importance weights are bounded by arms / explorationRatio.
 */
export function chooseArm(
  beliefs: readonly Belief[],
  options: { readonly explorationRatio: number; readonly random: number },
): Choice {
  const floor = options.explorationRatio / beliefs.length;
  const propensities = bestChances(beliefs).map((chance) => floor + (1 - options.explorationRatio) * chance);
  let index = 0;
  let reached = propensities[0] ?? 1;
  while (options.random >= reached && index < beliefs.length - 1) {
    index += 1;
    reached += propensities[index] ?? 0;
  }
  return { index, propensity: propensities[index] ?? 1, propensities };
}

/** Nodes and weights of 8-point Gauss-Legendre on [-1, 1] (Abramowitz and Stegun, table 25.4), positive half. */
const GAUSS = [
  [0.1834346424956498, 0.362683783378362],
  [0.525532409916329, 0.3137066458778873],
  [0.7966664774136267, 0.2223810344533745],
  [0.9602898564975363, 0.1012285362903763],
] as const;
/** Panel edges in standard deviations around the centre of every arm. */
const EDGES = [-9, -6, -4, -2.5, -1.25, 0, 1.25, 2.5, 4, 6, 9];
/** Panel edges near both ends, as shares of the range: there a parameter just above 1 bends the integrand sharply. */
const END_EDGES = [1 / 512, 1 / 64, 1 / 8];

/**
 * Chance that each arm's value is the largest, when every value is drawn from its belief:
 * p_i = integral of f_i(x) * product over j != i of F_j(x).
 *
 * Quadrature: x = sin^2(t), which makes a Beta nearly normal with standard deviation 1 / (2 sqrt(alpha + beta)) and
 * takes the root singularities off the ends; composite 8-point Gauss-Legendre on panels whose edges lie around the
 * centre of every arm, so that the narrowest arm sets the step where it matters. Beyond 9 standard deviations of all
 * arms lies less than 1e-12. Error: below 1e-8 absolute for 1 <= alpha, beta <= 1e5 and up to 6 arms; the tests hold
 * it to closed forms (Beta(a, 1): p_i = a_i / sum a; integer parameters: a finite sum) and to sampling. The result is
 * scaled to sum 1.
 */
export function bestChances(beliefs: readonly Belief[]): readonly number[] {
  const arms = beliefs.map((belief) => {
    if (!(belief.alpha >= 1 && belief.beta >= 1)) throw new RangeError('a belief needs alpha and beta of at least 1');
    const logNorm = logGamma(belief.alpha + belief.beta) - logGamma(belief.alpha) - logGamma(belief.beta);
    return { ...belief, logNorm };
  });
  const edges = panelEdges(beliefs);
  const chances = arms.map(() => 0);
  for (const [panel, left] of edges.slice(0, -1).entries()) {
    const half = ((edges[panel + 1] ?? left) - left) / 2;
    for (const [offset, weight] of GAUSS) {
      for (const side of [-1, 1]) {
        const t = left + half * (1 + side * offset);
        const logSin = Math.log(Math.sin(t));
        const logCos = Math.log(Math.cos(t));
        const below = arms.map((arm) => regularizedBeta(arm, logSin, logCos));
        for (const [index, arm] of arms.entries()) {
          const density =
            2 * Math.exp(arm.logNorm + (2 * arm.alpha - 1) * logSin + (2 * arm.beta - 1) * logCos) * weight * half;
          chances[index] =
            (chances[index] ?? 0) + below.reduce((p, f, other) => (other === index ? p : p * f), density);
        }
      }
    }
  }
  const sum = chances.reduce((total, chance) => total + chance, 0);
  return chances.map((chance) => chance / sum);
}

function panelEdges(beliefs: readonly Belief[]): number[] {
  const end = Math.PI / 2;
  const edges = beliefs.flatMap(({ alpha, beta }) => {
    const centre = Math.asin(Math.sqrt(alpha / (alpha + beta)));
    const deviation = 0.5 / Math.sqrt(alpha + beta);
    return EDGES.map((edge) => centre + edge * deviation).filter((t) => t > 0 && t < end);
  });
  const ends = END_EDGES.flatMap((share) => [share * end, (1 - share) * end]);
  const sorted = [0, ...[...edges, ...ends].toSorted((a, b) => a - b), end];
  return sorted.filter((t, index) => index === 0 || t - (sorted[index - 1] ?? 0) > 1e-9);
}

/** I_x(alpha, beta) at x = sin^2(t), by the continued fraction of DLMF 8.17.22 and the modified Lentz method. */
function regularizedBeta(arm: Belief & { readonly logNorm: number }, logSin: number, logCos: number): number {
  const x = Math.exp(2 * logSin);
  const front = Math.exp(arm.logNorm + 2 * arm.alpha * logSin + 2 * arm.beta * logCos);
  const isLow = x < (arm.alpha + 1) / (arm.alpha + arm.beta + 2);
  return isLow
    ? (front * betaFraction(arm.alpha, arm.beta, x)) / arm.alpha
    : 1 - (front * betaFraction(arm.beta, arm.alpha, 1 - x)) / arm.beta;
}

function betaFraction(a: number, b: number, x: number): number {
  const tiny = 1e-300;
  const keep = (value: number) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / keep(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 10_000; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / keep(1 + even * d);
    c = keep(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / keep(1 + odd * d);
    c = keep(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-13) break;
  }
  return fraction;
}

/** ln gamma(x) for x >= 1: Stirling's series (DLMF 5.11.1) after shifting x above 10; error below 1e-14 relative. */
function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  while (z < 10) {
    shift += Math.log(z);
    z += 1;
  }
  const inverse = 1 / (z * z);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse / 1188)))) / z;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
