// What every command does that asks a running node: find its socket, ask, wait for jobs, print.
import { parseArgs } from 'node:util';
import { askControl } from '../control.ts';
import { EXIT_USAGE, type Io } from './command.ts';
import { findSocket, SOCKET_OPTIONS } from './socket.ts';

/** A parsed command line. */
export type Parsed = {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
};

/** Parses the options of a command beside those of the socket. Throws node:util's error for any other. */
export function parse(args: readonly string[], extra: Record<string, { type: 'string' | 'boolean' }> = {}): Parsed {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { ...SOCKET_OPTIONS, ...extra },
    allowPositionals: true,
  });
  return { values, positionals };
}

/** An option's text. */
export const text = (value: string | boolean | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined;

/** Asks the node. Rejects as askControl() and findSocket() do. */
export async function ask(io: Io, parsed: Parsed, call: Parameters<typeof askControl>[1]): Promise<unknown> {
  const socket = findSocket({ socket: text(parsed.values['socket']), config: text(parsed.values['config']) }, io);
  return askControl(socket, call);
}

/** Prints an answer as JSON; 0. */
export const print = (io: Io, json: unknown): number => {
  io.stdout.write(`${JSON.stringify(json, undefined, 2)}\n`);
  return 0;
};

/** Says what was wrong with the command line; 64. */
export function misused(io: Io, message: string): number {
  io.stderr.write(`nearcast: ${message}\n`);
  return EXIT_USAGE;
}

/** Follows keys through unknown JSON; undefined when one is missing. */
export function at(value: unknown, ...keys: readonly string[]): unknown {
  let here = value;
  for (const key of keys) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, key)) return undefined;
    here = Reflect.get(here, key);
  }
  return here;
}

/** A number of unknown JSON; 0 for any other value. */
export const number = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** A list of unknown JSON; empty for any other value. */
export const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** How long the node may hold an answer back while a job runs. */
const WAIT_MS = 2_000;

/**
 * Waits for the end of a job that a call has begun, and gives its last progress; `onProgress` hears it meanwhile. Stops
 * waiting, and gives what there is, when the command is interrupted: the job itself goes on.
 */
export async function awaitJob(
  io: Io,
  parsed: Parsed,
  begun: unknown,
  onProgress: (progress: unknown) => void = () => undefined,
): Promise<unknown> {
  let status = begun;
  while (at(status, 'isDone') !== true && !io.signal.aborted) {
    onProgress(at(status, 'progress'));
    status = await ask(io, parsed, { method: 'GET', path: `/jobs/${String(at(status, 'job'))}?waitMs=${WAIT_MS}` });
  }
  return at(status, 'progress');
}
