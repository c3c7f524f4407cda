// Commands that ask a running node how it is or hold something back: status, plan, pause, resume, erase.
import { ask, misused, parse, print } from './ask.ts';
import type { Command } from './command.ts';
import { SOCKET_USAGE } from './socket.ts';
import { renderStatus } from './status-text.ts';

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

/** `nearcast plan`: what the last nightly run planned and did. */
export const planCommand: Command = {
  name: 'plan',
  summary: 'Show what the last off-peak run planned, and did, as JSON',
  usage: `Usage: nearcast plan ${SOCKET_USAGE}`,
  run: async (args, io) => print(io, await ask(io, parse(args), { method: 'GET', path: '/plan' })),
};

const PAUSABLE: readonly (string | undefined)[] = ['prefetch', 'encode', 'retrain', undefined];

function pauseOrResume(name: 'pause' | 'resume', summary: string): Command {
  return {
    name,
    summary,
    usage: `Usage: nearcast ${name} [prefetch|encode|retrain] ${SOCKET_USAGE}\n\nWithout a name: all of them.`,
    run: async (args, io) => {
      const parsed = parse(args);
      const what = parsed.positionals[0];
      if (!PAUSABLE.includes(what)) return misused(io, `${name} takes prefetch, encode, retrain, or nothing for all`);
      return print(io, await ask(io, parsed, { method: 'POST', path: `/${name}`, body: { what } }));
    },
  };
}

/** `nearcast pause`: holds work in the background back at once. */
export const pauseCommand: Command = pauseOrResume('pause', 'Hold prefetch, encoding or training back');
/** `nearcast resume`: lets it go on. */
export const resumeCommand: Command = pauseOrResume('resume', 'Let prefetch, encoding or training go on');

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
