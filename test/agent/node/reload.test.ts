// A running node reads its configuration again: by SIGHUP and by command; a broken one changes nothing and is told.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../../agent/main.ts';
import { authority, filesOf } from '../../cache/http/secure.ts';
import { type Running, start } from '../../e2e/process.ts';
import { type FakeOrigin, openFakeOrigin } from '../../fake/origin.ts';
import { reloadUnderLoad } from '../../fault/reloading.ts';

const dir = mkdtempSync(join(tmpdir(), 'nearcast-reload-'));
const file = join(dir, 'nearcast.yaml');
let first: FakeOrigin;
let second: FakeOrigin;
let node: Running;
let url: string;
let metricsUrl: string;

const configure = (keys: Readonly<Record<string, unknown>>): void => {
  const fixed = { version: 1, agent: 'off', state: { dir }, admin: { metrics: '127.0.0.1:0', socket: 'n.sock' } };
  const plain = { listen: { http: '127.0.0.1:0' }, store: { dirs: [] } };
  writeFileSync(
    file,
    JSON.stringify({ ...fixed, ...plain, origins: [{ name: 'main', url: first.url }], ...keys }, null, 1),
  );
};
const moved = () => ({ origins: [{ name: 'main', url: second.url }] });

/** A command line in this process. */
async function run(...args: readonly string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const { signal } = new AbortController();
  const code = await main(args, { stdout, stderr, env: {}, cwd: dir, signal });
  return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') };
}
const body = async (path: string) => (await fetch(`${url}${path}`)).text();
const metric = async (line: string) => (await (await fetch(`${metricsUrl}/metrics`)).text()).includes(`\n${line}\n`);

beforeAll(async () => {
  first = await openFakeOrigin(Date.now);
  second = await openFakeOrigin(Date.now);
  for (const path of ['/a', '/b', '/c', '/d']) {
    first.set(path, { body: `first ${path}`, headers: { 'cache-control': 'no-store' } });
    second.set(path, { body: `second ${path}`, headers: { 'cache-control': 'no-store' } });
  }
  configure({});
  node = start(['run', '--config', file]);
  const ready = await node.line(({ event }) => event === 'node.ready');
  url = `http://127.0.0.1:${ready['port']}`;
  metricsUrl = `http://127.0.0.1:${ready['metricsPort']}`;
});
afterAll(async () => {
  node.child.kill('SIGKILL');
  await node.ended;
  await Promise.all([first.close(), second.close()]);
  rmSync(dir, { recursive: true, force: true });
});

describe('a reload', () => {
  test('by command applies what can be and names what waits for a restart, each time anew', async () => {
    expect(await body('/a')).toBe('first /a');
    expect(await run('reload')).toEqual({ code: 0, stdout: 'nothing changed\n', stderr: '' });
    const waits = { listen: { http: '127.0.0.1:1', maxRequests: 100 }, store: { dirs: [], ramBytes: '8MiB' } };
    configure({ ...moved(), ...waits, log: { level: 'debug' }, node: { id: 'other' } });
    const answer = 'changed: listen.maxRequests, origins, log\nneeds a restart: node.id, listen.http, store.ramBytes\n';
    expect(await run('reload', '--config', file)).toEqual({ code: 0, stdout: answer, stderr: '' });
    expect(await body('/a')).toBe('second /a');
    const again = 'nothing changed\nneeds a restart: node.id, listen.http, store.ramBytes\n';
    expect((await run('reload')).stdout).toBe(again);
  });

  test('by SIGHUP does the same and says so in the log; the node lives on', async () => {
    configure({ drainSeconds: 1 });
    node.child.kill('SIGHUP');
    const line = await node.line(
      ({ event, changed }) => event === 'config.reloaded' && String(changed).includes('drain'),
    );
    expect(line).toMatchObject({ changed: expect.arrayContaining(['origins', 'drainSeconds']), needRestart: [] });
    expect(await body('/b')).toBe('first /b');
  });

  test.each<[string, () => void, RegExp]>([
    ['a key that is none', () => configure({ ...moved(), orgins: [] }), /nearcast\.yaml:\d+: unknown key "orgins"/],
    [
      'no YAML at all',
      () => writeFileSync(file, 'version: 1\nadmin: { socket: n.sock }\n  x: ['),
      /nearcast\.yaml:\d+: /,
    ],
    [
      'a certificate that cannot be read',
      () =>
        configure({
          ...moved(),
          listen: { http: '127.0.0.1:0', https: '127.0.0.1:0' },
          tls: { cert: 'no', key: 'no' },
        }),
      /nearcast\.yaml: (?:cert|key) .*no: cannot be read \(ENOENT\)/,
    ],
  ])('to %s changes nothing: logged, counted, exit code 78', async (_name, spoil, problem) => {
    configure({});
    expect((await run('reload')).code).toBe(0);
    spoil();
    const { code, stderr } = await run('reload', '--socket', 'n.sock');
    expect([code, stderr]).toEqual([78, expect.stringMatching(problem)]);
    expect(stderr).toContain('goes on with its old configuration');
    expect(await body('/c')).toBe('first /c');
    await node.line(({ event, problems }) => event === 'config.reload-failed' && problem.test(String(problems)));
  });

  test('failures are counted, also those that a command asked for by a file with problems', async () => {
    configure({ orgins: [] });
    const { code, stderr } = await run('reload', '--config', file);
    expect([code, stderr]).toEqual([78, expect.stringMatching(/unknown key "orgins"/)]);
    expect(await metric('nearcast_config_reloads_total{outcome="failed"} 4')).toBe(true);
    configure({});
  });

  test('under load loses no request and no connection', async () => {
    const folder = join(dir, 'load');
    mkdirSync(folder);
    const { failures, connections, requests } = await reloadUnderLoad(folder, 20);
    expect([failures, connections]).toEqual([[], 5]);
    expect(requests).toBeGreaterThan(20);
  });
});

test('a node that starts with a certificate it cannot use ends with 78 and names the file', async () => {
  const files = await filesOf(authority.issue(['localhost']));
  configure({ listen: { http: '127.0.0.1:0', https: '127.0.0.1:0' }, tls: { ...files, key: files.cert } });
  const { code, stderr } = await run('run', '--config', file);
  expect([code, stderr]).toEqual([78, expect.stringMatching(/key .*cert\.pem: no private key in PEM/)]);
});
