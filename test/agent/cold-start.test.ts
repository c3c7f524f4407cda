// The first order of titles on a new node, from a file of similar regions.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { startFromSimilar } from '../../agent/cold-start.ts';
import { createPopularity, DEFAULT_HALF_LIFE_MS, type Popularity } from '../../agent/predict/popularity.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-cold-'));
const file = join(root, 'regions.json');
const now = 1_700_000_000_000;
let popularity: Popularity;
let logged: string[];

beforeEach(() => {
  popularity = createPopularity({ halfLifeMs: DEFAULT_HALF_LIFE_MS });
  logged = [];
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const start = () =>
  startFromSimilar(popularity, { file, region: 'here', now, log: (_level, event) => logged.push(event) });
const order = () => popularity.shares('here', now, 10).map(({ titleId }) => titleId);

const regions = [
  { similarity: 0.8, latest: ['a', 'b', 'c'], before: ['c'] },
  { similarity: 0.2, latest: ['z', 'a'] },
];

describe('a node that has counted nothing', () => {
  test('begins with what regions like it watch, the nearest first, and forgets it as views come', async () => {
    writeFileSync(file, JSON.stringify(regions));
    await start();
    expect(order()).toEqual(['a', 'b', 'c', 'z']);
    expect(logged).toEqual(['popularity.from-similar']);
    for (let view = 0; view < 40; view += 1) popularity.add({ titleId: 'own', region: 'here', at: now }, now);
    expect(order()[0]).toBe('own');
  });

  test.each([
    ['no JSON', 'nonsense'],
    ['no list', '{}'],
    ['nothing in a region', '[null]'],
    ['a likeness above 1', JSON.stringify([{ similarity: 2, latest: [] }])],
    ['titles that are no text', JSON.stringify([{ similarity: 1, latest: [7] }])],
  ])('begins without an order from a file with %s, and says so', async (_, text) => {
    writeFileSync(file, text);
    await start();
    expect(order()).toEqual([]);
    expect(logged).toEqual(['popularity.similar-unreadable']);
  });

  test('begins without an order when the file is missing or beyond its bound', async () => {
    rmSync(file, { force: true });
    await start();
    writeFileSync(file, '[]');
    truncateSync(file, 5 * 1024 * 1024);
    await start();
    expect(order()).toEqual([]);
    expect(logged).toEqual(['popularity.similar-unreadable', 'popularity.similar-unreadable']);
  });
});

test('a node that has counted views of its own keeps its order', async () => {
  writeFileSync(file, JSON.stringify(regions));
  popularity.add({ titleId: 'own', region: 'here', at: now }, now);
  await start();
  expect(order()).toEqual(['own']);
  expect(logged).toEqual([]);
});
