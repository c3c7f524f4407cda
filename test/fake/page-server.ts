// A node as the page sees it: the real page files, the real preview conductor and real HLS made by ffmpeg, behind a
// plain HTTP server. Only the figures of the activity panel and the list of titles are made up, and a test may change them.
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { consoleRoutes } from '../../agent/console/console.ts';
import { openPreview, type Preview } from '../../agent/preview/preview.ts';
import { CONTRACT_VERSION, type Title } from '../../encoder/contract.ts';
import { type FakeBandit, fakeBandit } from './bandit.ts';

const run = promisify(execFile);
const FFMPEG_MS = 30_000;
const HASH = '00112233445566aa';
const TYPES: Record<string, string> = {
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.m4s': 'video/iso.segment',
  '.mp4': 'video/mp4',
  '.jpg': 'image/jpeg',
};

/** What to make a title from: ffmpeg input arguments that give one video stream. */
export type PageTitle = {
  readonly id: string;
  readonly name: string;
  readonly input: readonly string[];
  readonly nextId?: string;
};

/** A title as the page lists it. */
export type Listed = {
  id: string;
  name: string;
  manifestUrl: string;
  poster: string | null;
  report?: string;
  ready: boolean;
  progressRatio: number;
  isEncodedHere: boolean;
  failure?: string;
  nextId?: string;
};

/** A beacon as it came. */
export type Beacon = {
  readonly version: number;
  readonly sid: string;
  readonly consent: string;
  readonly events: readonly { readonly type: string; readonly title: string; readonly rewardToken?: string }[];
};

/** An open server; `titles` and `activity` are what the next polls answer. */
export type PageServer = {
  readonly url: string;
  titles: Listed[];
  activity: unknown;
  /** False: every answer is 503, as from a node in trouble. */
  isUp: boolean;
  readonly beacons: readonly Beacon[];
  /** Choices that were shown, with their rewards. */
  readonly bandit: FakeBandit;
  readonly preview: Preview;
  /** Resolves with the first beacon, past or future, that satisfies. Waits as long as the test lives. */
  readonly waitForBeacon: (satisfies: (beacon: Beacon) => boolean) => Promise<Beacon>;
  /** Paths with query of everything asked. */
  readonly asked: readonly string[];
  readonly close: () => Promise<void>;
};

