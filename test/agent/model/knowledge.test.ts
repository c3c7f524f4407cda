// What is known of titles follows catalogue and model: small catalogues at once, large ones in turns that hold nobody up,
// with the former index serving meanwhile.
import { afterEach, expect, test } from 'vitest';
import { type KnowledgeKeeper, type LearntTables, openKnowledge } from '../../../agent/model/knowledge.ts';
import { indexCatalogue } from '../../../agent/predict/catalogue-index.ts';

let keeper: KnowledgeKeeper;
afterEach(() => keeper.close());
const catalogueOf = (count: number, genre = 'drama') =>
  indexCatalogue(Array.from({ length: count }, (_, at) => ({ id: `t${at}`, genres: [genre], series: `s${at % 50}` })));

test('a small catalogue is indexed at once, another one anew', () => {
  keeper = openKnowledge(() => undefined);
  expect(keeper.of(catalogueOf(10)).nearest?.followers).toHaveLength(10);
  const index = catalogueOf(20);
  const first = keeper.of(index).nearest;
  expect(first?.followers).toHaveLength(20);
  expect(keeper.of(index).nearest).toBe(first);
});

test('a large one is indexed in turns, while the former serves, and not again before its time', async () => {
  keeper = openKnowledge(() => undefined);
  const small = keeper.of(catalogueOf(10)).nearest;
  const large = catalogueOf(3_000);
  expect(keeper.of(large).nearest).toBe(small);
  let turns = 0;
  const counting = setInterval(() => {
    turns += 1;
  }, 0);
  await keeper.settled();
  clearInterval(counting);
  expect(turns).toBeGreaterThan(0);
  const built = keeper.of(large).nearest;
  expect(built?.followers).toHaveLength(3_000);
  expect(keeper.of(catalogueOf(4_000)).nearest).toBe(built);
});

test('embeddings and neighbours that were learnt go before metadata, as soon as there are some', () => {
  let tables: LearntTables | undefined;
  keeper = openKnowledge(() => tables);
  const index = catalogueOf(3);
  expect(keeper.of(index).nearest?.table.width).toBe(32);
  const titleIds = ['t0', 't1', 't2'];
  const neighbours = { titleIds, width: 1, ids: Int32Array.of(1, 0, -1), weights: Float32Array.of(1, 1, 0) };
  tables = { embeddings: { titleIds, width: 2, values: Float32Array.of(1, 0, 0, 1, 1, 0) }, neighbours };
  const known = keeper.of(index);
  expect(known.nearest?.table.width).toBe(2);
  expect(known.neighbours).toBe(neighbours);
  // A title that came since has a place too, foretold from its line.
  const titles = [...index.titles.values(), { id: 'new', genres: ['drama'], series: 's1' }];
  expect(keeper.of(indexCatalogue(titles)).nearest?.table.titleIds).toEqual([...titleIds, 'new']);
});
