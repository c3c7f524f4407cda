// The command line as a shell sees it: exit codes, and one clear line where something is wrong.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../agent/main.ts';

const MAIN = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'nearcast-main-'));
const taken = createServer();
let takenPort: number;

type Ended = { readonly code: number | string | null | undefined; readonly stdout: string; readonly stderr: string };

/** Runs a command line in this process. */
async function run(...args: readonly string[]): Promise<Ended> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const { signal } = new AbortController();
  const code = await main(args, { stdout, stderr, env: process.env, cwd: dir, signal });
  return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') };
}

/** Runs it as a process, so that what it leaves open keeps it from ending. */
const spawn = (...args: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { cwd: dir, timeout: 15_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });

const config = (name: string, keys: Readonly<Record<string, unknown>> = {}): void => {
  const whole = {
    version: 1,
    listen: { http: '127.0.0.1:0' },
    admin: { metrics: '127.0.0.1:0', socket: `${name}.sock` },
    state: { dir: `${name}-state` },
    store: { dirs: [] },
    publish: { dir: `${name}-titles` },
    ...keys,
  };
  writeFileSync(join(dir, `${name}.yaml`), JSON.stringify(whole));
};

beforeAll(async () => {
  takenPort = await new Promise((resolve) => {
    taken.listen(0, '127.0.0.1', () => {
      const address = taken.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  config('good');
  config('misspelt', { prefetch: { bytesPerDya: '1GiB' } });
  config('port', { listen: { http: `127.0.0.1:${takenPort}` } });
  config('metrics', { admin: { metrics: `127.0.0.1:${takenPort}`, socket: 'metrics.sock' } });
  config('jobs', { state: { dir: 'jobs-state' } });
  mkdirSync(join(dir, 'jobs-state'));
  writeFileSync(join(dir, 'jobs-state', 'encode'), 'a file where a folder should be');
  writeFileSync(join(dir, 'file'), '');
  writeFileSync(join(dir, 'film.mp4'), 'no video at all');
});
afterAll(() => {
  taken.close();
  rmSync(dir, { recursive: true, force: true });
});

describe('done: 0', () => {
  test.each([
    [['--version'], /^nearcast \d+\.\d+\.\d+\n$/],
    [['--help'], /^Usage: nearcast COMMAND/],
    [[], /^Usage: nearcast COMMAND/],
    [['check-config', 'good.yaml'], /^version: 1$/m],
    [['check-config', 'good.yaml', '--quiet'], /^$/],
    [['check-config', '--schema'], /"\$schema"/],
  ])('nearcast %s', async (args, stdout) => {
    expect(await run(...args)).toEqual({ code: 0, stdout: expect.stringMatching(stdout), stderr: '' });
  });

  test('every command of the overview has its own help', async () => {
    const { stdout } = await run('--help');
    const names = [...stdout.matchAll(/^ {2}([a-z-]+) /gm)].map(([, name]) => String(name));
    expect(names).toHaveLength(21);
    for (const name of names) {
      const help = await run(name, '--help');
      expect(help).toMatchObject({ code: 0, stderr: '' });
      expect(help.stdout).toContain(`Usage: nearcast ${name}`);
    }
  });
});

describe('wrong usage: 64', () => {
  test.each([
    [['constructor'], /no command "constructor"/],
    [['run', '--port', '80'], /--port/],
    [['encode', 'film.mp4'], /INPUT and OUT/],
    [['encode', 'film.mp4', 'out', '--source-class', 'best'], /sourceClass/],
    [['origin'], /name one DIR/],
    [['origin', '.', '--listen', 'nowhere'], /HOST:PORT/],
    [['explain'], /one of URL/],
    [['explain', '/a', '--title', 'b'], /one of URL/],
    [['purge'], /one of URL/],
    [['purge', '/a', '--tag', 'b'], /one of URL/],
    [['preposition'], /URLs, --file/],
    [['pin'], /URL or --prefix/],
    [['unpin', '/a', '--prefix', '/b'], /URL or --prefix/],
    [['sign'], /absolute URL/],
    [['sign', 'https://a/b', '-c', 'x', '--expires', 'soon'], /90s, 15m/],
    [['sign', 'https://a/b', '-c', 'x', '--network', 'x'], /a prefix like/],
    [['pause', 'everything'], /prefetch, encode, retrain/],
    [['erase'], /viewer token/],
  ])('nearcast %s', async (args, stderr) => {
    expect(await run(...args)).toEqual({ code: 64, stdout: '', stderr: expect.stringMatching(stderr) });
  });
});

describe('what cannot be used: 78', () => {
  test.each([
    [['check-config', 'misspelt.yaml'], /misspelt\.yaml:\d+: .*bytesPerDay/],
    [['check-config', 'nowhere.yaml'], /nowhere\.yaml:1: cannot be read/],
    [['run', '--config', 'misspelt.yaml'], /misspelt\.yaml:\d+: .*bytesPerDay/],
    [['status', '--config', 'misspelt.yaml'], /check-config/],
    [['origin', 'nowhere'], /no such directory/],
    [['encode', 'film.mp4', 'file'], /cannot be made/],
  ])('nearcast %s says why', async (args, stderr) => {
    expect(await run(...args)).toMatchObject({ code: 78, stderr: expect.stringMatching(stderr) });
  });

  test.each([
    ['port', /127\.0\.0\.1:\d+/],
    ['metrics', /admin\.metrics/],
    ['jobs', /jobs-state\/encode\/jobs cannot be made/],
  ])('a node that opened half way closes what it had and ends: %s', async (name, stderr) => {
    const ended = await spawn('run', '--config', `${name}.yaml`);
    expect(ended).toMatchObject({ code: 78, stderr: expect.stringMatching(stderr) });
    expect(ended.stderr).not.toMatch(/^\s+at /m);
  });
});

describe('failed', () => {
  test('no node to ask: 1', async () => {
    const ended = await run('status', '--config', 'good.yaml');
    expect(ended).toEqual({ code: 1, stdout: '', stderr: expect.stringMatching(/no node answers on .*good\.sock/) });
  });

  test('a file that is no video: the code of the encoder', async () => {
    const ended = await spawn('encode', 'film.mp4', 'out');
    expect(ended.code).toBe(65);
    expect(ended.stderr).toContain('ENCODER_INPUT_');
    expect(ended.stdout).toContain('"event":"failed"');
  });
});