/** Encodes the titles into `dir` with an ffmpeg and serves them on a free port of the loopback. */
export async function openPageServer(options: {
  readonly dir: string;
  readonly ffmpeg: string;
  readonly titles: readonly PageTitle[];
  readonly seconds: number;
}): Promise<PageServer> {
  const made = await Promise.all(options.titles.map((title) => encode(options, title)));
  const bandit = fakeBandit();
  const preview = openPagePreview(options.dir, made, bandit);
  const beacons: Beacon[] = [];
  const asked: string[] = [];
  const waiting = new Set<(beacon: Beacon) => void>();
  const http = createServer((request, response) => {
    answer({ server, dir: options.dir, asked, onBeacon }, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const address = http.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const server: PageServer = {
    url: `http://127.0.0.1:${port}/`,
    titles: options.titles.map(listTitle),
    activity: IDLE,
    isUp: true,
    beacons,
    bandit,
    preview,
    asked,
    waitForBeacon(satisfies) {
      const past = beacons.find(satisfies);
      if (past !== undefined) return Promise.resolve(past);
      const { promise, resolve } = Promise.withResolvers<Beacon>();
      waiting.add((beacon) => satisfies(beacon) && resolve(beacon));
      return promise;
    },
    async close() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  function onBeacon(beacon: Beacon): void {
    beacons.push(beacon);
    for (const { rewardToken, type } of beacon.events)
      if (rewardToken !== undefined) bandit.bandit.told(rewardToken, { type });
    for (const tell of waiting) tell(beacon);
  }
  return server;
}

/** Figures of a node that has served nothing yet. */
const IDLE = {
  hitRatio: null,
  byteHitRatio: null,
  requests: {},
  originBytes: 0,
  servedBytes: 0,
  prefetched: [],
  model: { version: null, answeredBy: 'rules' },
  encodes: [],
};

function listTitle({ id, name, nextId }: PageTitle): Listed {
  const base = `/titles/${id}/${HASH}`;
  const listed = { id, name, manifestUrl: `${base}/master.m3u8`, poster: `${base}/poster.jpg`, ready: true };
  return { ...listed, progressRatio: 1, isEncodedHere: true, ...(nextId === undefined ? {} : { nextId }) };
}

function openPagePreview(dir: string, titles: readonly Title[], { bandit }: FakeBandit): Preview {
  return openPreview({
    packageOf: (id) => {
      const title = titles.find((one) => one.id === id);
      return title === undefined ? undefined : { state: 'ready', title, baseUrl: `/titles/${id}/${HASH}/` };
    },
    sessionOf: () => undefined,
    bandit,
    read: (path) => readFile(join(dir, path)).catch(() => undefined),
    deadlineMs: 1000,
    fileDeadlineMs: 1000,
    imagesOf: () => undefined,
    now: () => Date.now(),
  });
}

const ROUTES = consoleRoutes();

type Site = {
  readonly server: PageServer;
  readonly dir: string;
  readonly asked: string[];
  readonly onBeacon: (beacon: Beacon) => void;
};

async function answer(site: Site, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { server } = site;
  const url = new URL(request.url ?? '/', 'http://localhost');
  const path = decodeURIComponent(url.pathname);
  site.asked.push(path + url.search);
  const send = (status: number, headers: Record<string, string>, body?: string | Buffer) =>
    void response.writeHead(status, headers).end(body);
  const sendJson = (value: unknown) => send(200, { 'content-type': 'application/json' }, JSON.stringify(value));
  if (!server.isUp) return send(503, {});
  const route = ROUTES.find((one) => one.prefix === path);
  const { signal } = new AbortController();
  if (route !== undefined) {
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    const asRoute = {
      method: 'GET',
      path,
      query: url.searchParams,
      headers,
      body: Buffer.alloc(0),
      remoteHash: '',
      signal,
    };
    const reply = await route.answer(asRoute);
    return send(reply.status, { ...reply.headers }, reply.body);
  }
  if (path === '/.nearcast/titles') return sendJson(server.titles);
  if (path === '/.nearcast/activity') return sendJson(server.activity);
  if (path === '/.nearcast/events') {
    // Sound: only the page under test posts here, and the test then reads what it claims to send.
    site.onBeacon(JSON.parse(await readBody(request)) as Beacon);
    return send(204, {});
  }
  const [, what, titleId = '', kind] = /^\/\.nearcast\/(preview|artwork)\/(.+?)(?:\.(\w+))?$/.exec(path) ?? [];
  if (what !== undefined) {
    const way = what === 'artwork' ? 'artwork' : kind === 'mp4' ? 'film' : 'answer';
    const reply = await server.preview[way]({ titleId, signal, sid: url.searchParams.get('sid') ?? undefined });
    return send(reply.status, { ...reply.headers }, reply.body);
  }
  if (!path.startsWith('/titles/') || path.includes('..')) return send(404, {});
  const body = await readFile(join(site.dir, path)).catch(() => undefined);
  send(body === undefined ? 404 : 200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' }, body);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

/** One H.264 rendition in 1 s CMAF segments, each standing for a shot, a master playlist and a poster. */
async function encode(
  options: { readonly dir: string; readonly ffmpeg: string; readonly seconds: number },
  title: PageTitle,
): Promise<Title> {
  const dir = join(options.dir, 'titles', title.id, HASH);
  await mkdir(dir, { recursive: true });
  const hls = ['-f', 'hls', '-hls_time', '1', '-hls_playlist_type', 'vod', '-hls_segment_type', 'fmp4'];
  const coding = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '12', '-keyint_min', '12', '-sc_threshold', '0'];
  const looks = ['-an', '-t', String(options.seconds), '-vf', 'scale=320:180,fps=12', '-pix_fmt', 'yuv420p'];
  const names = ['-hls_fmp4_init_filename', 'init.mp4', '-hls_segment_filename', 'v%d.m4s', 'v.m3u8'];
  const limits = { cwd: dir, timeout: FFMPEG_MS };
  await run(options.ffmpeg, ['-v', 'error', '-y', ...title.input, ...looks, ...coding, ...hls, ...names], limits);
  const poster = ['-frames:v', '1', '-vf', 'scale=1280:720', '-q:v', '4', 'poster.jpg'];
  const at = String(options.seconds * 0.4);
  await run(options.ffmpeg, ['-v', 'error', '-y', '-ss', at, ...title.input, ...poster], limits);
  await writeMaster(dir);
  return describeTitle(dir, title);
}

async function writeMaster(dir: string): Promise<void> {
  const stream = '#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.42c01e",RESOLUTION=320x180';
  await writeFile(join(dir, 'master.m3u8'), `#EXTM3U\n#EXT-X-VERSION:7\n${stream}\nv.m3u8\n`);
}

async function describeTitle(dir: string, { id, name }: PageTitle): Promise<Title> {
  const playlist = await readFile(join(dir, 'v.m3u8'), 'utf8');
  const ticks = [...playlist.matchAll(/#EXTINF:([\d.]+),/g)].map(([, seconds]) => Math.round(Number(seconds) * 12_288));
  const files = (await readdir(dir)).filter((file) => /^v\d+\.m4s$/.test(file));
  let startTicks = 0;
  const segments = await Promise.all(
    ticks.map(async (own, index) => {
      const start = startTicks;
      startTicks += own;
      const { size } = await stat(join(dir, `v${index}.m4s`));
      return { url: `v${index}.m4s`, startTicks: start, ticks: own, bytes: size, shot: index };
    }),
  );
  if (files.length !== segments.length) throw new Error(`${id}: ${files.length} files for ${segments.length} segments`);
  const ratioOf = (index: number, prime: number) => ((index * prime) % 17) / 17;
  return {
    version: CONTRACT_VERSION,
    id,
    name,
    hash: HASH,
    durationSeconds: startTicks / 12_288,
    source: {
      class: 'mezzanine',
      sha256: '',
      sizeBytes: 1,
      format: '',
      codec: '',
      width: 640,
      height: 360,
      frameRate: 12,
    },
    tools: {},
    metric: { name: 'none', model: '', subsample: 1, notes: [] },
    renditions: [
      {
        id: 'v',
        codec: 'avc1.42c01e',
        peakBandwidthBps: 900_000,
        averageBandwidthBps: 600_000,
        initUrl: 'init.mp4',
        initBytes: 1,
        timescale: 12_288,
        width: 320,
        height: 180,
        frameRate: 12,
        videoRange: 'SDR',
        qualityMean: 0,
        segments,
      },
    ],
    audio: [],
    text: [],
    shots: segments.map((segment, index) => ({
      startSeconds: segment.startTicks / 12_288,
      durationSeconds: segment.ticks / 12_288,
      frames: 12,
      features: {
        spatial: ratioOf(index, 5),
        temporal: ratioOf(index, 7),
        luma: 0.5,
        saturation: ratioOf(index, 11),
        loudness: ratioOf(index, 3),
      },
      quality: {},
    })),
    images: { poster: 'poster.jpg' },
    savings: { referenceBps: 1, cap: 0, pruning: 0, allocation: 0 },
    cost: { cpuSeconds: 0 },
  };
}
