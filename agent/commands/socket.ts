// Where the control socket is: named outright, read from a configuration, or the demo's own.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { loadConfig } from '../config.ts';
import { AgentError } from '../errors.ts';
import type { Io } from './command.ts';

/** Options of every command that talks to a node, for node:util parseArgs. */
export const SOCKET_OPTIONS = { socket: { type: 'string' }, config: { type: 'string', short: 'c' } } as const;

/** The same for people. */
export const SOCKET_USAGE = '[--config FILE | --socket PATH]';

/** Configurations looked for when none is named, in this order. */
const DEFAULT_CONFIGS = ['nearcast.yaml', 'var/demo/nearcast.yaml', '/etc/nearcast/nearcast.yaml'];

/**
 * Path of the control socket. `salvage` reads it from a configuration that has problems, if it can. Throws AGENT_CONFIG_INVALID when a named or
 * found configuration has problems, or none is found.
 */
export function findSocket(
  named: { readonly socket: string | undefined; readonly config: string | undefined },
  io: Io,
  salvage: (file: string) => string | undefined = () => undefined,
): string {
  if (named.socket !== undefined) return resolve(io.cwd, named.socket);
  const candidates = (named.config === undefined ? DEFAULT_CONFIGS : [named.config]).map((file) =>
    resolve(io.cwd, file),
  );
  const file = candidates.find((candidate) => existsSync(candidate));
  if (file === undefined) {
    throw new AgentError(
      'AGENT_CONFIG_INVALID',
      `no configuration at ${candidates.join(', ')}: name it with --config, or the socket with --socket`,
    );
  }
  const loaded = loadConfig(file);
  if (loaded.ok) return loaded.config.admin.socket;
  const salvaged = salvage(file);
  if (salvaged === undefined)
    throw new AgentError('AGENT_CONFIG_INVALID', `${file} has problems: "nearcast check-config ${file}" lists them`);
  return salvaged;
}
