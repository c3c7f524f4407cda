// When a process is judged to fall behind: a standing queue of its own making, not a burst and not a CPU that others have.
import { expect, test } from 'vitest';
import { CLEAR, judge, type Look, type Standing } from '../../cache/overload.ts';

/** Looks every 50 ms, each so late, the process having worked that part of the time. */
function after(delaysMs: readonly number[], busy: number): Standing {
  const looks = delaysMs.map((delayMs, index): Look => ({ atMs: index * 50, delayMs, busyMs: index * 50 * busy }));
  return looks.reduce(judge, CLEAR);
}

test.each([
  ['on time', [0, 1, 20, 20], 1, false],
  ['one long pause, as of a collection', [0, 500], 1, false],
  ['late, but not for long', [0, 40, 40], 1, false],
  ['late for 100 ms', [0, 40, 40, 40], 1, true],
  ['late for 100 ms with half of the CPU', [21, 21, 21], 0.5, true],
  ['late for want of a CPU', [40, 40, 40, 40, 40, 40], 0.4, false],
  ['very late and long for want of a CPU', new Array<number>(22).fill(101), 0.1, true],
  ['on time once in between', [40, 40, 5, 40, 40], 1, false],
  ['over', [40, 40, 40, 5], 1, false],
] as const)('%s', (_name, delaysMs, busy, isShedding) => {
  expect(after(delaysMs, busy).isShedding).toBe(isShedding);
});
