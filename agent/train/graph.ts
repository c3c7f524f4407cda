// Builds ONNX graphs: name the inputs, apply operators, name the outputs. Shapes are the runtime's to check.
import assert from 'node:assert/strict';
import type { AttributeValue, Graph, GraphNode, TensorConstant, ValueShape } from './protobuf.ts';

/** A graph under construction. Every method that makes a value returns the value's name. */
export type GraphBuilder = {
  readonly input: (shape: ValueShape) => string;
  /** A weight or other constant of 32-bit floats; throws when `values` does not fill `dims`. */
  readonly weights: (name: string, dims: readonly number[], values: ArrayLike<number>) => string;
  readonly constant: (tensor: TensorConstant) => string;
  /** Applies an operator with one output. */
  readonly apply: (
    op: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, AttributeValue>>,
  ) => string;
  /** Applies an operator with so many outputs. */
  readonly applyMany: (
    op: string,
    inputs: readonly string[],
    count: number,
    attributes?: Readonly<Record<string, AttributeValue>>,
  ) => readonly string[];
  /** Makes a value an output of the graph under the shape's name. */
  readonly output: (value: string, shape: ValueShape) => void;
  readonly build: () => Graph;
};

/** Starts an empty graph. */
export function buildGraph(name: string): GraphBuilder {
  const inputs: ValueShape[] = [];
  const outputs: ValueShape[] = [];
  const constants: TensorConstant[] = [];
  const nodes: GraphNode[] = [];

  const applyMany: GraphBuilder['applyMany'] = (op, from, count, attributes = {}) => {
    const made = Array.from(
      { length: count },
      (_, at) => `${op.toLowerCase()}_${nodes.length}${at > 0 ? `_${at}` : ''}`,
    );
    nodes.push({ op, inputs: from, outputs: made, attributes });
    return made;
  };
  const apply: GraphBuilder['apply'] = (op, from, attributes = {}) => {
    const [made] = applyMany(op, from, 1, attributes);
    assert(made !== undefined);
    return made;
  };
  const constant = (tensor: TensorConstant): string => {
    const size = tensor.dims.reduce((product, dim) => product * dim, 1);
    if (size !== tensor.values.length) {
      throw new RangeError(`${tensor.name} has ${tensor.values.length} values for [${tensor.dims.join(', ')}]`);
    }
    constants.push(tensor);
    return tensor.name;
  };
  return {
    apply,
    applyMany,
    constant,
    input: (shape) => {
      inputs.push(shape);
      return shape.name;
    },
    weights: (weightName, dims, values) => constant({ name: weightName, type: 'float', dims, values }),
    output: (value, shape) => {
      nodes.push({ op: 'Identity', inputs: [value], outputs: [shape.name], attributes: {} });
      outputs.push(shape);
    },
    build: () => ({ name, inputs, outputs, constants, nodes }),
  };
}
