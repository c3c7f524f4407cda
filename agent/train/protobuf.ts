// Writes ONNX models as bytes, without a protobuf library: the few messages of onnx.proto3 that a graph needs.
// Fields are written in ascending order and nothing is optional by chance, so equal models are equal bytes.

/** Element types of a tensor, with their numbers in onnx.proto3 (TensorProto.DataType). */
export const ELEMENT = { float: 1, uint8: 2, int8: 3, int64: 7, bool: 9 } as const;
/** One of ELEMENT. */
export type ElementType = keyof typeof ELEMENT;

/** A constant: `dims` are its sizes, `values` row by row. */
export type TensorConstant =
  | {
      readonly name: string;
      readonly type: 'float';
      readonly dims: readonly number[];
      readonly values: ArrayLike<number>;
    }
  | {
      readonly name: string;
      readonly type: 'uint8' | 'int8';
      readonly dims: readonly number[];
      readonly values: ArrayLike<number>;
    }
  | {
      readonly name: string;
      readonly type: 'int64' | 'bool';
      readonly dims: readonly number[];
      readonly values: readonly (number | bigint)[];
    };

/** An input or output of a graph; a dimension is a size, or a name for one that is known only when it runs. */
export type ValueShape = {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly (number | string)[];
};

/** The value of a node's attribute. */
export type AttributeValue =
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'graph'; readonly value: Graph };

/** One operator applied to named values; an input '' is one left out. */
export type GraphNode = {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
};

/** A computation: nodes in an order in which every value is made before it is used. */
export type Graph = {
  readonly name: string;
  readonly inputs: readonly ValueShape[];
  readonly outputs: readonly ValueShape[];
  readonly constants: readonly TensorConstant[];
  readonly nodes: readonly GraphNode[];
};

/** A graph and what it says of itself. */
export type Model = {
  readonly graph: Graph;
  readonly producer: string;
  /** Version of the operator set (https://onnx.ai/onnx/operators). */
  readonly opset: number;
  /** Free text by key, written in the order of the keys. */
  readonly metadata: Readonly<Record<string, string>>;
};

/** Version of the ONNX file format; 9 goes with operator sets up to 20. */
const IR_VERSION = 9;

/** AttributeProto.AttributeType. */
const ATTRIBUTE = { float: 1, int: 2, string: 3, graph: 5, ints: 7 } as const;

const utf8 = new TextEncoder();

function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return bytes;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Wire type 0. */
const integer = (field: number, value: number | bigint): Uint8Array =>
  Uint8Array.from([...varint(field << 3), ...varint(value)]);

/** Wire type 5. */
function float32(field: number, value: number): Uint8Array {
  const bytes = new Uint8Array(5);
  bytes[0] = (field << 3) | 5;
  new DataView(bytes.buffer).setFloat32(1, value, true);
  return bytes;
}

/** Wire type 2. */
const lengthed = (field: number, body: Uint8Array): Uint8Array =>
  join([Uint8Array.from([...varint((field << 3) | 2), ...varint(body.length)]), body]);

const text = (field: number, value: string): Uint8Array => lengthed(field, utf8.encode(value));

/** Little-endian whatever the machine is, as TensorProto.raw_data asks. */
function rawData(tensor: TensorConstant): Uint8Array {
  const { type, values } = tensor;
  const width = { float: 4, uint8: 1, int8: 1, int64: 8, bool: 1 }[type];
  const bytes = new Uint8Array(values.length * width);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] ?? 0;
    if (type === 'float') view.setFloat32(index * 4, Number(value), true);
    else if (type === 'int64') view.setBigInt64(index * 8, BigInt(value), true);
    else if (type === 'int8') view.setInt8(index, Number(value));
    else view.setUint8(index, Number(value));
  }
  return bytes;
}

const tensorProto = (tensor: TensorConstant): Uint8Array =>
  join([
    ...tensor.dims.map((size) => integer(1, size)),
    integer(2, ELEMENT[tensor.type]),
    text(8, tensor.name),
    lengthed(9, rawData(tensor)),
  ]);

function valueInfo(value: ValueShape): Uint8Array {
  const dims = value.dims.map((dim) => lengthed(1, typeof dim === 'number' ? integer(1, dim) : text(2, dim)));
  const tensorType = join([integer(1, ELEMENT[value.type]), lengthed(2, join(dims))]);
  return join([text(1, value.name), lengthed(2, lengthed(1, tensorType))]);
}

function attributeProto(name: string, attribute: AttributeValue): Uint8Array {
  const type = integer(20, ATTRIBUTE[attribute.kind]);
  if (attribute.kind === 'float') return join([text(1, name), float32(2, attribute.value), type]);
  if (attribute.kind === 'int') return join([text(1, name), integer(3, attribute.value), type]);
  if (attribute.kind === 'string') return join([text(1, name), text(4, attribute.value), type]);
  if (attribute.kind === 'graph') return join([text(1, name), lengthed(6, graphProto(attribute.value)), type]);
  return join([text(1, name), ...attribute.value.map((value) => integer(8, value)), type]);
}

const nodeProto = (node: GraphNode): Uint8Array =>
  join([
    ...node.inputs.map((name) => text(1, name)),
    ...node.outputs.map((name) => text(2, name)),
    text(4, node.op),
    ...Object.entries(node.attributes).map(([name, value]) => lengthed(5, attributeProto(name, value))),
  ]);

const graphProto = (graph: Graph): Uint8Array =>
  join([
    ...graph.nodes.map((node) => lengthed(1, nodeProto(node))),
    text(2, graph.name),
    ...graph.constants.map((tensor) => lengthed(5, tensorProto(tensor))),
    ...graph.inputs.map((value) => lengthed(11, valueInfo(value))),
    ...graph.outputs.map((value) => lengthed(12, valueInfo(value))),
  ]);

/** The bytes of a .onnx file. The same model gives the same bytes on every machine. */
export const encodeModel = (model: Model): Uint8Array =>
  join([
    integer(1, IR_VERSION),
    text(2, model.producer),
    lengthed(7, graphProto(model.graph)),
    lengthed(8, integer(2, model.opset)),
    ...Object.entries(model.metadata).map(([key, value]) => lengthed(14, join([text(1, key), text(2, value)]))),
  ]);
