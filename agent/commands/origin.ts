// `nearcast origin`: a small static server of one directory, for sites without an origin, for the demo and for tests.
// Published packages never change, so their files are immutable; all else may be replaced at any moment.
import { realpath, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { extname, join, relative, resolve, sep } from 'node:path';
import { parseArgs } from 'node:util';
import send from 'send';
import { AgentError } from '../errors.ts';
import { type Command, EXIT_USAGE } from './command.ts';

/** What openOrigin needs; `port` 0 means any free one. */
export type OriginOptions = {
  readonly dir: string;
  readonly host: string;
  readonly port: number;
  readonly log: (level: 'warn' | 'error', event: string, fields?: Readonly<Record<string, unknown>>) => void;
};

/** An origin that listens. */
export type Origin = {
  readonly port: number;
  /** Stops listening, gives answers in flight up to three seconds, then cuts them. */
  readonly close: () => Promise<void>;
};

const DRAIN_MS = 3_000;
const LIMIT = {
  headersMs: 10_000,
  requestMs: 30_000,
  idleMs: 60_000,
  headerBytes: 16_384,
  connections: 4_096,
} as const;

/** titles/ID/HASH/ and what is in it; a hash is 16 to 64 hex digits. */
const PACKAGE_PATH = /^titles\/[^/]+\/[0-9a-f]{16,64}\/./;
const IMMUTABLE = 'public, max-age=31536000, immutable';
const REPLACEABLE = 'public, max-age=2, stale-while-revalidate=30';

/** Where players are particular, or the media type database has another opinion. */
const MEDIA_TYPES: Readonly<Record<string, string>> = {
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.mpd': 'application/dash+xml',
  '.m4s': 'video/iso.segment',
  '.mp4': 'video/mp4',
  '.vtt': 'text/vtt; charset=utf-8',
};

/**
 * Serves the files below `dir` by GET and HEAD: ranges, ETag, Last-Modified, conditional requests. No dotfiles, no
 * directory listing, nothing outside `dir`, also not by symbolic link. Rejects with AGENT_DIRECTORY_UNUSABLE or
 * AGENT_LISTEN_FAILED.
 */
export async function openOrigin({ dir, host, port, log }: OriginOptions): Promise<Origin> {
  const root = await rootOf(dir);
  const server = createServer(
    {
      headersTimeout: LIMIT.headersMs,
      requestTimeout: LIMIT.requestMs,
      keepAliveTimeout: LIMIT.idleMs,
      maxHeaderSize: LIMIT.headerBytes,
    },
    (request, response) => {
      answer(root, request, response, log).catch((error: unknown) => {
        log('error', 'origin.failed', { message: String(error) });
        refuse(response, 500);
      });
    },
  );
  server.maxConnections = LIMIT.connections;
  // A socket on which nothing moves, such as a viewer that stopped reading, is destroyed.
  server.setTimeout(LIMIT.idleMs);
  return { port: await listen(server, host, port), close: () => close(server) };
}

async function rootOf(dir: string): Promise<string> {
  try {
    const root = await realpath(dir);
    if ((await stat(root)).isDirectory()) return root;
  } catch (cause) {
    throw new AgentError('AGENT_DIRECTORY_UNUSABLE', `cannot serve ${dir}: no such directory, or not readable`, {
      cause,
    });
  }
  throw new AgentError('AGENT_DIRECTORY_UNUSABLE', `cannot serve ${dir}: it is not a directory`);
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolveListen, reject) => {
    server.once('error', (cause) => {
      const why = 'code' in cause && cause.code === 'EADDRINUSE' ? 'the port is in use: choose another' : cause.message;
      reject(new AgentError('AGENT_LISTEN_FAILED', `cannot listen on ${host}:${port}: ${why}`, { cause }));
    });
    server.listen({ host, port }, () => {
      const address = server.address();
      resolveListen(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolveClose) => {
    const cut = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
    server.close(() => {
      clearTimeout(cut);
      resolveClose();
    });
    server.closeIdleConnections();
  });
}

async function answer(
  root: string,
  request: IncomingMessage,
  response: ServerResponse,
  log: OriginOptions['log'],
): Promise<void> {
  response.setHeader('X-Content-Type-Options', 'nosniff');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    // What was sent along is not read, so the connection cannot be used again.
    response.setHeader('Allow', 'GET, HEAD').setHeader('Connection', 'close');
    return refuse(response, 405);
  }
  const asked = askedPath(request.url ?? '/');
  if (asked === undefined) return refuse(response, 400);
  const file = await fileBelow(root, asked);
  if (file === undefined) return refuse(response, 404);
  const path = `/${file.split(sep).map(encodeURIComponent).join('/')}`;
  send(request, path, { root, dotfiles: 'ignore', index: false, cacheControl: false })
    .on('headers', (headed: ServerResponse) => {
      headed.setHeader('Cache-Control', PACKAGE_PATH.test(asked) ? IMMUTABLE : REPLACEABLE);
      const type = MEDIA_TYPES[extname(file).toLowerCase()];
      if (type !== undefined) headed.setHeader('Content-Type', type);
    })
    .on('directory', () => refuse(response, 404))
    .on('error', (error: Error & { readonly status?: number }) => {
      const status = error.status ?? 500;
      if (status >= 500) log('error', 'origin.failed', { message: error.message });
      refuse(response, status);
    })
    .pipe(response);
}

/** The decoded path of a request target without its first slash; undefined when it is malformed. */
function askedPath(target: string): string | undefined {
  const path = target.split('?', 1)[0] ?? '';
  if (!path.startsWith('/')) return undefined;
  try {
    const decoded = decodeURIComponent(path.slice(1));
    return decoded.includes('\0') || decoded.includes('\\') ? undefined : decoded;
  } catch {
    // Percent signs that decode to no text: the viewer's mistake, and a 400 says so.
    return undefined;
  }
}

/** The file, links followed, relative to the root; undefined when it is not there, hidden, or outside. */
async function fileBelow(root: string, asked: string): Promise<string | undefined> {
  if (asked.split('/').some((part) => part.startsWith('.'))) return undefined;
  try {
    const file = relative(root, await realpath(join(root, asked)));
    return file === '' || file === '..' || file.startsWith(`..${sep}`) ? undefined : file;
  } catch {
    // Not there, a loop of links, a name too long: for a viewer all of it is not found.
    return undefined;
  }
}

function refuse(response: ServerResponse, status: number): void {
  if (response.headersSent) {
    // A body cut short must look cut short.
    response.destroy();
    return;
  }
  for (const name of ['ETag', 'Last-Modified', 'Content-Length']) response.removeHeader(name);
  response.setHeader('Cache-Control', 'no-cache').setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.writeHead(status).end(`${status}\n`);
}

/** `HOST:PORT` or `[v6]:PORT` taken apart; undefined when it is neither. */
function parseListen(text: string): { readonly host: string; readonly port: number } | undefined {
  const [, v6, name, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = v6 ?? name;
  return host === undefined || Number(port) > 65_535 ? undefined : { host, port: Number(port) };
}

/** Serves until the signal aborts; exit code 0, 64 on wrong usage, 78 when directory or port cannot be used. */
export const originCommand: Command = {
  name: 'origin',
  summary: 'Serve a directory of published packages as an origin',
  usage: `Usage: nearcast origin DIR [--listen HOST:PORT] [--until-stdin-ends]

  DIR       directory to serve; titles/ID/HASH/ in it is immutable
  --listen  where (default 127.0.0.1:8090; port 0 takes any free one)
  --until-stdin-ends  stop when standard input ends, that is when whoever started it is gone`,
  run: async (args, io) => {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { listen: { type: 'string', default: '127.0.0.1:8090' }, 'until-stdin-ends': { type: 'boolean' } },
      allowPositionals: true,
    });
    const [dir, ...more] = positionals;
    const where = parseListen(values.listen);
    if (dir === undefined || more.length > 0 || where === undefined) {
      io.stderr.write(
        where === undefined ? 'nearcast origin: --listen takes HOST:PORT\n' : 'nearcast origin: name one DIR\n',
      );
      return EXIT_USAGE;
    }
    const write = (line: object): void => void io.stdout.write(`${JSON.stringify(line)}\n`);
    try {
      const log: OriginOptions['log'] = (level, event, fields) => write({ level, event, ...fields });
      const origin = await openOrigin({ ...where, dir: resolve(io.cwd, dir), log });
      write({ event: 'origin.listening', port: origin.port });
      const ends = [aborted(io.signal), ...(values['until-stdin-ends'] === true ? [ended(process.stdin)] : [])];
      await Promise.race(ends);
      // An input that is still open must not keep the process.
      if (values['until-stdin-ends'] === true) process.stdin.destroy();
      await origin.close();
      return 0;
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      io.stderr.write(`nearcast origin: ${error.message}\n`);
      return error.exitCode;
    }
  },
};

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolveAborted) => {
    if (signal.aborted) resolveAborted();
    else signal.addEventListener('abort', () => resolveAborted(), { once: true });
  });
}

function ended(input: NodeJS.ReadableStream): Promise<void> {
  return new Promise((resolveEnded) => {
    for (const event of ['end', 'close', 'error']) input.once(event, () => resolveEnded());
    input.resume();
  });
}
