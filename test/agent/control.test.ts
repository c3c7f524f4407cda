// The control socket and the monitoring listener, on real sockets.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { askControl, type ControlCall, openControl, openMonitoring } from '../../agent/control.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function socketPath(): string {
  const dir = mkdtempSync(join(tmpdir(), 'nearcast-control-'));
  closers.push(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'deeper', 'nearcast.sock');
}

const echo: readonly ControlCall[] = [
  { method: 'GET', path: '/status', answer: ({ query }) => ({ status: 200, json: { a: query.get('a') } }) },
  { method: 'POST', path: '/purge', answer: ({ body }) => ({ status: 200, json: { body } }) },
  { method: 'DELETE', path: '/viewers/', answer: ({ rest }) => ({ status: 200, json: { rest } }) },
  {
    method: 'GET',
    path: '/fails',
    answer: () => {
      throw new Error('on purpose');
    },
  },
];

async function open(): Promise<string> {
  const path = socketPath();
  const { close } = await openControl(path, echo);
  closers.push(close);
  return path;
}

describe('control socket', () => {
  test('only its owner may open it', async () => {
    expect(statSync(await open()).mode & 0o777).toBe(0o600);
  });

  test('answers calls with query, body and the rest of the path', async () => {
    const path = await open();
    expect(await askControl(path, { method: 'GET', path: '/status?a=b' })).toEqual({ a: 'b' });
    expect(await askControl(path, { method: 'POST', path: '/purge', body: { url: '/x' } })).toEqual({
      body: { url: '/x' },
    });
    expect(await askControl(path, { method: 'DELETE', path: '/viewers/a%2Fb' })).toEqual({ rest: 'a/b' });
  });

  test.each([
    ['an unknown path', { method: 'GET', path: '/nothing' }, /\(404\).*no such call/s],
    ['an unknown method', { method: 'PUT', path: '/status' }, /\(405\)/],
    ['a call that throws', { method: 'GET', path: '/fails' }, /\(500\).*on purpose/s],
    [
      'a body over the limit',
      { method: 'POST', path: '/purge', body: 'x'.repeat(1_100_000) },
      /\(413\)|ECONNRESET|EPIPE/,
    ],
  ])('refuses %s', async (_name, call, message) => {
    await expect(askControl(await open(), call)).rejects.toThrow(message);
  });

  test('nobody there is one clear line', async () => {
    await expect(askControl('/nowhere/nearcast.sock', { method: 'GET', path: '/status' })).rejects.toMatchObject({
      code: 'AGENT_CONTROL_UNREACHABLE',
      message: expect.stringContaining('is it running'),
    });
  });

  test('a second node on the same socket is refused, a dead one is replaced', async () => {
    const path = await open();
    await expect(openControl(path, echo)).rejects.toMatchObject({ code: 'AGENT_LISTEN_FAILED' });
    const stale = socketPath();
    const { close } = await openControl(stale, echo);
    await close();
    writeFileSync(stale, '');
    const again = await openControl(stale, echo);
    closers.push(again.close);
    expect(await askControl(stale, { method: 'GET', path: '/status?a=1' })).toEqual({ a: '1' });
  });
});

describe('monitoring listener', () => {
  const monitored = (reason?: string) => ({
    metrics: async () => ({ contentType: 'text/plain; version=0.0.4', text: 'up 1\n' }),
    unreadiness: () => reason,
  });

  test.each([
    ['/metrics', undefined, 200, 'up 1\n'],
    ['/livez', 'draining', 200, 'alive\n'],
    ['/readyz', undefined, 200, 'ready\n'],
    ['/readyz', 'draining', 503, 'draining\n'],
    ['/purge', undefined, 404, expect.stringContaining('control is on the unix socket')],
  ])('%s when unready is %s answers %d', async (path, reason, status, body) => {
    const { port, close } = await openMonitoring({ host: '127.0.0.1', port: 0 }, monitored(reason));
    closers.push(close);
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    expect(response.status).toBe(status);
    expect(await response.text()).toEqual(body);
  });

  test('a port in use is one clear line with exit code 78', async () => {
    const taken = createServer();
    const port = await new Promise<number>((resolve) => {
      taken.listen(0, '127.0.0.1', () => {
        const address = taken.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
    closers.push(() => new Promise<void>((resolve) => taken.close(() => resolve())));
    await expect(openMonitoring({ host: '127.0.0.1', port }, monitored())).rejects.toMatchObject({
      code: 'AGENT_LISTEN_FAILED',
      exitCode: 78,
      message: expect.stringContaining('choose another port'),
    });
  });
});
