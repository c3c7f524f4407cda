// Model processes one after another: a new model is loaded and tried in a process of its own while the one before it
// goes on to answer, then takes its place between two questions.
import { openRuntime } from './runtime.ts';
import type { ModelRuntime, RunnableModel, RuntimeOptions, RuntimeState, RuntimeStats } from './runtime-contract.ts';
import type { Adaptation } from './sequence.ts';

type Total = Omit<RuntimeStats, 'state' | 'modelVersion' | 'pid' | 'rssBytes'>;

function plus(one: Total, other: Total): Total {
  return {
    answered: one.answered + other.answered,
    late: one.late + other.late,
    refused: one.refused + other.refused,
    failed: one.failed + other.failed,
    crashes: one.crashes + other.crashes,
    faults: {
      'wrong-shape': one.faults['wrong-shape'] + other.faults['wrong-shape'],
      'not-finite': one.faults['not-finite'] + other.faults['not-finite'],
      constant: one.faults.constant + other.faults.constant,
    },
  };
}

/** Opens it without a model. Counters are of all its processes together. */
export function openSwapping(options: RuntimeOptions): ModelRuntime {
  let serving = openRuntime(options);
  let before: Total | undefined;
  let adaptation: Adaptation | undefined;
  let isClosed = false;
  /** Loads wait for each other, so that two never meet. */
  let turn: Promise<unknown> = Promise.resolve();
  const retire = async (runtime: ModelRuntime): Promise<void> => {
    await runtime.drain();
    const last = runtime.stats();
    before = before === undefined ? last : plus(before, last);
  };
  const swap = async (model: RunnableModel | undefined): Promise<RuntimeState> => {
    if (isClosed) return 'closed';
    if (model === undefined || serving.stats().state !== 'ready') return await serving.load(model);
    if (serving.stats().modelVersion === model.modelVersion) return 'ready';
    const next = openRuntime(options);
    if (adaptation !== undefined) next.adapt(adaptation);
    const state = await next.load(model);
    if (state !== 'ready' || isClosed) {
      await next.close();
      return isClosed ? 'closed' : state;
    }
    const old = serving;
    serving = next;
    await retire(old);
    return 'ready';
  };
  return {
    load: (model) => {
      const loaded = turn.then(() => swap(model));
      turn = loaded.catch(() => undefined);
      return loaded;
    },
    score: (features, rows, about) => serving.score(features, rows, about),
    adapt: (changed) => {
      adaptation = changed;
      serving.adapt(changed);
    },
    stats: () => {
      const now = serving.stats();
      return before === undefined ? now : { ...now, ...plus(now, before) };
    },
    drain: () => serving.drain(),
    close: async () => {
      isClosed = true;
      await serving.close();
      await turn;
    },
  };
}
