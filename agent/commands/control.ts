// Commands that ask a running node over its control socket: status, explain, purge, pause, resume, erase.
import { parseArgs } from 'node:util';
import { askControl } from '../control.ts';
import { type Command, EXIT_USAGE, type Io } from './command.ts';
import { findSocket, SOCKET_OPTIONS, SOCKET_USAGE } from './socket.ts';
import { renderStatus } from './status-text.ts';

type Parsed = {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
};

function parse(args: readonly string[], extra: Record<string, { type: 'string' | 'boolean' }> = {}): Parsed {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { ...SOCKET_OPTIONS, ...extra },
    allowPositionals: true,
  });
  return { values, positionals };
}

const text = (value: string | boolean | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined;

async function ask(io: Io, parsed: Parsed, call: Parameters<typeof askControl>[1]): Promise<unknown> {
  const socket = findSocket({ socket: text(parsed.values['socket']), config: text(parsed.values['config']) }, io);
  return askControl(socket, call);
}

const print = (io: Io, json: unknown): number => {
  io.stdout.write(`${JSON.stringify(json, undefined, 2)}\n`);
  return 0;
};

function misused(io: Io, message: string): number {
  io.stderr.write(`nearcast: ${message}\n`);
  return EXIT_USAGE;
}

/** `nearcast status`: what the node is doing now, for people or as JSON. */
export const statusCommand: Command = {
  name: 'status',
  summary: 'Show what a running node is doing',
  usage: `Usage: nearcast status [--json] ${SOCKET_USAGE}`,
  run: async (args, io) => {
    const parsed = parse(args, { json: { type: 'boolean' } });
    const status = await ask(io, parsed, { method: 'GET', path: '/status' });
    if (parsed.values['json'] === true) return print(io, status);
    io.stdout.write(renderStatus(status));
    return 0;
  },
};

/** `nearcast explain`: why a URL is cached or was prefetched, what is foreseen for a title or a session. */
export const explainCommand: Command = {
  name: 'explain',
  summary: 'Explain a URL, a title or a session: why cached, prefetched, ranked',
  usage: `Usage: nearcast explain URL|--title ID|--sid SID ${SOCKET_USAGE}\n\nURL is a path of the viewer listener, such as /titles/news/master.m3u8.`,
  run: async (args, io) => {
    const parsed = parse(args, { title: { type: 'string' }, sid: { type: 'string' } });
    const query = new URLSearchParams();
    const asked = { url: parsed.positionals[0], title: text(parsed.values['title']), sid: text(parsed.values['sid']) };
    for (const [key, value] of Object.entries(asked)) if (value !== undefined) query.set(key, value);
    if (query.size !== 1) return misused(io, 'explain takes one of URL, --title ID and --sid SID');
    return print(io, await ask(io, parsed, { method: 'GET', path: `/explain?${query}` }));
  },
};

/** `nearcast purge`: removes stored objects, or with --soft marks them to be revalidated. */
export const purgeCommand: Command = {
  name: 'purge',
  summary: 'Remove a URL or everything below a prefix from the cache',
  usage: `Usage: nearcast purge URL|--prefix PATH [--soft] ${SOCKET_USAGE}\n\n  --soft  keep the objects, but ask the origin before they are used again`,
  run: async (args, io) => {
    const parsed = parse(args, { prefix: { type: 'string' }, soft: { type: 'boolean' } });
    const url = parsed.positionals[0];
    const prefix = text(parsed.values['prefix']);
    if ((url === undefined) === (prefix === undefined)) return misused(io, 'purge takes a URL or --prefix PATH');
    const soft = parsed.values['soft'] === true;
    const body = url === undefined ? { prefix, soft } : { url, soft };
    return print(io, await ask(io, parsed, { method: 'POST', path: '/purge', body }));
  },
};

const PAUSABLE = 'prefetch or encode';

function pauseOrResume(name: 'pause' | 'resume', summary: string): Command {
  return {
    name,
    summary,
    usage: `Usage: nearcast ${name} prefetch|encode ${SOCKET_USAGE}`,
    run: async (args, io) => {
      const parsed = parse(args);
      const what = parsed.positionals[0];
      if (what !== 'prefetch' && what !== 'encode') return misused(io, `${name} takes ${PAUSABLE}`);
      return print(io, await ask(io, parsed, { method: 'POST', path: `/${name}`, body: { what } }));
    },
  };
}

/** `nearcast pause`: holds prefetch or encoding back at once. */
export const pauseCommand: Command = pauseOrResume('pause', 'Hold prefetch or encoding back');
/** `nearcast resume`: lets it go on. */
export const resumeCommand: Command = pauseOrResume('resume', 'Let prefetch or encoding go on');

/** `nearcast erase`: forgets a viewer, in memory and on disk. */
export const eraseCommand: Command = {
  name: 'erase',
  summary: 'Forget a viewer, by viewer token or session id',
  usage: `Usage: nearcast erase TOKEN ${SOCKET_USAGE}`,
  run: async (args, io) => {
    const parsed = parse(args);
    const token = parsed.positionals[0];
    if (token === undefined) return misused(io, 'erase takes a viewer token or session id');
    return print(io, await ask(io, parsed, { method: 'DELETE', path: `/viewers/${encodeURIComponent(token)}` }));
  },
};
