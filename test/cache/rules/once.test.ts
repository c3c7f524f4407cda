// Ids for a single use: against a plain model, at the bound, and through steps of the clock.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UsedOnce } from '../../../cache/rules/once.ts';

const BEGIN = 1_800_000_000_000;
const step = fc.record({
  id: fc.nat(12).map(String),
  passMs: fc.oneof(fc.nat(3000), fc.nat(200_000)),
  livesMs: fc.oneof(fc.nat(30_000), fc.nat(10_000_000)),
});

test('an id that has not ended is taken once, and is forgotten within ten seconds of its end', () => {
  const run = (steps: readonly { id: string; passMs: number; livesMs: number }[]) => {
    const used = new UsedOnce(1000);
    const ends = new Map<string, number>();
    let nowMs = BEGIN;
    for (const { id, passMs, livesMs } of steps) {
      nowMs += passMs;
      const end = ends.get(id) ?? Number.NEGATIVE_INFINITY;
      const isTaken = used.use(id, nowMs + livesMs, nowMs);
      if (nowMs <= end) expect(isTaken).toBe(false);
      if (nowMs >= end + 10_000) expect(isTaken).toBe(true);
      if (isTaken) ends.set(id, nowMs + livesMs);
    }
  };
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), run));
});

test('full, it takes no other until one has ended, and goes on taking as they end', () => {
  const used = new UsedOnce(3);
  for (const id of ['a', 'b', 'c']) expect(used.use(id, BEGIN + 60_000, BEGIN)).toBe(true);
  expect(used.use('d', BEGIN + 60_000, BEGIN + 59_000)).toBe(false);
  expect(used.use('d', BEGIN + 120_000, BEGIN + 70_000)).toBe(true);
  expect(used.use('a', BEGIN + 120_000, BEGIN + 70_000)).toBe(true);
  expect(used.use('a', BEGIN + 120_000, BEGIN + 71_000)).toBe(false);
});

test('a clock that goes back forgets nothing, one that leaps ahead by years costs nothing', () => {
  const used = new UsedOnce(3);
  expect(used.use('a', BEGIN + 1000, BEGIN)).toBe(true);
  expect(used.use('b', BEGIN - 3_599_000, BEGIN - 3_600_000)).toBe(true);
  expect([used.use('a', BEGIN, BEGIN), used.use('b', BEGIN, BEGIN)]).toEqual([false, false]);
  expect(used.use('a', BEGIN + 9e15, BEGIN + 8e15)).toBe(true);
  expect(used.use('a', BEGIN + 9e15, BEGIN + 8e15)).toBe(false);
});

test('full of 100,000 that have not ended it refuses as fast as ever', () => {
  const used = new UsedOnce(100_000);
  for (let n = 0; n < 100_000; n += 1) used.use(String(n), BEGIN + 1e6 + n * 7919, BEGIN);
  const began = performance.now();
  for (let n = 0; n < 20_000; n += 1) expect(used.use('late', BEGIN + 9e9, BEGIN + n)).toBe(false);
  // Walking through all of them each time would take half a minute.
  expect(performance.now() - began).toBeLessThan(5000);
});
