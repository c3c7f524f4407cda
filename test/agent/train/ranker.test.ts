// A ranker trained from end to end on small made-up viewers: it learns an order, repeats to the byte, and can be stopped.
import { describe, expect, test } from 'vitest';
import { RANKER_FILES, readEmbeddings, readNeighbours, readTitles } from '../../../agent/predict/ranker-files.ts';
import { openGraph } from '../../../agent/train/graph-session.ts';
import {
  eachOnce,
  historiesOf,
  type Interaction,
  LIMITS,
  prepareInteractions,
} from '../../../agent/train/interactions.ts';
import { sequenceFeeds } from '../../../agent/train/measure-ranker.ts';
import { seededRandom } from '../../../agent/train/random.ts';
import { type TrainedRanker, trainRanker } from '../../../agent/train/ranker.ts';

const TITLES = 24;
/** Viewers who go round a circle of titles, each from a place of his own. */
function circle(viewers: number, views: number): Interaction[] {
  const random = seededRandom(5);
  return Array.from({ length: viewers }, (_, viewer) => {
    const start = Math.floor(random() * TITLES);
    return Array.from({ length: views }, (_, view) => ({
      viewer: `v${viewer}`,
      titleId: `t${(start + view) % TITLES}`,
      at: 1000 * view + viewer,
      weight: 1,
    }));
  }).flat();
}

const fileOf = ({ files }: TrainedRanker, name: string): Uint8Array => files.get(name) ?? new Uint8Array();
const trained = trainRanker(circle(16, 15), { seed: 3, epochs: 30 });

describe('a trained ranker', () => {
  test('says what follows, in 32 and in 8 bits, alone and in a batch', async () => {
    const { titles, length, width, rank } = readTitles(fileOf(await trained, RANKER_FILES.titles));
    const places = new Map(titles.map((id, row) => [id, row]));
    const histories = Array.from({ length: TITLES }, (_, at) =>
      [0, 1, 2].map((step) => places.get(`t${(at + step) % TITLES}`) ?? -1),
    );
    for (const name of [RANKER_FILES.sequence, RANKER_FILES.sequenceInt8]) {
      const session = await openGraph(fileOf(await trained, name), 1);
      const all = await session.run(sequenceFeeds({ length, width, rank }, TITLES, histories));
      const right = histories.filter(
        (_, at) => titles[Number(all['top_titles']?.values[at * TITLES])] === `t${(at + 3) % TITLES}`,
      );
      expect(right.length).toBeGreaterThanOrEqual(TITLES - 1);
      const one = await session.run(sequenceFeeds({ length, width, rank }, TITLES, histories.slice(4, 5)));
      if (name === RANKER_FILES.sequence) {
        const [lone, batched] = [one['scores'], all['scores']].map((scores) =>
          Array.from(scores?.values ?? [], Number),
        );
        lone?.forEach((score, at) => {
          expect(score).toBeCloseTo(batched?.[4 * TITLES + at] ?? Number.NaN, 3);
        });
      }
      await session.close();
    }
  });

  test('a bias, an adapter and scores from beside change the order without loading anything', async () => {
    const { length, width, rank } = readTitles(fileOf(await trained, RANKER_FILES.titles));
    const session = await openGraph(fileOf(await trained, RANKER_FILES.sequence), 1);
    const feeds = sequenceFeeds({ length, width, rank }, TITLES, [[0, 1]]);
    const orderWith = async (name: string, values: Float32Array): Promise<string> => {
      const dims = feeds[name]?.dims ?? [];
      const { top_titles } = await session.run({ ...feeds, [name]: { type: 'float32', dims, values } }, ['top_titles']);
      return top_titles?.values.join() ?? '';
    };
    const before = await orderWith('head_bias', new Float32Array(TITLES));
    const last = Number(before.split(',').at(-1));
    const lift = Float32Array.from({ length: TITLES }, (_, at) => (at === last ? 1000 : 0));
    expect((await orderWith('head_bias', lift)).startsWith(`${last},`)).toBe(true);
    expect((await orderWith('beside', lift)).startsWith(`${last},`)).toBe(true);
    const random = seededRandom(1);
    const down = Float32Array.from({ length: width * rank }, () => random() - 0.5);
    const dims = { down: [width, rank], up: [rank, width] };
    const adapted = await session.run(
      {
        ...feeds,
        adapter_down: { type: 'float32', dims: dims.down, values: down },
        adapter_up: { type: 'float32', dims: dims.up, values: down.map((value) => value * 50) },
      },
      ['top_titles'],
    );
    expect(adapted['top_titles']?.values.join()).not.toBe(before);
    await session.close();
  });

  test('comes with neighbours, places and figures of a time that it had not seen', async () => {
    const { metrics } = await trained;
    const { titles } = readTitles(fileOf(await trained, RANKER_FILES.titles));
    expect(readNeighbours(fileOf(await trained, RANKER_FILES.ease), titles).ids.some((id) => id >= 0)).toBe(true);
    const { values, width } = readEmbeddings(fileOf(await trained, RANKER_FILES.embeddings));
    for (let row = 0; row < TITLES; row += 1) {
      const length = Math.hypot(...values.subarray(row * width, (row + 1) * width));
      expect(length).toBeCloseTo(1, 4);
    }
    expect(metrics).toMatchObject({ titles: TITLES, viewers: 16, events: 240, epochs: 30 });
    expect(metrics['questions']).toBeGreaterThan(5);
    expect(metrics['hr10']).toBeGreaterThan(0.9);
    expect(metrics['reachRatio']).toBeGreaterThan(0.5);
  });

  test('of a large catalogue learns from candidates alone what follows', async () => {
    const one = await trainRanker(circle(16, 15), { seed: 3, epochs: 30, candidates: 18, holdOutRatio: 0 });
    const graph = fileOf(one, RANKER_FILES.sequence);
    expect(Buffer.from(graph).equals(fileOf(await trained, RANKER_FILES.sequence))).toBe(false);
    const { titles, length, width, rank } = readTitles(fileOf(one, RANKER_FILES.titles));
    const places = new Map(titles.map((id, row) => [id, row]));
    const histories = Array.from({ length: TITLES }, (_, at) =>
      [0, 1, 2].map((step) => places.get(`t${(at + step) % TITLES}`) ?? -1),
    );
    const session = await openGraph(graph, 1);
    const all = await session.run(sequenceFeeds({ length, width, rank }, TITLES, histories), ['top_titles']);
    await session.close();
    const right = histories.filter(
      (_, at) => titles[Number(all['top_titles']?.values[at * TITLES])] === `t${(at + 3) % TITLES}`,
    );
    expect(right.length).toBeGreaterThanOrEqual(TITLES - 2);
  });

  test('the same data and seed give the same bytes, another seed others', async () => {
    const options = { seed: 3, epochs: 2, holdOutRatio: 0 };
    const [one, again, other] = await Promise.all([
      trainRanker(circle(20, 12), options),
      trainRanker(circle(20, 12), options),
      trainRanker(circle(20, 12), { ...options, seed: 4 }),
    ]);
    for (const [name, bytes] of one.files) expect(Buffer.compare(bytes, fileOf(again, name))).toBe(0);
    expect(Buffer.compare(fileOf(one, RANKER_FILES.sequence), fileOf(other, RANKER_FILES.sequence))).not.toBe(0);
  });

  test('stops at once when aborted, and says how far it is', async () => {
    const stop = new AbortController();
    const seen: number[] = [];
    const training = trainRanker(circle(20, 12), {
      seed: 1,
      epochs: 500,
      signal: stop.signal,
      onProgress: (ratio) => {
        seen.push(ratio);
        if (seen.length === 3) stop.abort(new Error('enough'));
      },
    });
    await expect(training).rejects.toThrow('enough');
    expect(seen).toHaveLength(3);
    expect(seen).toEqual([...seen].sort((one, other) => one - other));
  });

  test('too little to learn from is refused', async () => {
    await expect(trainRanker(circle(2, 5), { seed: 1 })).rejects.toThrow(RangeError);
    const alone = Array.from({ length: 300 }, (_, at) => ({ viewer: `v${at}`, titleId: 'only', at, weight: 1 }));
    await expect(trainRanker(alone, { seed: 1 })).rejects.toThrow(RangeError);
  });
});

