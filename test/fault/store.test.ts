// The store's long loops: kills at random moments and at every system call, power cuts, damage at many places of its
// database; each beside a naive store in the same harness, which has to be caught.
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { temporary } from '../cache/store/support.ts';
import { sweepDatabase } from '../cache/store/sweep.ts';
import { type SweepReport, sweepBoundaries } from './boundaries.ts';
import { type CrashReport, crash } from './crash.ts';
import { loopMissing } from './loop.ts';
import { cutPower, type PowerReport } from './power.ts';
import { allowed, report, scaled, seed } from './scale.ts';
import { straceMissing } from './strace.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
});
afterEach(() => directory.remove());

const READY_MS = 2000;
/** A run of minutes on an idle machine, of half an hour on a busy one. */
const LONG_MS = 3_000_000;
/** Loops at once, each in a directory of its own: a cycle mostly waits for its moment. */
const LOOPS = 2;
const KILLS = scaled(300, 1000);

test(
  `row 1: kills (${KILLS}, seed ${seed}): no wrong byte, nothing synced is lost, nothing removed returns`,
  async () => {
    const reports: CrashReport[] = await Promise.all(
      Array.from({ length: LOOPS }, (_, index) =>
        crash({
          discipline: 'store',
          directory: join(directory.path, String(index)),
          cycles: KILLS / LOOPS,
          seed: seed + index * KILLS,
          onCycle: (done, total) => done % 50 === 0 && report(`kills of loop ${index}`, { done, ...total }),
        }),
      ),
    );
    report('kills', { cycles: KILLS, reports });
    for (const each of reports) {
      expect(each).toMatchObject({ wrong: 0, caught: 0, lost: 0, returned: 0 });
      expect([each.removed > 0, each.kept > 0, each.readyMs < allowed(READY_MS)]).toEqual([true, true, true]);
    }
  },
  LONG_MS,
);

test(`row 1: 20 kills of a naive store (seed ${seed}) are caught`, async () => {
  const found = await crash({ discipline: 'naive', directory: directory.path, cycles: 20, seed });
  report('kills of a naive store', found);
  expect(found.wrong).toBeGreaterThan(0);
});

const BOUNDARIES = scaled(100, Number.POSITIVE_INFINITY);

test(
  `row 2: killed at system calls, one after the other (seed ${seed}): as after any kill`,
  async (context) => {
    const missing = straceMissing();
    if (missing !== undefined) return context.skip(missing);
    const onBoundary = (done: number, total: SweepReport) =>
      done % 25 === 0 && report('boundaries so far', { done, ...total });
    const found = await sweepBoundaries({ directory: directory.path, seed, most: BOUNDARIES, onBoundary });
    report('boundaries', found);
    expect(found).toMatchObject({ wrong: 0, caught: 0, lost: 0, returned: 0 });
    expect(found.boundaries).toBeGreaterThan(50);
    // Calls move a little from run to run, the last ones out of reach.
    expect(found.killed).toBeGreaterThan(found.tried * 0.8);
    expect(found.readyMs).toBeLessThan(allowed(READY_MS));
  },
  LONG_MS,
);

test(
  `row 3: 20 power cuts (seed ${seed}): no wrong byte, nothing older than 5 s is lost`,
  async (context) => {
    const missing = loopMissing(directory.path);
    if (missing !== undefined) return context.skip(missing);
    const onCut = (done: number, total: PowerReport) => report('power cuts so far', { done, ...total });
    const found = await cutPower({ discipline: 'store', directory: directory.path, cuts: 20, seed, onCut });
    report('power cuts', found);
    expect(found).toMatchObject({ wrong: 0, caught: 0, returned: 0 });
    expect(found.old).toBeGreaterThan(500);
    expect(found.lostOld).toBeLessThanOrEqual(found.old / 1000);
    expect(found.readyMs).toBeLessThan(allowed(READY_MS));
  },
  LONG_MS,
);

test(`row 3: power cuts under a naive store (seed ${seed}) are caught`, async (context) => {
  const missing = loopMissing(directory.path);
  if (missing !== undefined) return context.skip(missing);
  // Whether a cut meets a body half written is chance; that a dozen miss is not.
  let wrong = 0;
  for (let cut = 0; cut < 12 && wrong === 0; cut += 1) {
    const found = await cutPower({ discipline: 'naive', directory: directory.path, cuts: 1, seed: seed + cut });
    report('power cut under a naive store', found);
    wrong += found.wrong + found.lostOld;
  }
  expect(wrong).toBeGreaterThan(0);
});

test('row 4: the database damaged at 4 x 150 places', async () => {
  await sweepDatabase(directory.path, 150);
});
