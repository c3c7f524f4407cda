// One port with several listening sockets: accepts many in a turn of the loop, is refused beside another, closes whole.
import { connect, createServer, type Server } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { closed, listen } from '../../cache/listen/listener.ts';

const HOST = '127.0.0.1';
const open: Server[] = [];

async function openPort(port: number, isShared = false, onConnection?: () => void): Promise<number> {
  const server = createServer((socket) => {
    socket.destroy();
    onConnection?.();
  });
  const bound = await listen(server, { host: HOST, port }, isShared);
  open.push(server, ...bound.others);
  return bound.port;
}

afterEach(() => Promise.all(open.splice(0).map(closed)));

/** Turns of the loop until all of 64 viewers, whose handshakes the kernel has done, are accepted. */
async function turnsFor64(isShared: boolean): Promise<number> {
  let accepted = 0;
  const port = await openPort(0, isShared, () => {
    accepted += 1;
  });
  const viewers = Array.from({ length: 64 }, () => connect(port, HOST).on('error', () => undefined));
  let turns = 0;
  for (; accepted < 64; turns += 1) await turn();
  for (const viewer of viewers) viewer.destroy();
  return turns;
}

test.runIf(process.platform === 'linux')('accepts several connections in a turn', async () => {
  expect(await turnsFor64(false)).toBeLessThan(48);
});

test('with a shared socket accepts one in a turn', async () => {
  expect(await turnsFor64(true)).toBeGreaterThanOrEqual(64);
});

test.each([
  ['a port of this kind', false],
  ['a port with one socket', true],
])('is refused beside %s', async (_name, isShared) => {
  const port = await openPort(0, isShared);
  await expect(openPort(port)).rejects.toMatchObject({ code: 'CACHE_LISTEN_FAILED' });
});

test('a port that was closed whole can be bound again', async () => {
  const port = await openPort(0);
  await Promise.all(open.splice(0).map(closed));
  await expect(openPort(port)).resolves.toBe(port);
});