describe('interactions', () => {
  test('what has no time or weight is left out, the rest is in order, titles most watched first', () => {
    const event = (viewer: string, titleId: string, at: number, weight = 1) => ({ viewer, titleId, at, weight });
    const { titleIds, events } = prepareInteractions([
      event('v', 'b', 5),
      event('v', 'a', 3, 7),
      event('w', 'b', 1),
      event('w', 'x', Number.NaN),
      event('w', 'x', 2, 0),
      event('w', 'x', 2, Number.NaN),
    ]);
    expect(titleIds).toEqual(['b', 'a']);
    expect(events.map(({ row, at, weight }) => [row, at, weight])).toEqual([
      [0, 1, 1],
      [1, 3, 1],
      [0, 5, 1],
    ]);
  });

  test('a viewer of very many events counts with the newest', () => {
    const flood = Array.from({ length: LIMITS.perViewer + 50 }, (_, at) => ({
      viewer: 'bot',
      titleId: at < 50 ? 'old' : 'new',
      at,
      weight: 1,
    }));
    const { titleIds, events } = prepareInteractions([...flood, { viewer: 'v', titleId: 'old', at: 7, weight: 1 }]);
    expect(events).toHaveLength(LIMITS.perViewer + 1);
    expect(titleIds).toEqual(['new', 'old']);
  });

  test('a title opened again at once counts once; EASE sees each title once, at its latest place', () => {
    const rows = [1, 1, 2, 1].map((row, at) => ({ viewer: 'v', row, at, weight: at === 1 ? 1 : 0.5 }));
    const history = historiesOf(rows).get('v');
    expect(history).toEqual({ rows: [1, 2, 1], weights: [1, 0.5, 0.5] });
    expect([...eachOnce(history ?? { rows: [], weights: [] }).rows]).toEqual([2, 1]);
  });
});
