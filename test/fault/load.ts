// Viewers who ask for one stored object again and again on kept connections, and how long each answer took.
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What the viewers met. */
export type LoadReport = {
  readonly answers: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Turned away with 503 and Retry-After. */
  readonly shed: number;
  /** Anything else: another status, a cut answer, a connection refused. */
  readonly bad: number;
};

/** How they ask. */
export type LoadOptions = {
  readonly port: number;
  readonly path: string;
  /** Viewers at once, one request under way each. */
  readonly viewers: number;
  readonly forMs: number;
  /** Pause of a viewer who was turned away. */
  readonly retryMs?: number;
};

type Answer = 'right' | 'shed' | 'bad';

/** One viewer's connection; `ask` resolves when an answer came whole or the connection ended. */
function openViewer(port: number, path: string): { readonly ask: () => Promise<Answer>; readonly socket: Socket } {
  const socket = connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  const request = `GET ${path} HTTP/1.1\r\nHost: load\r\n\r\n`;
  let text = '';
  let left = -1;
  let settle: ((answer: Answer) => void) | undefined;
  const end = (answer: Answer): void => {
    const settled = settle;
    settle = undefined;
    text = '';
    left = -1;
    settled?.(answer);
  };
  const isShed = () => /^HTTP\/1\.1 503 [\s\S]*\r\nretry-after: /i.test(text);
  socket.on('data', (bytes) => {
    if (left < 0) {
      text += bytes.toString('latin1');
      const headEnd = text.indexOf('\r\n\r\n');
      const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
      if (headEnd < 0 || length === undefined) return;
      left = Number(length) - (text.length - headEnd - 4);
    } else left -= bytes.length;
    if (left <= 0) end(text.startsWith('HTTP/1.1 200 ') && left === 0 ? 'right' : isShed() ? 'shed' : 'bad');
  });
  socket.on('error', () => undefined); // 'close' follows.
  socket.once('close', () => end(isShed() ? 'shed' : 'bad'));
  return {
    socket,
    ask: () =>
      new Promise((resolve) => {
        settle = resolve;
        if (socket.destroyed) end('bad');
        else socket.write(request);
      }),
  };
}

const rank = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

/** Runs them. */
export async function load({ port, path, viewers, forMs, retryMs = 100 }: LoadOptions): Promise<LoadReport> {
  const times: number[] = [];
  let shed = 0;
  let bad = 0;
  const untilMs = performance.now() + forMs;
  const run = async (): Promise<void> => {
    let viewer = openViewer(port, path);
    while (performance.now() < untilMs) {
      const askedMs = performance.now();
      const answer = await viewer.ask();
      if (answer === 'right') {
        times.push(performance.now() - askedMs);
        continue;
      }
      if (answer === 'shed') shed += 1;
      else bad += 1;
      await delay(retryMs);
      if (viewer.socket.destroyed || viewer.socket.readableEnded) viewer = openViewer(port, path);
    }
    viewer.socket.destroy();
  };
  await Promise.all(Array.from({ length: viewers }, run));
  times.sort((one, other) => one - other);
  return { answers: times.length, p50Ms: rank(times, 0.5), p99Ms: rank(times, 0.99), shed, bad };
}
