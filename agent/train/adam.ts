// One step of Adam written into a training graph: weights and moments in, weights and moments out.
import type { Value } from './autodiff.ts';
import type { GraphBuilder } from './graph.ts';

/** Decay of the moments and what keeps the quotient finite (Kingma, Ba 2015, Algorithm 1; second decay .98 as SASRec). */
const FIRST_DECAY = 0.9;
const SECOND_DECAY = 0.98;
const EPSILON = 1e-8;

/** Names of the graph's inputs and outputs for a parameter: it, and its moments; outputs are `next_` and the name. */
export const momentsOf = (parameter: string): readonly [string, string] => [
  `first_${parameter}`,
  `second_${parameter}`,
];
/** Name under which a step gives an input's next value. */
export const nextOf = (name: string): string => `next_${name}`;

/** The step's length for step 1, 2, ..., with the correction for moments that begin at 0 (section 2, last lines). */
export const stepLength = (rate: number, step: number): number =>
  (rate * Math.sqrt(1 - SECOND_DECAY ** step)) / (1 - FIRST_DECAY ** step);

/** Adds the step of one parameter; `length` is an input, a scalar of stepLength(). */
export function addAdamStep(graph: GraphBuilder, parameter: Value, gradient: Value, length: string): void {
  const { dims } = parameter;
  const [firstName, secondName] = momentsOf(parameter.name);
  const number = (name: string, value: number): string => graph.weights(`${parameter.name}_${name}`, [], [value]);
  const mixed = (before: string, decay: number, added: string, name: string): string =>
    graph.apply('Add', [
      graph.apply('Mul', [before, number(`${name}_keep`, decay)]),
      graph.apply('Mul', [added, number(`${name}_take`, 1 - decay)]),
    ]);
  const first = mixed(graph.input({ name: firstName, type: 'float', dims }), FIRST_DECAY, gradient.name, 'first');
  const squared = graph.apply('Mul', [gradient.name, gradient.name]);
  const second = mixed(graph.input({ name: secondName, type: 'float', dims }), SECOND_DECAY, squared, 'second');
  const below = graph.apply('Add', [graph.apply('Sqrt', [second]), number('epsilon', EPSILON)]);
  const change = graph.apply('Mul', [graph.apply('Div', [first, below]), length]);
  for (const [name, value] of [
    [parameter.name, graph.apply('Sub', [parameter.name, change])],
    [firstName, first],
    [secondName, second],
  ] as const) {
    graph.output(value, { name: nextOf(name), type: 'float', dims });
  }
}
