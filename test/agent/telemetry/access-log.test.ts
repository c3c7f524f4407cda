// Access logs of nginx, Varnish and Traffic Server, followed on a real disk: their requests reach the intake as records,
// without who asked, and broken lines cost nothing but themselves.
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openAccessLogs } from '../../../agent/telemetry/access-log.ts';
import type { ServedRecord } from '../../../cache/cache.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-logs-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const CMCD = 'CMCD=ot%3Dv%2Cd%3D4000%2Csid%3D%22s%22';
const NGINX = `192.0.2.7 - - [05/Jan/2026:20:15:30 +0000] "GET /titles/t1/v_1.m4s?${CMCD} HTTP/1.1" 200 5120 "-" "Player/1"`;
const VARNISH = NGINX.replace('GET /', 'GET http://cdn.example/').replace('192.0.2.7', '2001:db8::7');
const SQUID = '1767644130.500 12 192.0.2.7 TCP_HIT/200 900 GET http://cdn.example/titles/t2/master.m3u8 - NONE/- - -';

async function follow(names: readonly string[]) {
  const files = names.map((name) => join(root, name));
  for (const file of files) writeFileSync(file, `${NGINX}\n`);
  const records: ServedRecord[] = [];
  const logs = openAccessLogs({ files, logged: (record) => records.push(record), log: () => undefined });
  await logs.poll();
  return { files, records, logs };
}

test('lines of three servers become records of served requests, from now on', async () => {
  const { files, records, logs } = await follow(['nginx.log', 'varnish.log', 'ats.log']);
  for (const [at, line] of [NGINX, VARNISH, SQUID].entries()) appendFileSync(files[at] ?? '', `${line}\n`);
  await logs.poll();
  await logs.close();
  const segment = { path: '/titles/t1/v_1.m4s', kind: 'segment', bytes: 5120, status: 200 };
  const cmcd = { query: 'ot=v,d=4000,sid="s"' };
  expect(records.sort((one, other) => (one.path < other.path ? -1 : 1))).toMatchObject([
    { ...segment, at: Date.UTC(2026, 0, 5, 20, 15, 30), cmcd },
    { ...segment, cmcd },
    { path: '/titles/t2/master.m3u8', kind: 'manifest', bytes: 900, at: 1_767_644_130_500 },
  ]);
  expect(JSON.stringify(records)).not.toMatch(/192\.0\.2\.7|2001:db8|Player/);
  expect(logs.stats()).toEqual({ requests: 3, malformed: 0, tooLong: 0 });
});

test('go on through a rotation; what is no request or no line of a log is counted and left out', async () => {
  const { files, records, logs } = await follow(['rotated.log']);
  const [file = ''] = files;
  appendFileSync(file, `hello\n${NGINX.replace('GET', 'POST')}\n${NGINX.replace(' 200 ', ' 404 ')}\n${NGINX}\n`);
  renameSync(file, `${file}.1`);
  writeFileSync(file, `${NGINX.replace('/t1/', '/t3/')}\n`);
  await logs.poll();
  await logs.close();
  expect(records.map(({ path }) => path)).toEqual(['/titles/t1/v_1.m4s', '/titles/t3/v_1.m4s']);
  expect(logs.stats()).toEqual({ requests: 2, malformed: 1, tooLong: 0 });
});

test('a format that changes is told anew', async () => {
  const { files, records, logs } = await follow(['changed.log']);
  appendFileSync(files[0] ?? '', `${NGINX}\n${`${SQUID}\n`.repeat(1_010)}`);
  await logs.poll();
  await logs.close();
  expect(records.length).toBeGreaterThanOrEqual(10);
  expect(logs.stats().malformed).toBe(1_000);
});
