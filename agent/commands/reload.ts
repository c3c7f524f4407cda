// `nearcast reload`: has a running node read its configuration again; fails, with every problem, when it could not use it.
import { parseArgs } from 'node:util';
import { readSocket } from '../config.ts';
import { member } from '../config-check.ts';
import { askControl } from '../control.ts';
import { type Command, EXIT_UNUSABLE } from './command.ts';
import { findSocket, SOCKET_OPTIONS, SOCKET_USAGE } from './socket.ts';

/** Texts of a list in an answer. */
function textsOf(answer: unknown, key: string): readonly string[] {
  const value = member(answer, key);
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

/** Asks for a reload; exit code 78 when the node kept its old configuration. */
export const reloadCommand: Command = {
  name: 'reload',
  summary: 'Have a running node read its configuration and certificates again',
  usage: `Usage: nearcast reload ${SOCKET_USAGE}

Applied at once, without losing a request: origins, hosts, tls and every certificate, cache, log, drainSeconds and the
limits in listen. The answer names what has changed and what waits for a restart.
Exit code 78: the configuration or a certificate cannot be used; the node goes on with the old one.`,
  run: async (args, io) => {
    const { values } = parseArgs({ args: [...args], options: SOCKET_OPTIONS });
    const socket = findSocket({ socket: values.socket, config: values.config }, io, readSocket);
    const answer = await askControl(socket, { method: 'POST', path: '/reload' });
    if (member(answer, 'isApplied') !== true) {
      for (const problem of textsOf(answer, 'problems')) io.stderr.write(`${problem}\n`);
      io.stderr.write('nearcast: the node goes on with its old configuration\n');
      return EXIT_UNUSABLE;
    }
    for (const warning of textsOf(answer, 'warnings')) io.stderr.write(`warning: ${warning}\n`);
    const changed = textsOf(answer, 'changed');
    io.stdout.write(changed.length === 0 ? 'nothing changed\n' : `changed: ${changed.join(', ')}\n`);
    const needRestart = textsOf(answer, 'needRestart');
    if (needRestart.length > 0) io.stdout.write(`needs a restart: ${needRestart.join(', ')}\n`);
    return 0;
  },
};
