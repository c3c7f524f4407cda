// When a process is judged to fall behind, and how many newcomers it then lets in: a burst is taken in, a standing queue of
// its own making is not, and the rate finds what can be served.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { afterLook, afterNewcomer, type Load, UNLOADED } from '../../../cache/rules/overload.ts';

const TICK_MS = 20;
const TARGET_MS = 10;

/** Looks every 20 ms at turns so long, the process having worked that part of the time and served 1,000 a second. */
function after(turns: readonly number[], busy = 1): Load {
  return turns.reduce((load, turnMs, index) => {
    const atMs = (index + 1) * TICK_MS;
    return afterLook(load, { atMs, busyMs: atMs * busy, turnMs, served: atMs }, TARGET_MS);
  }, UNLOADED);
}

const times = (count: number, turnMs: number): number[] => new Array<number>(count).fill(turnMs);

test.each([
  ['short turns', [0, 1, 10, 10, 10, 10, 10, 10], 1, false],
  ['one long turn, as of a collection', [0, 900, 1], 1, false],
  ['late, but not for long', times(5, 40), 1, false],
  ['late for a tenth of a second', times(6, 11), 1, true],
  ['late for a tenth of a second with half of the CPU', times(6, 11), 0.5, true],
  ['late for want of a CPU', times(50, 40), 0.4, false],
  ['late for want of a CPU for a second', times(51, 40), 0.4, true],
  ['in time once in between', [...times(5, 40), 10, ...times(5, 40)], 1, false],
  ['in time again', [...times(6, 40), 1], 1, true],
  ['in time again for a second', [...times(6, 40), ...times(51, 1)], 1, false],
] as const)('%s', (_name, turns, busy, isLimited) => {
  expect(Number.isFinite(after(turns, busy).perSecond)).toBe(isLimited);
});

test('two long turns in which the process waited for a CPU are not a queue', () => {
  const looks = [0, 300].map((atMs) => ({ atMs, busyMs: atMs, turnMs: 300, served: atMs }));
  expect(looks.reduce((load, look) => afterLook(load, look, TARGET_MS), UNLOADED).perSecond).toBe(
    Number.POSITIVE_INFINITY,
  );
});

test('a fifth less than was served is let in at first, again a fifth less after each later queue, and more with time', () => {
  const cut = after(times(6, 40));
  expect(cut.perSecond).toBeCloseTo(800);
  const look = (load: Load, atMs: number, turnMs: number) =>
    afterLook(load, { atMs, busyMs: atMs, turnMs, served: atMs }, TARGET_MS);
  const grown = look(cut, cut.atMs + 500, 1);
  expect(grown.perSecond).toBeCloseTo(800 * Math.sqrt(1.5));
  const again = look(grown, grown.atMs + 20, 40);
  expect(again.perSecond).toBeCloseTo(640 * Math.sqrt(1.5));
  expect(look(again, again.atMs + 20, 40).perSecond).toBe(again.perSecond);
});

test('who is turned away keeps the limit up; a second without lifts it', () => {
  let load = after(times(6, 40));
  const untilMs = load.atMs + 3_000;
  for (let atMs = load.atMs; atMs < untilMs; atMs += TICK_MS) {
    while (load.room >= -7) load = afterNewcomer(load, atMs).load;
    load = afterLook(afterNewcomer(load, atMs).load, { atMs, busyMs: 0, turnMs: 1, served: 0 }, TARGET_MS);
  }
  expect(load.perSecond).toBeLessThan(Number.POSITIVE_INFINITY);
  const last = { atMs: load.refusedAtMs + 1_001, busyMs: 0, turnMs: 1, served: 0 };
  expect(afterLook(load, last, TARGET_MS)).toEqual(UNLOADED);
});

test('nobody is turned away without a limit', () => {
  expect(afterNewcomer(UNLOADED, 1)).toEqual({ load: UNLOADED, waitMs: 0 });
});

test.each([
  ['while turns are late, at fifty a second', times(6, 40), 50],
  ['at the rate found', [...times(6, 40), 1], 806],
] as const)('eight wait their turn, the ninth is turned away: %s', (_name, turns, perSecond) => {
  let load = after(turns);
  while (load.room >= 1) load = afterNewcomer(load, load.atMs).load;
  const empty = load.room;
  for (let place = 1; place <= 8; place += 1) {
    const newcomer = afterNewcomer(load, load.atMs);
    expect(newcomer.waitMs).toBeCloseTo(((place - empty) / perSecond) * 1000, 0);
    expect(newcomer.load.refusedAtMs).toBe(load.refusedAtMs);
    load = newcomer.load;
  }
  expect(afterNewcomer(load, 999)).toEqual({ load: { ...load, refusedAtMs: 999 }, waitMs: undefined });
});

test('whoever waits is let in when his room has come: with nobody turned away the limit is lifted', () => {
  let load = after(times(6, 40));
  for (let atMs = load.atMs; Number.isFinite(load.perSecond); atMs += TICK_MS) {
    // 100 a second, of whom 50 find room.
    if (atMs % 40 === 0 && load.room > -6) load = afterNewcomer(load, atMs).load;
    load = afterLook(load, { atMs, busyMs: atMs, turnMs: 1, served: 0 }, TARGET_MS);
    expect(atMs).toBeLessThan(2_000);
  }
});

test('fifty a second are let in whatever happens', () => {
  let load = after(times(6, 40));
  let entered = 0;
  for (let tick = 0; tick < 500; tick += 1) {
    const atMs = load.atMs + TICK_MS;
    load = afterLook(load, { atMs, busyMs: atMs, turnMs: 400, served: 0 }, TARGET_MS);
    const newcomer = afterNewcomer(load, atMs);
    load = newcomer.load;
    if (newcomer.waitMs !== undefined) entered += 1;
  }
  expect(entered).toBeGreaterThanOrEqual(490);
  expect(entered).toBeLessThanOrEqual(501);
});

test('whatever the load, most of what can be served is let in, and not much more', () => {
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 2_000 }), fc.integer({ min: 2, max: 20 }), (capacity, ratio) => {
      // A server of processor sharing: a turn serves each who waits a little, so that it lasts as long as they are many.
      let load = UNLOADED;
      let waiting = 0;
      let entered = 0;
      let counted = 0;
      for (let atMs = 10; atMs <= 20_000; atMs += 10) {
        for (let come = 0; come < (capacity * ratio) / 100; come += 1) {
          const newcomer = afterNewcomer(load, atMs);
          load = newcomer.load;
          if (newcomer.waitMs === undefined) continue;
          waiting += 1;
          entered += 1;
          if (atMs > 10_000) counted += 1;
        }
        waiting = Math.max(0, waiting - capacity / 100);
        const turnMs = (waiting / capacity) * 250;
        load = afterLook(load, { atMs, busyMs: atMs, turnMs, served: entered - waiting }, TARGET_MS);
      }
      expect(counted / 10).toBeGreaterThan(capacity * 0.75);
      expect(counted / 10).toBeLessThan(capacity * 1.05);
      // Three targets' worth of turns: who is let in waits a few of them.
      expect((waiting / capacity) * 250).toBeLessThan(3 * TARGET_MS);
    }),
    { numRuns: 30 },
  );
});
