// Lines of origins: room up to a part of the 95th percentile of 30 days, which fills within it never raise.
import { expect, test } from 'vitest';
import { openLines } from '../../../agent/simulate/lines.ts';

const BIN = 300_000;
const DAY_BINS = 288;

function open(days = new Map<string, string>(), start = 20_000 * DAY_BINS) {
  let bin = start;
  const lines = openLines({
    days: { get: (name) => days.get(name), put: (name, json) => void days.set(name, json) },
    origins: ['a', 'b'],
    ratio: 0.9,
    now: () => bin * BIN,
  });
  return {
    days,
    lines,
    /** A day of viewers: nothing for half of it, then `bytes` every 5 minutes. */
    live: (bytes: number, fill = false): void => {
      for (let at = 0; at < DAY_BINS; at += 1) {
        if (at >= DAY_BINS / 2) lines.received('a', bytes);
        const room = lines.roomBytes('a');
        if (fill && Number.isFinite(room)) lines.received('a', room);
        bin += 1;
      }
    },
  };
}

test('until a day is known there is no limit; then what is left up to the percentile, by origin', () => {
  const { lines, live } = open();
  expect(lines.roomBytes('a')).toBe(Number.POSITIVE_INFINITY);
  live(1000);
  expect(lines.roomBytes('a')).toBeCloseTo(900);
  expect(lines.p95BytesPerSecond('a')).toBeCloseTo(1000 / 300);
  lines.received('a', 800);
  expect(lines.roomBytes('a')).toBeCloseTo(100);
  lines.received('a', 800);
  expect(lines.roomBytes('a')).toBe(0);
  expect(lines.roomBytes('b')).toBe(Number.POSITIVE_INFINITY);
  expect(lines.roomBytes('unknown')).toBe(Number.POSITIVE_INFINITY);
  lines.received('unknown', 5);
  expect(lines.p95BytesPerSecond('unknown')).toBe(0);
});

test('what takes all the room that there is, day after day, never raises the percentile', () => {
  const { lines, live } = open();
  for (let day = 0; day < 5; day += 1) live(1000);
  const before = lines.p95BytesPerSecond('a');
  for (let day = 0; day < 10; day += 1) live(1000, true);
  expect(lines.p95BytesPerSecond('a')).toBe(before);
});

test('lines outlive a restart; a day that cannot be read is left out', () => {
  const first = open();
  for (let day = 0; day < 2; day += 1) first.live(1000);
  first.lines.save();
  const again = open(first.days, 20_002 * DAY_BINS);
  expect(again.lines.roomBytes('a')).toBeCloseTo(900);
  for (const name of first.days.keys()) first.days.set(name, '{"version":');
  expect(open(first.days, 20_002 * DAY_BINS).lines.roomBytes('a')).toBe(Number.POSITIVE_INFINITY);
});
