// Row 57 at full length: 1,000 reloads while viewers ask.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { reloadUnderLoad } from './reloading.ts';

test('row 57: 1,000 reloads under load lose no request and no connection', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-reload-'));
  const report = await reloadUnderLoad(folder, 1000);
  rmSync(folder, { recursive: true, force: true });
  console.log(`row 57: ${report.reloads} reloads, ${report.requests} requests, ${report.failures.length} failed`);
  expect([report.failures, report.connections]).toEqual([[], 5]);
  expect(report.requests).toBeGreaterThan(1000);
});
