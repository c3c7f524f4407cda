// What the parts of bench:preview share: percentiles, and a node as a process in front of an origin of published titles.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { start } from '../e2e/process.ts';
import type { ClipPackage } from '../fake/clip-package.ts';
import { servePackage } from '../fake/package-server.ts';

/** A running node with its titles in its cache. */
export type BenchNode = {
  readonly port: number;
  /** Bytes of media that its origin has sent since it was warm. */
  readonly originBytes: () => number;
  /** CPU time that the node has taken, in milliseconds: says what a busy machine's waiting hides. */
  readonly cpuMs: () => number;
  readonly stop: () => Promise<void>;
};

/** Starts a node in an own process, and has every object of the titles in its cache. */
export async function startNode(dir: string, publicDir: string, clips: readonly ClipPackage[]): Promise<BenchNode> {
  mkdirSync(dir, { recursive: true });
  const origin = await servePackage({ titles: join(publicDir, 'titles') });
  const config = {
    version: 1,
    node: { id: 'bench', region: 'test' },
    listen: { http: '127.0.0.1:0' },
    admin: { metrics: '127.0.0.1:0', socket: 'nearcast.sock' },
    state: { dir: 'state' },
    origins: [{ name: 'main', url: origin.url.slice(0, -1), match: '/' }],
    cache: { defaultTtlSeconds: 3600 },
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
  const warm = origin.asked.length;
  const sizes = new Map(clips.flatMap(({ files }) => [...files].map(([path, bytes]) => [path, bytes.length] as const)));
  const isMedia = (path: string) => /\.(?:m4s|mp4)$/.test(path);
  return {
    port: Number(ready['port']),
    originBytes: () =>
      origin.asked
        .slice(warm)
        .filter(isMedia)
        .reduce((sum, path) => sum + (sizes.get(path) ?? 0), 0),
    cpuMs: () => cpuMsOf(join(dir, 'nearcast.yaml')),
    stop: async () => {
      running.child.kill('SIGTERM');
      await running.ended;
      await origin.close();
    },
  };
}

/** A tick of /proc, in milliseconds (proc(5): 100 a second on Linux). */
const TICK_MS = 10;

/** User and system time of the processes that were started with this word. */
function cpuMsOf(word: string): number {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.reduce((sum, pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word)) return sum;
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      return sum + (Number(fields[11]) + Number(fields[12])) * TICK_MS;
    } catch {
      return sum; // It ended between the listing and the reading.
    }
  }, 0);
}
