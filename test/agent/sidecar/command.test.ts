// `nearcast sidecar` over a log that grows and is rotated, beside a server that stands for the cache.
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { command } from '../node/world.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'nearcast-sidecar-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const START = Date.UTC(2026, 10, 21, 17);
const MONTH = 'Nov';

/** A line of nginx's combined format with the cache's result behind it. */
function lineOf(seconds: number, path: string, { agent = 'player', result = 'MISS', status = 200 } = {}): string {
  const at = new Date(START + seconds * 1000).toISOString();
  const time = `${at.slice(8, 10)}/${MONTH}/${at.slice(0, 4)}:${at.slice(11, 19)} +0000`;
  return `10.0.0.7 - - [${time}] "GET ${path} HTTP/1.1" ${status} 1000 "-" "${agent}" ${result}\n`;
}

/** A viewer of one title: forty segments, four seconds apart. */
const viewing = (title: string, from = 0, count = 40): string =>
  Array.from({ length: count }, (_, at) => lineOf((from + at) * 4, `/${title}/seg-${from + at}.m4s`)).join('');

test('reads a log once: what would have been saved and wasted, and nothing is fetched', async () => {
  const file = join(dir, 'once.log');
  writeFileSync(
    file,
    `${viewing('film')}not a line\n${lineOf(200, '/film/index.html')}${lineOf(201, '/x.ts', { status: 404 })}`,
  );
  const args = ['sidecar', '--log', file, '--format', 'nginx', '--url', 'http://127.0.0.1:9/', '--once'];
  const { code, stdout } = await command(args);
  expect(code).toBe(0);
  expect(stdout).toContain('40 requests, 39 KiB; 40 misses (100.0 %)');
  expect(stdout).toContain('next     38 misses would be hits (37 KiB), 0 were hits anyway, 0 in vain');
  expect(stdout).toContain('nothing was fetched');
  const { stdout: json } = await command([...args, '--json']);
  expect(JSON.parse(json)).toMatchObject({ version: 1, requests: 40, forecasts: { next: { saved: 38 } }, waiting: 2 });
});

test.each([
  [[], /--log/],
  [['--log', 'x', '--format', 'squid'], /nginx, varnish, ats/],
  [['--log', 'x', '--url', 'ftp://x/'], /--url/],
  [['--log', 'x', '--url', 'http://x/', '--match', '('], /--match/],
  [['--log', 'x', '--url', 'http://x/', '--bytes-per-day', 'much'], /2MiB/],
  [['--log', 'x', '--url', 'http://x/', '--every', '0'], /--every/],
] as const)('wrong usage is told: %s', async (args, why) => {
  const { code, stderr } = await command(['sidecar', ...args]);
  expect(code).toBe(64);
  expect(stderr).toMatch(why);
});

test('a log that is not there, or of another format, is an error in words', async () => {
  const url = ['--url', 'http://127.0.0.1:9/', '--once'];
  expect((await command(['sidecar', '--log', join(dir, 'none'), ...url])).stderr).toMatch(/cannot be read/);
  writeFileSync(join(dir, 'other.log'), 'something else\n');
  expect((await command(['sidecar', '--log', join(dir, 'other.log'), ...url])).stderr).toMatch(/no line of the format/);
});

test('follows a log over its rotation, and warms what it trusts; its own requests teach it nothing', async () => {
  const file = join(dir, 'access.log');
  // The cache: it logs what it is asked for, as nginx would.
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end(Buffer.alloc(1_000));
    appendFileSync(file, lineOf(400, request.url ?? '', { agent: request.headers['user-agent'] ?? '' }));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  writeFileSync(file, viewing('film'));
  const stop = new AbortController();
  const url = `http://127.0.0.1:${port}/`;
  const args = ['sidecar', '--log', file, '--url', url, '--warm', '--from-start', '--every', '3600', '--json'];
  const ended = command(args, stop.signal);
  // Trusted from the thirtieth forecast that ended; the viewer's last request foretells two more segments.
  await expect.poll(() => asked).toContain('/film/seg-41.m4s');
  renameSync(file, `${file}.1`);
  writeFileSync(file, viewing('film', 40, 2).replaceAll('MISS', 'HIT'));
  await expect.poll(() => asked, { timeout: 20_000 }).toContain('/film/seg-43.m4s');
  stop.abort();
  const { code, stdout } = await ended;
  server.close();
  expect(code).toBe(0);
  const report = JSON.parse(stdout);
  // Only the viewer's requests count, and the hits of the last two are owed to warming.
  expect(report).toMatchObject({ requests: 42, misses: 40, forecasts: { next: { saved: 40, there: 0 } } });
  expect(report.warmed).toMatchObject({ failed: 0, warmed: asked.length, bytes: asked.length * 1_000 });
  expect(new Set(asked).size).toBe(asked.length);
});
