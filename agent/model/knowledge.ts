// What is known of titles besides the catalogue's lines: embeddings with their index, item-to-item weights, and what
// viewers turn to. Indexes are built in short turns of the event loop, so that no viewer waits behind them.
import type { CatalogueIndex } from '../predict/catalogue-index.ts';
import { embedMetadata } from '../predict/embed.ts';
import { indexNearest, type NearestIndex } from '../predict/nearest.ts';
import { extendEmbeddings } from '../predict/place.ts';
import type { Knowledge } from '../predict/profile.ts';
import { placesOf, type TitleEmbeddings, type TitleNeighbours } from '../predict/tables.ts';
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

/** A turn of the event loop builds for so long, and then rests: a third of the thread, for some seconds of a large one. */
const TURN_MS = 2;
const REST_MS = 4;
/** A large catalogue that changes all the time is indexed no more often; new titles wait for their place so long. */
const AGAIN_MS = 60_000;
/** New titles get a learnt place where that takes one turn of about 10 ms; in larger tables they wait for the night. */
const EXTENDED_TITLES = 5_000;
/** Catalogues up to this size are indexed at once: within about 10 ms. */
const SMALL_TITLES = 1_000;

function* build(index: CatalogueIndex, learnt: TitleEmbeddings | undefined): Generator<void, NearestIndex, void> {
  if (learnt === undefined) return yield* indexNearest(yield* embedMetadata(index.titles.values()));
  const known = placesOf(learnt.titleIds);
  const hasNew = index.titles.size > known.size || [...index.titles.keys()].some((titleId) => !known.has(titleId));
  if (!hasNew || known.size > EXTENDED_TITLES) return yield* indexNearest(learnt);
  return yield* indexNearest(extendEmbeddings(learnt, yield* embedMetadata(index.titles.values())));
}

/** Opens the keeper; `tables` is asked with every question and is quick. */
export function openKnowledge(
  tables: () => LearntTables | undefined,
  transitions: Transitions = createTransitions(),
): KnowledgeKeeper {
  const builder = openBuilder();
  let of: { readonly index: CatalogueIndex; readonly learnt: TitleEmbeddings | undefined } | undefined;
  return {
    transitions,
    of: (index) => {
      const learnt = tables();
      const isNew = of?.index !== index || of.learnt !== learnt?.embeddings;
      if (isNew && builder.begin(build(index, learnt?.embeddings), index.titles.size <= SMALL_TITLES)) {
        of = { index, learnt: learnt?.embeddings };
      }
      return { nearest: builder.built(), neighbours: learnt?.neighbours, transitions };
    },
    settled: builder.settled,
    close: builder.close,
  };
}

/** Builds one index after the other; the last one that was built serves meanwhile. */
function openBuilder() {
  let built: NearestIndex | undefined;
  let turn: NodeJS.Timeout | undefined;
  let settled: Promise<void> = Promise.resolve();
  let begunAt = Number.NEGATIVE_INFINITY;
  /** Goes on until a deadline; true when it is done. */
  const runUntil = (steps: Generator<void, NearestIndex, void>, deadline: number): boolean => {
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) {
        built = step.value;
        return true;
      }
      if (performance.now() >= deadline) return false;
    }
  };
  return {
    built: () => built,
    /** False when the last one was begun so lately that this one waits; it is asked for again. */
    begin: (steps: Generator<void, NearestIndex, void>, isSmall: boolean): boolean => {
      if (!isSmall && performance.now() - begunAt < AGAIN_MS) return false;
      clearTimeout(turn);
      if (isSmall) return runUntil(steps, Number.POSITIVE_INFINITY);
      begunAt = performance.now();
      settled = new Promise((resolve) => {
        const run = (): void => {
          if (runUntil(steps, performance.now() + TURN_MS)) resolve();
          else turn = setTimeout(run, REST_MS);
        };
        turn = setTimeout(run, 0);
      });
      return true;
    },
    settled: () => settled,
    close: () => clearTimeout(turn),
  };
}
