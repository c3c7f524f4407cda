// What is known of titles besides the catalogue's lines: embeddings with their index, item-to-item weights, and what
// viewers turn to. Indexes are built in short turns of the event loop, so that no viewer waits behind them.
import type { CatalogueIndex } from '../predict/catalogue-index.ts';
import { embedMetadata } from '../predict/embed.ts';
import { indexNearest, type NearestIndex } from '../predict/nearest.ts';
import type { Knowledge } from '../predict/profile.ts';
import type { TitleEmbeddings, TitleNeighbours } from '../predict/tables.ts';
import { createTransitions, type Transitions } from '../predict/transitions.ts';

/** What training learnt of titles; another object each time that another model is there. */
export type LearntTables = {
  readonly embeddings?: TitleEmbeddings | undefined;
  readonly neighbours?: TitleNeighbours | undefined;
};

/** Knowledge that follows the catalogue and the model. */
export type KnowledgeKeeper = {
  readonly transitions: Transitions;
  /** What there is for this catalogue; the index of a large new one is the former until the new one is built. */
  readonly of: (index: CatalogueIndex) => Knowledge;
  /** Resolves when nothing is being built. */
  readonly settled: () => Promise<void>;
  readonly close: () => void;
};

/** A turn of the event loop builds for so long. */
const TURN_MS = 2;
/** Catalogues up to this size are indexed at once: within about 10 ms. */
const SMALL_TITLES = 1_000;

function* build(index: CatalogueIndex, learnt: TitleEmbeddings | undefined): Generator<void, NearestIndex, void> {
  const table = learnt ?? (yield* embedMetadata(index.titles.values()));
  return yield* indexNearest(table);
}

/** Opens the keeper; `tables` is asked with every question and is quick. */
export function openKnowledge(tables: () => LearntTables | undefined): KnowledgeKeeper {
  const transitions = createTransitions();
  let built: NearestIndex | undefined;
  let of: { readonly index: CatalogueIndex; readonly learnt: TitleEmbeddings | undefined } | undefined;
  let turn: NodeJS.Immediate | undefined;
  let building: Promise<void> = Promise.resolve();

  const begin = (steps: Generator<void, NearestIndex, void>): void => {
    clearImmediate(turn);
    building = new Promise((resolve) => {
      const run = (): void => {
        const deadline = performance.now() + TURN_MS;
        for (let step = steps.next(); ; step = steps.next()) {
          if (step.done === true) {
            built = step.value;
            resolve();
            return;
          }
          if (performance.now() >= deadline) break;
        }
        turn = setImmediate(run);
      };
      turn = setImmediate(run);
    });
  };
  const buildNow = (steps: Generator<void, NearestIndex, void>): void => {
    clearImmediate(turn);
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done !== true) continue;
      built = step.value;
      return;
    }
  };

  return {
    transitions,
    of: (index) => {
      const learnt = tables();
      if (of?.index !== index || of.learnt !== learnt?.embeddings) {
        of = { index, learnt: learnt?.embeddings };
        const steps = build(index, learnt?.embeddings);
        if (index.titles.size <= SMALL_TITLES) buildNow(steps);
        else begin(steps);
      }
      return { nearest: built, neighbours: learnt?.neighbours, transitions };
    },
    settled: () => building,
    close: () => clearImmediate(turn),
  };
}
