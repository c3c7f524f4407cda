// A node and its commands as processes: what they say and how they end when something around them is wrong, and what
// they do when all is right.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { processesNaming } from '../../e2e/process.ts';
import { catalogue, command, configText, nearcast, openWorld, publish, type Settings, type World } from './world.ts';

const dir = mkdtempSync(join(tmpdir(), 'nearcast-start-'));
let taken: Server;
let takenPort: number;
let world: World;
let cases = 0;

beforeAll(async () => {
  taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  // A TCP server's address is an AddressInfo.
  takenPort = (taken.address() as { port: number }).port;
  world = await openWorld();
  publish(world, 'film', 3);
  catalogue(world, [{ id: 'film' }]);
});
afterAll(async () => {
  await world?.close();
  taken?.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Runs a node of these settings in a folder of its own, in which `prepare` may put things. */
async function run(settings: Settings, prepare: (folder: string) => void = () => undefined) {
  cases += 1;
  const folder = join(dir, `case-${cases}`);
  mkdirSync(folder);
  prepare(folder);
  writeFileSync(join(folder, 'nearcast.yaml'), configText('http://127.0.0.1:1', settings));
  return { folder, ...(await nearcast(['run', '--config', join(folder, 'nearcast.yaml')])) };
}

const nearcastStatus = async (socket: string) => (await command(['status', '--socket', socket])).code;

const fileAt = (name: string) => (folder: string) => writeFileSync(join(folder, name), 'a file');

describe.concurrent('a node that cannot start says why in one line and ends with 78', () => {
  const address = () => `127.0.0.1:${takenPort}`;
  test.each<[string, () => Settings, (folder: string) => void, RegExp]>([
    [
      'the viewer port is taken',
      () => ({ listen: { http: address() } }),
      () => undefined,
      /127\.0\.0\.1:\d+.*listen\.http/,
    ],
    [
      'the metrics port is taken',
      () => ({ admin: { metrics: address(), socket: 'run/nearcast.sock' } }),
      () => undefined,
      /admin\.metrics/,
    ],
    [
      'another node has the control socket',
      () => ({ admin: { metrics: '127.0.0.1:0', socket: world.socket } }),
      () => undefined,
      /another node answers/,
    ],
    [
      'the control socket lies where a file is',
      () => ({ admin: { metrics: '127.0.0.1:0', socket: 'blocked/nearcast.sock' } }),
      fileAt('blocked'),
      /blocked\/nearcast\.sock/,
    ],
    ['state.dir is a file', () => ({ state: { dir: 'state' } }), fileAt('state'), /state\.dir .*\/state/],
    ['publish.dir is a file', () => ({ publish: { dir: 'titles' } }), fileAt('titles'), /publish\.dir .*\/titles/],
    [
      'a required store is a file',
      () => ({ store: { ramBytes: '1MiB', dirs: [{ path: 'disk' }], required: true } }),
      fileAt('disk'),
      /\/disk/,
    ],
    [
      'the path of the control socket is longer than the system takes',
      () => ({ admin: { metrics: '127.0.0.1:0', socket: `${'long/'.repeat(30)}nearcast.sock` } }),
      () => undefined,
      /control socket .*nearcast\.sock/,
    ],
    [
      'another node has the state',
      () => ({ state: { dir: join(world.dir, 'state') } }),
      () => undefined,
      /the state directory .*stop the other process/,
    ],
    [
      'another node has a store that is required',
      () => ({ store: { ramBytes: '1MiB', dirs: [{ path: join(world.dir, 'store') }], required: true } }),
      () => undefined,
      /another process uses the store/,
    ],
    [
      'the secret of viewer tokens is not there',
      () => ({ privacy: { viewerTokenSecret: { file: 'secret' } } }),
      () => undefined,
      /privacy\.viewerTokenSecret: .*\/secret/,
    ],
    [
      'the window begins on a day that no calendar has',
      () => ({ prefetch: { window: { cron: '0 2 30 2 *' } } }),
      () => undefined,
      /prefetch\.window\.cron "0 2 30 2 \*" cannot be used/,
    ],
    [
      'the folder of encodes is a file',
      () => ({ encode: { enabled: true }, predict: { enabled: true } }),
      (folder) => {
        mkdirSync(join(folder, 'state'));
        writeFileSync(join(folder, 'state', 'encode'), 'a file');
      },
      /\/state\/encode/,
    ],
  ])('%s', async (_name, settings, prepare, message) => {
    const { folder, code, stderr } = await run(settings(), prepare);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/^nearcast( run)?: /);
    expect(code).toBe(78);
    // With its slash: other cases run at the same time, and case-1 begins the name of case-10.
    expect(processesNaming(`${folder}/`)).toEqual([]);
    expect(readdirSync(join(folder)).includes('run') ? readdirSync(join(folder, 'run')) : []).toEqual([]);
  });

  test.each([
    ['the page', '--listen', /listen\.http/],
    ['its origin', '--origin', /origin.*the port is in use/],
    ['its metrics', '--metrics', /admin\.metrics/],
  ])('the demo, when the port of %s is taken', async (_name, option, message) => {
    const folder = join(dir, `demo${option}`);
    const free = ['--listen', '--origin', '--metrics'].filter((other) => other !== option);
    const ports = [...free.flatMap((other) => [other, '127.0.0.1:0']), option, address()];
    const { code, stderr } = await nearcast(['demo', '--dir', folder, ...ports]);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(code).toBe(78);
    // With its slash: other cases run at the same time, and case-1 begins the name of case-10.
    expect(processesNaming(`${folder}/`)).toEqual([]);
  });

  test('nearcast origin on a port that is taken, or of no directory', async () => {
    const [port, nothing, file] = await Promise.all([
      command(['origin', dir, '--listen', `127.0.0.1:${takenPort}`]),
      command(['origin', join(dir, 'nothing'), '--listen', '127.0.0.1:0']),
      command(['origin', join(world.dir, 'catalogue.jsonl'), '--listen', '127.0.0.1:0']),
    ]);
    for (const { code, stderr } of [port, nothing, file]) {
      expect(code).toBe(78);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    }
    expect(port.stderr).toMatch(/the port is in use/);
    expect(nothing.stderr).toMatch(/no such directory/);
    expect(file.stderr).toMatch(/not a directory/);
  });

  test('a configuration with several mistakes names each with its line, and the nearest key', async () => {
    const file = join(dir, 'bad.yaml');
    const lines = [
      'version: 1',
      'listn: { http: "127.0.0.1:0" }',
      'store:',
      '  ramByts: 1MiB',
      'cache: { graceSeconds: -3 }',
      'origins: [{ name: main, url: "ftp://somewhere" }]',
      'prefetch: { window: { cron: "5/15 * * * *" } }',
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    const [checked, ran] = await Promise.all([command(['check-config', file]), command(['run', '-c', file])]);
    for (const { code, stderr } of [checked, ran]) {
      expect(code).toBe(78);
      expect(stderr).toContain(`${file}:2: unknown key "listn"; did you mean "listen"?`);
      expect(stderr).toContain(`${file}:4: unknown key "ramByts"; did you mean "ramBytes"?`);
      expect(stderr).toContain(`${file}:5: `);
      expect(stderr).toContain(`${file}:6: expected an http or https URL`);
      expect(stderr).toContain(`${file}:7: "5/15" does not fit the minute of a cron expression`);
      expect(stderr.trim().split('\n')).toHaveLength(5);
    }
  });

  test('a configuration that is not there, or is no YAML', async () => {
    writeFileSync(join(dir, 'broken.yaml'), 'version: 1\nnode: {id: "x\n');
    const [missing, broken] = await Promise.all([
      command(['run', '-c', join(dir, 'missing.yaml')]),
      command(['run', '-c', join(dir, 'broken.yaml')]),
    ]);
    expect(missing).toMatchObject({ code: 78, stderr: expect.stringMatching(/missing\.yaml:1: cannot be read/) });
    expect(broken).toMatchObject({ code: 78, stderr: expect.stringMatching(/broken\.yaml:\d+: /) });
  });
});

describe('commands', () => {
  const names = [
    'demo',
    'run',
    'origin',
    'encode',
    'reload',
    'check-config',
    'replay',
    'report',
    'sidecar',
    'status',
    'explain',
    'purge',
    'preposition',
    'pin',
    'unpin',
    'sign',
    'plan',
    'model',
    'pause',
    'resume',
    'erase',
  ];
  test('the overview names every command, and each explains itself', async () => {
    const overview = await command(['--help']);
    expect(overview.code).toBe(0);
    const listed = [...overview.stdout.matchAll(/^ {2}(\S+) {2,}\S/gm)].map(([, name]) => name);
    expect(listed).toEqual(names);
    for (const name of names) {
      const { code, stdout, stderr } = await command([name, '--help']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain(`Usage: nearcast ${name}`);
    }
  });

  test.each([
    ['a command that there is not', ['fly'], /no command "fly"/],
    ['an option that there is not', ['status', '--colour'], /--colour/],
    ['explain of nothing', ['explain'], /takes one of/],
    ['purge of nothing', ['purge'], /purge takes/],
    ['pause of something else', ['pause', 'viewers'], /prefetch, encode/],
    ['encode without a file', ['encode'], /INPUT and OUT/],
    ['origin without a directory', ['origin'], /DIR/],
    ['erase of nobody', ['erase'], /token/],
  ])('%s is wrong usage, 64', async (_name, args, message) => {
    const ended = await command(args);
    expect(ended.stderr).toMatch(message);
    expect(ended.code).toBe(64);
  });

  test('no node on the socket is one line and 1', async () => {
    const ended = await command(['status', '--socket', join(dir, 'nobody.sock')]);
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringMatching(/^nearcast: no node answers on .*\n$/) });
  });

  test('encode into a folder that cannot be made is one line and 78', async () => {
    const file = join(dir, 'in-the-way');
    writeFileSync(file, 'a file');
    const ended = await command(['encode', file, file]);
    expect(ended).toMatchObject({ code: 78, stderr: expect.stringMatching(/^nearcast: .*in-the-way.*\n$/) });
  });

  test('log.level decides what the node says', async () => {
    const quiet = join(dir, 'quiet');
    const file = join(dir, 'quiet.yaml');
    const admin = { metrics: '127.0.0.1:0', socket: 'quiet/nearcast.sock' };
    const settings = { admin, state: { dir: 'quiet/state' }, agent: 'off', store: { dirs: [] } };
    writeFileSync(file, configText('http://127.0.0.1:1', { ...settings, log: { level: 'error' } }));
    const stop = new AbortController();
    const running = command(['run', '--config', file], stop.signal);
    const status = () => nearcastStatus(join(quiet, 'nearcast.sock'));
    await expect.poll(status, { timeout: 10_000, interval: 20 }).toBe(0);
    stop.abort('SIGTERM');
    expect(await running).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('every example configuration is right', async () => {
    const files = readdirSync('deploy/config').map((name) => join('deploy/config', name));
    expect(files.length).toBeGreaterThan(0);
    const checked = await Promise.all(files.map((file) => command(['check-config', file, '--quiet'])));
    for (const [index, { code, stderr }] of checked.entries()) expect(`${code} ${stderr}`, files[index]).toMatch(/^0 /);
  });

  test('status, explain, purge, pause and resume speak with a running node', async () => {
    world.origin.set('/titles/film/clip.m4s', { headers: { 'cache-control': 'max-age=600' }, body: 'bytes' });
    await world.get('/titles/film/clip.m4s');
    const at = ['--socket', world.socket];
    const [text, json, url, title] = await Promise.all([
      command(['status', ...at]),
      command(['status', '--json', ...at]),
      command(['explain', '/titles/film/clip.m4s', '--json', ...at]),
      command(['explain', '--title', 'film', ...at]),
    ]);
    expect(text.stdout).toContain('edge-test');
    expect(JSON.parse(json.stdout)).toMatchObject({ node: { id: 'edge-test', region: 'test' }, unready: null });
    expect(JSON.parse(url.stdout)).toMatchObject({ title: 'film', holding: { variants: [{ status: 200 }] } });
    expect(JSON.parse(title.stdout)).toMatchObject({ package: { hash: '0123456789abcdef' } });
    const paused = await command(['pause', 'prefetch', ...at]);
    expect(JSON.parse(paused.stdout)).toEqual({ what: ['prefetch'], isPaused: true });
    const purged = await command(['purge', '/titles/film/clip.m4s', ...at]);
    expect(purged.stdout).toBe('1 object removed\n');
    expect((await world.get('/titles/film/clip.m4s')).headers.get('cache-status')).not.toMatch(/; ?hit\b/);
    const all = await command(['purge', '--prefix', '/titles/film/', '--soft', ...at]);
    expect(all.stdout).toMatch(/^\d+ objects? marked to be revalidated\n$/);
    const resumed = await command(['resume', 'prefetch', ...at]);
    expect(JSON.parse(resumed.stdout)).toEqual({ what: ['prefetch'], isPaused: false });
    for (const asked of [
      ['explain', 'ftp://host/clip.m4s'],
      ['purge', 'ftp://host/clip.m4s'],
      ['purge', '--prefix', 'titles/'],
    ]) {
      const refused = await command([...asked, ...at]);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/refused \(400\).*beginning with \//s) });
    }
  });
});
