// When a process is judged to fall behind: a standing queue of its own making, not a burst and not a CPU that others have.
import { expect, test } from 'vitest';
import { CLEAR, judge, type Look, type Standing } from '../../cache/overload.ts';

/** Looks every 100 ms, each so late, the process having worked that part of the time. */
function after(delaysMs: readonly number[], busy: number): Standing {
  const looks = delaysMs.map((delayMs, index): Look => ({ atMs: index * 100, delayMs, busyMs: index * 100 * busy }));
  return looks.reduce((before, look) => judge(before, look, 20), CLEAR);
}

const times = (count: number, delayMs: number): number[] => new Array<number>(count).fill(delayMs);

test.each([
  ['on time', [0, 1, 20, 20], 1, false],
  ['one long pause, as of a collection', [0, 900], 1, false],
  ['late, but not for long', times(5, 40), 1, false],
  ['late for half a second', times(6, 40), 1, true],
  ['late for half a second with half of the CPU', times(6, 21), 0.5, true],
  ['late for want of a CPU', times(30, 40), 0.4, false],
  ['very late and long for want of a CPU', times(21, 101), 0.1, true],
  ['on time once in between', [...times(4, 40), 5, ...times(4, 40)], 1, false],
  ['over', [...times(6, 40), 5], 1, false],
  ['over, and back within a second', [...times(6, 40), ...times(5, 5), 40], 1, true],
  ['over for long, and back', [...times(6, 40), ...times(11, 5), 40], 1, false],
] as const)('%s', (_name, delaysMs, busy, isShedding) => {
  expect(after(delaysMs, busy).isShedding).toBe(isShedding);
});
