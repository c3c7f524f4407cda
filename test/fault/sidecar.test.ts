// The sidecar beside Debian's nginx and Varnish as they are installed: dry-run first, then warming, over a rotation of
// their logs.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { accessSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { command } from '../agent/node/world.ts';
import { type FakeOrigin, openFakeOrigin } from '../fake/origin.ts';

const NGINX = '/usr/sbin/nginx';
const VARNISH = '/usr/sbin/varnishd';
const SEGMENT_BYTES = 20_000;
const SEGMENTS = 40;
/** Segments of a title after which its viewer leaves. */
const WATCHED = 30;
/** Of the second title: from here on the sidecar has seen enough come true. */
const TRUSTED_AT = 4;

const isThere = (file: string): boolean => {
  try {
    accessSync(file);
    return true;
  } catch {
    return false;
  }
};

let dir = '';
let origin: FakeOrigin;
const running: ChildProcess[] = [];
const closers: (() => void)[] = [];
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'nearcast-beside-'));
  origin = await openFakeOrigin();
  for (const title of ['nginx-one', 'nginx-two', 'Varnish-one', 'Varnish-two']) {
    for (let at = 0; at < SEGMENTS; at += 1) {
      origin.set(pathOf(title, at), { headers: { 'cache-control': 'max-age=600' }, body: Buffer.alloc(SEGMENT_BYTES) });
    }
  }
});
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  const alive = running.splice(0).filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
  const ended = alive.map((child) => new Promise((resolve) => child.once('exit', resolve)));
  for (const child of alive) child.kill('SIGTERM');
  await Promise.all(ended);
});
afterAll(async () => {
  await origin.close();
  rmSync(dir, { recursive: true, force: true });
});

const pathOf = (title: string, at: number): string => `/${title}/v1/seg-${String(at).padStart(4, '0')}.m4s`;

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** A cache with its log; `reopen` is what logrotate does after it has renamed the file. */
type Beside = { readonly url: string; readonly log: string; readonly format: string; readonly reopen: () => void };

async function answering(url: string): Promise<void> {
  await expect
    .poll(
      () =>
        fetch(url).then(
          ({ status }) => status,
          () => 0,
        ),
      { timeout: 20_000 },
    )
    .not.toBe(0);
}

async function startNginx(): Promise<Beside> {
  const port = await freePort();
  const here = join(dir, 'nginx');
  const log = join(here, 'access.log');
  mkdirSync(here);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((each) => `${each}_temp_path ${here}/t;`);
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  writeFileSync(
    join(here, 'nginx.conf'),
    `${user} daemon off; worker_processes 1; pid ${here}/pid; error_log stderr crit; events {}
http { ${paths.join(' ')} proxy_cache_path ${here}/cache keys_zone=c:1m;
  log_format cached '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    '"$http_user_agent" $upstream_cache_status';
  access_log ${log} cached;
  server { listen 127.0.0.1:${port}; location / { proxy_pass ${origin.url}; proxy_cache c; } } }`,
  );
  const child = spawn(NGINX, ['-p', here, '-c', join(here, 'nginx.conf')], { stdio: ['ignore', 'ignore', 'inherit'] });
  running.push(child);
  const url = `http://127.0.0.1:${port}`;
  await answering(url);
  return { url, log, format: 'nginx', reopen: () => child.kill('SIGUSR1') };
}

async function startVarnish(): Promise<Beside> {
  const port = await freePort();
  const here = join(dir, 'varnish');
  const log = join(dir, 'varnish.log');
  const { hostname, port: originPort } = new URL(origin.url);
  const vcl = join(dir, 'test.vcl');
  writeFileSync(vcl, `vcl 4.1; backend default { .host = "${hostname}"; .port = "${originPort}"; }`);
  const args = ['-F', '-f', vcl, '-a', `127.0.0.1:${port}`, '-s', 'malloc,64m', '-n', here, '-j', 'none'];
  running.push(spawn(VARNISH, args, { stdio: 'ignore' }));
  const url = `http://127.0.0.1:${port}`;
  await answering(url);
  const format = '%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-agent}i" %{Varnish:hitmiss}x';
  // A daemon, as Debian runs it: only then it opens its file anew on SIGHUP.
  const pidFile = join(dir, 'varnishncsa.pid');
  spawnSync('varnishncsa', ['-n', here, '-D', '-P', pidFile, '-a', '-w', log, '-F', format]);
  const signal = (name: NodeJS.Signals) => process.kill(Number(readFileSync(pidFile, 'utf8')), name);
  closers.push(() => signal('SIGTERM'));
  await expect
    .poll(() => fetch(`${url}/warm-up`).then(() => isThere(log) && readFileSync(log).length > 0), { timeout: 20_000 })
    .toBe(true);
  return { url, log, format: 'varnish', reopen: () => signal('SIGHUP') };
}

/** A viewer watches; gives how many of the segments the cache had. */
async function watch({ url }: Beside, title: string, pause: (at: number) => Promise<unknown>): Promise<number> {
  let hits = 0;
  for (let at = 0; at < WATCHED; at += 1) {
    const path = pathOf(title, at);
    const asked = origin.seen(path).length;
    const response = await fetch(url + path, { headers: { 'user-agent': 'player' } });
    await response.arrayBuffer();
    if (origin.seen(path).length === asked) hits += 1;
    await pause(at);
  }
  return hits;
}

describe.each([
  ['nginx', NGINX, startNginx],
  ['Varnish', VARNISH, startVarnish],
] as const)('beside %s', (name, program, start) => {
  test.skipIf(!isThere(program))('says what it would save, then saves it, over a rotation of the log', async () => {
    const cache = await start();
    const [dry, warmed] = [`${name}-one`, `${name}-two`];
    const args = ['sidecar', '--log', cache.log, '--format', cache.format, '--url', cache.url, '--json'];
    expect(await watch(cache, dry, async () => undefined)).toBe(0);
    await expect.poll(() => readFileSync(cache.log, 'utf8')).toContain(pathOf(dry, WATCHED - 1));
    const { stdout } = await command([...args, '--once']);
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ requests: WATCHED, misses: WATCHED },
      forecasts: { next: { saved: WATCHED - 2, wasted: 0 } },
    });
    // Dry: what was foreseen beyond the viewer's last segment was not fetched.
    expect(origin.seen(pathOf(dry, WATCHED))).toHaveLength(0);

    const stop = new AbortController();
    const ended = command([...args, '--warm', '--from-start', '--every', '3600'], stop.signal);
    // Two forecasts more have to come true before it warms; then a player whose segments take their time meets hits.
    const hits = await watch(cache, warmed, async (at) => {
      if (at === 10) renameSync(cache.log, `${cache.log}.1`);
      if (at === 10) cache.reopen();
      const isNear = () => origin.seen(pathOf(warmed, at + 1)).length;
      if (at >= TRUSTED_AT) await expect.poll(isNear, { timeout: 10_000, interval: 20 }).toBe(1);
    });
    expect(hits).toBe(WATCHED - TRUSTED_AT - 1);
    // What it warmed shows in the cache's log as hits of the player.
    await expect.poll(() => readFileSync(cache.log, 'utf8')).toContain(`${pathOf(warmed, WATCHED - 1)} `);
    stop.abort();
    const last = JSON.parse((await ended).stdout);
    expect(last).toMatchObject({ requests: 2 * WATCHED, warmed: { failed: 0, dropped: 0 } });
    expect(last.forecasts.next.saved).toBeGreaterThanOrEqual(2 * WATCHED - 5);
    expect(last.warmed.bytes).toBe(last.warmed.warmed * SEGMENT_BYTES);
  });
});
