// A node on loopback with real parts, in this process: its own folder, a controllable origin, a log that can be waited
// on, and titles whose package is on disk and at the origin.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { parseConfig } from '../../../agent/config.ts';
import { askControl } from '../../../agent/control.ts';
import { openLog } from '../../../agent/log.ts';
import { main } from '../../../agent/main.ts';
import { type Node, openNode } from '../../../agent/node.ts';
import { type FakeOrigin, openFakeOrigin } from '../../fake/origin.ts';
import { makeTitle } from '../../fake/title.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const LINE_MS = 60_000;
/** Below the tests' own deadline, so that a command that hangs is killed by who started it. */
const COMMAND_MS = 60_000;

/** A line of the node's log. */
export type Line = Readonly<Record<string, unknown>>;

/** What differs from a small node: sections of nearcast.yaml, whole. */
export type Settings = Readonly<Record<string, unknown>>;

/** A node with what is around it. */
export type World = {
  readonly dir: string;
  readonly socket: string;
  readonly origin: FakeOrigin;
  readonly node: Node;
  /** Of the viewer listener, without a slash at its end. */
  readonly url: string;
  readonly logged: () => readonly Line[];
  /** Resolves with the first line, past or future, of that event. */
  readonly line: (event: string) => Promise<Line>;
  /** GET on the viewer listener, its body read. */
  readonly get: (path: string, headers?: Readonly<Record<string, string>>) => Promise<Got>;
  readonly ask: (method: string, path: string, body?: unknown) => Promise<unknown>;
  readonly metrics: () => Promise<string>;
  /** Closes the node alone; its folder and origin stay. */
  readonly stop: () => Promise<void>;
  readonly close: () => Promise<void>;
};

/** An answer, read to its end. */
export type Got = { readonly status: number; readonly headers: Headers; readonly body: Buffer };

/** Where a node lives, when it is not a new folder of its own. */
export type Place = { readonly dir: string; readonly origin: FakeOrigin };

/** A new folder, and an origin. */
export async function makePlace(): Promise<Place> {
  return { dir: mkdtempSync(join(tmpdir(), 'nearcast-node-')), origin: await openFakeOrigin() };
}

/** Closes and removes a place, if there is one. */
export async function leavePlace(place: Place | undefined): Promise<void> {
  if (place === undefined) return;
  await place.origin.close();
  rmSync(place.dir, { recursive: true, force: true });
}

/** Text of the configuration of a small node in front of an origin. */
export function configText(originUrl: string, settings: Settings = {}): string {
  return JSON.stringify({
    version: 1,
    node: { id: 'edge-test', region: 'test' },
    listen: { http: '127.0.0.1:0' },
    admin: { metrics: '127.0.0.1:0', socket: 'run/nearcast.sock' },
    state: { dir: 'state' },
    origins: [{ name: 'main', url: originUrl, match: '/' }],
    store: { ramBytes: '16MiB', dirs: [{ path: 'store', maxBytes: '64MiB' }] },
    catalogue: { file: 'catalogue.jsonl' },
    publish: { dir: 'titles' },
    predict: { enabled: false },
    encode: { enabled: false },
    // Other tests keep the processors busy.
    power: { foregroundCeiling: 1 },
    preview: { deadlineMs: 5_000, fileDeadlineMs: 5_000 },
    ...settings,
  });
}

function openLines() {
  const lines: Line[] = [];
  const waiting = new Set<(line: Line) => void>();
  let rest = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      const parts = (rest + chunk.toString()).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) {
        const line: Line = JSON.parse(part);
        lines.push(line);
        for (const hear of waiting) hear(line);
      }
      done();
    },
  });
  const first = (event: string) =>
    new Promise<Line>((resolve, reject) => {
      const known = lines.find((line) => line['event'] === event);
      if (known !== undefined) return resolve(known);
      const timer = setTimeout(() => reject(new Error(`no line ${event} within ${LINE_MS} ms`)), LINE_MS);
      waiting.add((line) => {
        if (line['event'] !== event) return;
        clearTimeout(timer);
        resolve(line);
      });
    });
  return { lines, stream, first };
}

