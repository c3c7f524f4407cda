// Overload: viewers who come at a given rate, whether they are served or not, each over a connection of his own.
import { connect } from 'node:net';
import { readHead } from './load.ts';

/** What became of the viewers of one run. Times in milliseconds, from when each was due to his last byte. */
export type OpenLoad = {
  readonly served: number;
  readonly shed: number;
  readonly failed: number;
  readonly hitP99Ms: number;
};

/** A viewer who has had nothing for so long leaves, and counts as failed. */
const PATIENCE_MS = 10_000;
const BUFFER = Buffer.allocUnsafe(512 * 1024);

/** One request over a new connection. */
function visit(port: number, path: string): Promise<'served' | 'shed' | 'failed'> {
  return new Promise((resolve) => {
    let missing: number | undefined;
    let isShed = false;
    let head = Buffer.alloc(0);
    const take = (bytes: Buffer): void => {
      let body = bytes.length;
      if (missing === undefined) {
        head = Buffer.concat([head, bytes]);
        if (head.toString('latin1', 0, 12) === 'HTTP/1.1 503') isShed = true;
        const read = isShed ? undefined : readHead(head);
        if (read === undefined) return;
        body = head.length - read.headBytes;
        missing = read.bodyBytes;
      }
      missing -= body;
      if (missing > 0) return;
      resolve('served');
      socket.destroy();
    };
    const onread = {
      buffer: BUFFER,
      callback: (size: number) => {
        take(BUFFER.subarray(0, size));
        return true;
      },
    };
    const socket = connect({ port, host: '127.0.0.1', onread });
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    // Turned away at accept: the answer comes before the request has been read.
    socket.once('error', () => undefined);
    socket.once('close', () => resolve(isShed ? 'shed' : 'failed'));
    socket.write(`GET ${path} HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n`);
  });
}

/** Requests per second that a server answers to so many viewers who come again and again. */
export async function capacity(port: number, path: string, how: { viewers: number; forMs: number }): Promise<number> {
  const startedMs = performance.now();
  let served = 0;
  const one = async () => {
    while (performance.now() - startedMs < how.forMs) if ((await visit(port, path)) === 'served') served += 1;
  };
  await Promise.all(Array.from({ length: how.viewers }, one));
  return (served / (performance.now() - startedMs)) * 1000;
}

/** Sends viewers at so many a second, evenly; of those who come in the first `leadMs` nobody is counted. */
export async function openLoad(
  port: number,
  path: string,
  how: { readonly perSecond: number; readonly forMs: number; readonly leadMs: number },
): Promise<OpenLoad> {
  const startedMs = performance.now();
  const counts = { served: 0, shed: 0, failed: 0 };
  const hits: number[] = [];
  const running: Promise<void>[] = [];
  const total = Math.floor((how.perSecond * how.forMs) / 1000);
  const come = async (dueMs: number): Promise<void> => {
    const end = await visit(port, path);
    if (dueMs - startedMs < how.leadMs) return;
    counts[end] += 1;
    if (end === 'served') hits.push(performance.now() - dueMs);
  };
  while (running.length < total) {
    const passedMs = performance.now() - startedMs;
    // The first is due at once.
    const due = Math.min(total, Math.floor((passedMs * how.perSecond) / 1000) + 1);
    while (running.length < due) running.push(come(startedMs + (running.length * 1000) / how.perSecond));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(running);
  hits.sort((one, other) => one - other);
  return { ...counts, hitP99Ms: hits[Math.floor(hits.length * 0.99)] ?? Number.NaN };
}
