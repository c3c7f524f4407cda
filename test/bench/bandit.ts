// bench:bandit: whether the bandit chooses well and says truly how well, in simulated worlds whose truth is known.
import { measureCoverage, measurePeeking } from './bandit-estimates.ts';
import { measurePlaythrough, measureSelection } from './bandit-playthrough.ts';
import { measureRegret } from './bandit-regret.ts';

const PARTS = {
  selection: measureSelection,
  peeking: measurePeeking,
  coverage: measureCoverage,
  playthrough: measurePlaythrough,
  regret: measureRegret,
};
const asked = process.argv.slice(2);
const print = (line: string) => console.log(line);
let figures: Record<string, number> = {};
for (const [name, measure] of Object.entries(PARTS)) {
  if (asked.length === 0 || asked.includes(name)) figures = { ...figures, ...measure(print) };
}
console.log(JSON.stringify(figures));