/** Opens a node. Without a place, in a new one that close() removes. */
export async function openWorld(
  settings: Settings = {},
  options: { readonly place?: Place; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<World> {
  const place = options.place ?? (await makePlace());
  const { dir, origin } = place;
  const loaded = parseConfig(configText(origin.url, settings), join(dir, 'nearcast.yaml'));
  if (!loaded.ok) throw new Error(loaded.problems.map(({ path, message }) => `${path}: ${message}`).join('; '));
  const { lines, stream, first } = openLines();
  const log = openLog({ level: 'debug', stream });
  const node = await openNode(loaded.config, { log, env: { ...process.env, ...options.env } });
  const url = `http://127.0.0.1:${node.port}`;
  const socket = loaded.config.admin.socket;
  return {
    dir,
    socket,
    origin,
    node,
    url,
    logged: () => lines,
    line: first,
    get: async (path, headers = {}) => {
      const response = await fetch(url + path, { headers: { ...headers } });
      const body = Buffer.from(await response.arrayBuffer());
      return { status: response.status, headers: response.headers, body };
    },
    ask: (method, path, body) => askControl(socket, { method, path, ...(body === undefined ? {} : { body }) }),
    metrics: async () => (await fetch(`http://127.0.0.1:${node.metricsPort}/metrics`)).text(),
    stop: async () => {
      await node.close();
      await log.close(200);
    },
    close: async () => {
      await node.close();
      await log.close(200);
      if (options.place !== undefined) return;
      await leavePlace(place);
    },
  };
}

/** A published title: paths on the viewer listener. */
export type Published = {
  readonly id: string;
  readonly master: string;
  /** Segments of one rendition, in order. */
  readonly segments: readonly string[];
  readonly init: string;
  readonly playlist: string;
  readonly allSegments: readonly string[];
};

const SEGMENT_BYTES = 3_000;
const FOREVER = { 'cache-control': 'public, max-age=31536000, immutable' };

/** The bytes that the origin has for a segment, the same for the same path. */
export function segmentBytes(path: string): Buffer {
  return Buffer.alloc(SEGMENT_BYTES, path);
}

/** Puts a title of `count` 4 s segments in three renditions into the publish folder and at the origin. */
export function publish({ dir, origin }: Place, id: string, count: number): Published {
  const made = makeTitle(
    id,
    Array.from({ length: count }, (_, index) => ({ seconds: 4, features: { temporal: index / count } })),
  );
  const sized = made.renditions.map((rendition) => ({
    ...rendition,
    segments: rendition.segments.map((segment) => ({ ...segment, bytes: SEGMENT_BYTES })),
  }));
  const title = { ...made, renditions: sized };
  const folder = join(dir, 'titles', id, title.hash);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'title.json'), JSON.stringify(title));
  writeFileSync(join(dir, 'titles', id, 'latest.json'), JSON.stringify({ version: 1, id, hash: title.hash }));
  const base = `/titles/${id}/${title.hash}/`;
  const master = `/titles/${id}/master.m3u8`;
  origin.set(master, { headers: { 'cache-control': 'max-age=60' }, body: '#EXTM3U\n' });
  for (const { id: rendition, initUrl, segments } of title.renditions) {
    origin.set(`${base}${rendition}/playlist.m3u8`, { headers: FOREVER, body: '#EXTM3U\n' });
    origin.set(base + initUrl, { headers: FOREVER, body: Buffer.alloc(800, 1) });
    for (const { url } of segments) origin.set(base + url, { headers: FOREVER, body: segmentBytes(base + url) });
  }
  const [rendition] = title.renditions.slice(1);
  if (rendition === undefined) throw new Error('a made title has three renditions');
  return {
    id,
    master,
    segments: rendition.segments.map(({ url }) => base + url),
    init: base + rendition.initUrl,
    playlist: `${base}${rendition.id}/playlist.m3u8`,
    allSegments: title.renditions.flatMap(({ segments }) => segments.map(({ url }) => base + url)),
  };
}

/** Writes the catalogue anew. */
export function catalogue({ dir }: Pick<Place, 'dir'>, titles: readonly Readonly<Record<string, unknown>>[]): void {
  writeFileSync(join(dir, 'catalogue.jsonl'), titles.map((title) => `${JSON.stringify(title)}\n`).join(''));
}

/** A sample's value in a text of /metrics; 0 when it is not there. */
export function sample(text: string, name: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

/** A beacon of a player. */
export function beacon(
  world: Pick<World, 'url'>,
  { sid, consent, events }: { sid: string; consent: 'none' | 'personal'; events: readonly Settings[] },
): Promise<Response> {
  const body = { version: 1, sid, consent, events: events.map((event) => ({ at: Date.now(), ...event })) };
  return fetch(`${world.url}/.nearcast/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

/** Waits until the node holds a path, by asking it. */
export async function held(world: World, path: string): Promise<void> {
  const holding = async () => await world.ask('GET', `/explain?url=${encodeURIComponent(path)}`);
  await expect.poll(holding, { interval: 10, timeout: 5_000 }).toMatchObject({ holding: { variants: [{}] } });
}

/** What a command printed and how it ended. */
export type Ended = { readonly code: number | string; readonly stdout: string; readonly stderr: string };

/** Runs `nearcast ARGS` in this process: the same table, the same errors, without the start of a Node. */
export async function command(args: readonly string[], signal = new AbortController().signal): Promise<Ended> {
  const texts = { stdout: '', stderr: '' };
  const into = (name: keyof typeof texts) =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        texts[name] += chunk.toString();
        done();
      },
    });
  const io = { stdout: into('stdout'), stderr: into('stderr'), env: process.env, cwd: ROOT, signal };
  const code = await main(args, io);
  return { code, ...texts };
}

/** Runs `nearcast ARGS` as a process of its own. */
export function nearcast(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = {
      cwd: ROOT,
      env: { ...process.env, ...env },
      timeout: COMMAND_MS,
      killSignal: 'SIGKILL' as const,
      maxBuffer: 16 << 20,
    };
    execFile(process.execPath, ['run.mjs', ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? 'killed'), stdout, stderr });
    });
  });
}
