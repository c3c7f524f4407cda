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
  const report = await crash({ discipline: 'store', directory: directory.path, cycles: 4, seed: 1 });
  expect(report).toMatchObject({ wrong: 0, caught: 0, lost: 0, returned: 0 });
  expect(report.removed).toBeGreaterThan(0);
  expect(report.kept).toBeGreaterThan(0);
});

test('the same harness catches a naive store', async () => {
  // Whether one kill hits a write is chance; that a dozen rounds of them all miss is not.
  let wrong = 0;
  for (let seed = 1; seed <= 12 && wrong === 0; seed += 1) {
    ({ wrong } = await crash({ discipline: 'naive', directory: directory.path, cycles: 2, seed }));
  }
  expect(wrong).toBeGreaterThan(0);
});
