// Runs training graphs: with agent/model/child.ts the only file that loads onnxruntime-node. Whoever imports this is a
// process of its own, for native code can abort the process it is in.
import { InferenceSession, Tensor } from 'onnxruntime-node';

/** A tensor to feed or as it came out. */
export type GraphTensor =
  | { readonly type: 'float32'; readonly dims: readonly number[]; readonly values: Float32Array }
  | { readonly type: 'int64'; readonly dims: readonly number[]; readonly values: BigInt64Array };

/** An open graph. */
export type GraphSession = {
  /** The outputs asked for, all if none is named. */
  readonly run: (
    feeds: Readonly<Record<string, GraphTensor>>,
    outputs?: readonly string[],
  ) => Promise<Readonly<Record<string, GraphTensor>>>;
  readonly close: () => Promise<void>;
};

/** Opens a graph from its bytes on so many threads; rejects with the runtime's error if it cannot be read. */
export async function openGraph(bytes: Uint8Array, threads: number): Promise<GraphSession> {
  const session = await InferenceSession.create(bytes, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    logSeverityLevel: 3,
  });
  return {
    run: async (feeds, outputs = session.outputNames) => {
      const tensors = Object.entries(feeds).map(
        ([name, { type, values, dims }]) => [name, new Tensor(type, values, dims)] as const,
      );
      const results = await session.run(Object.fromEntries(tensors), outputs);
      return Object.fromEntries(
        Object.entries(results).map(([name, { data, dims }]): [string, GraphTensor] => {
          if (data instanceof Float32Array) return [name, { type: 'float32', dims, values: data }];
          if (data instanceof BigInt64Array) return [name, { type: 'int64', dims, values: data }];
          throw new TypeError(`${name} is neither float32 nor int64`);
        }),
      );
    },
    close: () => session.release(),
  };
}
