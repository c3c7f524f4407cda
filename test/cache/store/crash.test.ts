// A process killed while it stores: a few cycles here, many under `npm run test:fault`.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { crash } from '../../fault/crash.ts';
import { temporary } from './support.ts';

let directory: ReturnType<typeof temporary>;
beforeEach(() => {
  directory = temporary();
});
afterEach(() => directory.remove());

test('killed at any moment: no wrong byte, nothing that was there is lost, nothing that was removed returns', async () => {
  // Whether a cycle gets to removing something before it is killed depends on the machine; it must be sound either way.
  let [removed, kept] = [0, 0];
  for (let seed = 1; seed <= 8 && (removed === 0 || kept === 0); seed += 1) {
    const report = await crash({ discipline: 'store', directory: directory.path, cycles: 4, seed });
    expect(report).toMatchObject({ wrong: 0, caught: 0, lost: 0, returned: 0 });
    removed += report.removed;
    kept += report.kept;
  }
  expect(removed).toBeGreaterThan(0);
  expect(kept).toBeGreaterThan(0);
}, 60_000);

test('the same harness catches a naive store', async () => {
  // Whether one kill hits a write is chance; that a dozen rounds of them all miss is not.
  let wrong = 0;
  for (let seed = 1; seed <= 12 && wrong === 0; seed += 1) {
    ({ wrong } = await crash({ discipline: 'naive', directory: directory.path, cycles: 2, seed }));
  }
  expect(wrong).toBeGreaterThan(0);
});
