// The demo as a person starts it: it answers, says what it is doing, and stops cleanly in the middle of an encode.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { processesNaming, type Running, start } from './process.ts';

const ANY = '127.0.0.1:0';
const dir = mkdtempSync(join(tmpdir(), 'nearcast-demo-'));
let demo: Running | undefined;
afterEach(async () => {
  demo?.child.kill('SIGKILL');
  await demo?.ended;
  rmSync(dir, { recursive: true, force: true });
});

test('serves the page at once, encodes, and SIGTERM ends all of it with 0 within 5 s', async () => {
  demo = start(['demo', '--dir', dir, '--listen', ANY, '--origin', ANY, '--metrics', ANY]);
  const ready = await demo.line(({ event }) => event === 'demo.ready');
  const page = await fetch(String(ready['url']));
  expect(page.status).toBe(200);
  expect(await page.text()).toContain('Big Buck Bunny');
  const titles = await (await fetch(new URL('/.nearcast/titles', String(ready['url'])))).json();
  expect(titles).toMatchObject([{ id: 'big-buck-bunny-1', ready: false }, { id: 'big-buck-bunny-2' }, {}, {}]);

  await demo.line(({ event, step }) => event === 'encode.progress' && step === 'shot');
  expect(processesNaming(dir).length).toBeGreaterThan(1);
  const began = performance.now();
  demo.child.kill('SIGTERM');
  expect(await demo.ended).toEqual({ code: 0, signal: null });
  expect(performance.now() - began).toBeLessThan(5_000);
  expect(processesNaming(dir)).toEqual([]);
}, 90_000);
