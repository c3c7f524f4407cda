// What the parts of bench:preview share: percentiles, and a node as a process in front of an origin of published titles.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openOrigin } from '../../agent/commands/origin.ts';
import { start } from '../e2e/process.ts';
import type { ClipPackage } from '../fake/clip-package.ts';

/** The value below which that share of the values lies; NaN of none. */
export function percentile(values: readonly number[], ratio: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * ratio))] ?? Number.NaN;
}

/** A running node with its titles in its cache. */
export type BenchNode = {
  readonly port: number;
  /** Bytes of media that its origin has sent since it was warm. */
  readonly originBytes: () => Promise<number>;
  readonly stop: () => Promise<void>;
};

/** Starts a node in an own process, and has every object of the titles in its cache. */
export async function startNode(dir: string, publicDir: string, clips: readonly ClipPackage[]): Promise<BenchNode> {
  mkdirSync(dir, { recursive: true });
  const origin = await openOrigin({ dir: publicDir, host: '127.0.0.1', port: 0, log: () => undefined });
  const config = {
    version: 1,
    node: { id: 'bench', region: 'test' },
    listen: { http: '127.0.0.1:0' },
    admin: { metrics: '127.0.0.1:0', socket: 'nearcast.sock' },
    state: { dir: 'state' },
    origins: [{ name: 'main', url: `http://127.0.0.1:${origin.port}`, match: '/' }],
    store: { ramBytes: '256MiB', dirs: [{ path: 'store', maxBytes: '1GiB' }] },
    catalogue: { file: 'catalogue.jsonl' },
    publish: { dir: join(publicDir, 'titles') },
    encode: { enabled: false },
    telemetry: { maxEventsPerViewerPerMinute: 100_000 },
  };
  const lines = clips.map(({ title: { id, durationSeconds } }) => JSON.stringify({ id, name: id, durationSeconds }));
  writeFileSync(join(dir, 'catalogue.jsonl'), `${lines.join('\n')}\n`);
  writeFileSync(join(dir, 'nearcast.yaml'), JSON.stringify(config));
  const running = start(['run', '--config', join(dir, 'nearcast.yaml')]);
  const ready = await running.line(({ event }) => event === 'node.ready');
  const url = `http://127.0.0.1:${ready['port']}`;
  for (const { files } of clips) for (const path of files.keys()) await (await fetch(url + path)).arrayBuffer();
  const received = async () => {
    const text = await (await fetch(`http://127.0.0.1:${ready['metricsPort']}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith('nearcast_origin_received_bytes_total'));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  };
  const before = await received();
  return {
    port: Number(ready['port']),
    originBytes: async () => (await received()) - before,
    stop: async () => {
      running.child.kill('SIGTERM');
      await running.ended;
      await origin.close();
    },
  };
}
