// The memory of targets: bounded, and of one state of the table of hosts only.
import { expect, test } from 'vitest';
import type { Place } from '../../cache/hosts/hosts.ts';
import { KnownPlaces } from '../../cache/known.ts';

// Places are handed back unread.
const place = {} as Place;
const asking = (url: string, change = {}) => {
  return { method: 'GET', url, httpVersion: '1.1', rawHeaders: ['Host', 'a'], ...change };
};

test('a target is known under its name, for GET over HTTP/1.1, until hosts are replaced', () => {
  const [known, generation] = [new KnownPlaces(), {}];
  known.learn(asking('/a'), 'a', { generation, place });
  expect(known.find(asking('/a'), generation)).toBe(place);
  expect(known.find(asking('/b'), generation)).toBeUndefined();
  for (const change of [
    { method: 'HEAD' },
    { httpVersion: '1.0' },
    { httpVersion: '2' },
    { rawHeaders: ['Host', 'b'] },
  ]) {
    expect(known.find(asking('/a', change), generation)).toBeUndefined();
  }
  const next = {};
  expect(known.find(asking('/a'), next)).toBeUndefined();
  known.learn(asking('/b'), 'a', { generation: next, place });
  expect([known.find(asking('/a'), next), known.find(asking('/b'), next)]).toEqual([undefined, place]);
});

test('neither more than 4096 targets nor long ones are remembered', () => {
  const [known, generation] = [new KnownPlaces(), {}];
  const long = `/${'x'.repeat(256)}`;
  known.learn(asking(long), 'a', { generation, place });
  expect(known.find(asking(long), generation)).toBeUndefined();
  for (let count = 0; count < 4096; count += 1) known.learn(asking(`/${count}`), 'a', { generation, place });
  expect(known.find(asking('/0'), generation)).toBe(place);
  known.learn(asking('/more'), 'a', { generation, place });
  expect([known.find(asking('/0'), generation), known.find(asking('/more'), generation)]).toEqual([undefined, place]);
});
