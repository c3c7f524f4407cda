// The real daemon as a process of its own before a controllable origin: what it answers, counts and says while a fault
// lasts and after it.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Got, getFrom } from '../cache/http/node.ts';
import { start } from '../e2e/process.ts';
import { type FakeOrigin, openFakeOrigin } from '../fake/origin.ts';

/** A running daemon. */
export type Daemon = {
  readonly pid: number;
  readonly port: number;
  readonly metricsPort: number;
  /** Its folder; the store lies in `store` unless the settings say otherwise. */
  readonly directory: string;
  readonly origin: FakeOrigin;
  readonly get: (path: string, headers?: Record<string, string>) => Promise<Got>;
  /** Sum of all samples of a metric whose labels contain `labels`; 0 when there is none. */
  readonly metric: (name: string, labels?: string) => Promise<number>;
  /** Status of /readyz. */
  readonly readiness: () => Promise<number>;
  /** Resolves with the first line, past or future, of that event. */
  readonly line: (event: string) => Promise<Readonly<Record<string, unknown>>>;
  readonly openFiles: () => number;
  readonly isAlive: () => boolean;
  /** Ends it in order; rejects when it had died before or ends with a code. */
  readonly stop: () => Promise<void>;
};

/** What differs from a plain cache with 16 MiB of RAM and 256 MiB of disk. */
export type DaemonSetup = {
  /** Sections of nearcast.yaml, whole. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly storePath?: string;
  /** More keys of its origin. */
  readonly originKeys?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Most open files that it may have. */
  readonly openFiles?: number;
};

/** Starts one in a new temporary folder. */
export async function openDaemon(setup: DaemonSetup = {}): Promise<Daemon> {
  const { settings = {}, storePath = 'store', env = {}, openFiles, originKeys = {} } = setup;
  const directory = mkdtempSync(join(tmpdir(), 'nearcast-fault-'));
  const origin = await openFakeOrigin();
  mkdirSync(join(directory, 'store'), { recursive: true });
  const config = {
    version: 1,
    agent: 'off',
    node: { id: 'edge-fault', region: 'test' },
    listen: { http: '127.0.0.1:0', exemptPrefixes: ['127.0.0.0/8'] },
    admin: { metrics: '127.0.0.1:0', socket: 'run/nearcast.sock' },
    origins: [{ name: 'main', url: origin.url, match: '/', ...originKeys }],
    store: { ramBytes: '16MiB', dirs: [{ path: storePath, maxBytes: '256MiB' }] },
    ...settings,
  };
  const file = join(directory, 'nearcast.yaml');
  writeFileSync(file, JSON.stringify(config));
  const limit = openFiles === undefined ? [] : ['prlimit', `--nofile=${openFiles}:${openFiles}`];
  const running = start(['run', '--config', file], env, limit);
  const ready = await running.line(({ event }) => event === 'node.ready');
  const { pid } = running.child;
  if (pid === undefined) throw new Error('the daemon did not start');
  const [port, metricsPort] = [Number(ready['port']), Number(ready['metricsPort'])];
  let isOver = false;
  void running.ended.then(() => {
    isOver = true;
  });
  return {
    ...{ pid, port, metricsPort, directory, origin },
    get: (path, headers) => getFrom(port, path, { ...(headers && { headers }) }),
    metric: async (name, labels = '') => {
      const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
      return text
        .split('\n')
        .filter((line) => (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && line.includes(labels))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    },
    readiness: async () => (await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).status,
    line: (event) => running.line((line) => line['event'] === event),
    openFiles: () => readdirSync(`/proc/${pid}/fd`).length,
    isAlive: () => !isOver,
    stop: async () => {
      const wasAlive = !isOver;
      running.child.kill('SIGTERM');
      const { code, signal } = await running.ended;
      await origin.close();
      rmSync(directory, { recursive: true, force: true });
      if (!wasAlive || code !== 0) throw new Error(`the daemon ended with ${code ?? signal}: ${running.stderr()}`);
    },
  };
}

/** Asks again and again until `isBack`; the milliseconds that it took. Rejects after `withinMs`. */
export async function untilBack(isBack: () => Promise<boolean> | boolean, withinMs: number): Promise<number> {
  const beganMs = performance.now();
  for (;;) {
    if (await isBack()) return performance.now() - beganMs;
    if (performance.now() - beganMs > withinMs) throw new Error(`not back within ${withinMs} ms`);
    await delay(50);
  }
}
