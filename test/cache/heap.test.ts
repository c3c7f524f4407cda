// That this Node's V8 still knows the flags: what nobody holds is collected, yet not each few megabytes.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const HEAP = new URL('../../cache/heap.ts', import.meta.url).href;

/** A process that holds 64 MiB of bodies and replaces 400 MiB of them: collections of everything, and the most memory. */
const churn = (isTuned: boolean): string => `
  import { PerformanceObserver, constants } from 'node:perf_hooks';
  import { tuneHeap } from '${HEAP}';
  if (${isTuned}) tuneHeap();
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections += 1;
  });
  observer.observe({ entryTypes: ['gc'] });
  const bodies = [];
  let mostMiB = 0;
  for (let index = 0; index < 464; index += 1) {
    bodies[index % 64] = Buffer.allocUnsafeSlow(2 ** 20);
    for (let chunk = 0; chunk < 16; chunk += 1) Buffer.allocUnsafeSlow(2 ** 16);
    await new Promise((resolve) => setImmediate(resolve));
    mostMiB = Math.max(mostMiB, process.memoryUsage().arrayBuffers / 2 ** 20);
  }
  await new Promise((resolve) => setTimeout(resolve, 1));
  console.log(JSON.stringify({ collections, mostMiB }));`;

async function run(isTuned: boolean): Promise<{ readonly collections: number; readonly mostMiB: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', churn(isTuned)]);
  return JSON.parse(stdout);
}

test('a process of bodies is collected at most half as often, and its garbage stays bounded', async () => {
  const [plain, tuned] = [await run(false), await run(true)];
  expect(tuned.collections * 2).toBeLessThanOrEqual(plain.collections);
  expect(tuned.mostMiB).toBeLessThan(464);
});
