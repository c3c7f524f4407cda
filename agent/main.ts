// The command line: every command is one line of a table. Exit codes: 0 done, 1 failed, 64 wrong usage, 78 a
// configuration, port or directory that cannot be used.
import type { Command, Io } from './commands/command.ts';
import { EXIT_FAILED, EXIT_UNUSABLE, EXIT_USAGE } from './commands/command.ts';
import { AgentError } from './errors.ts';
import { readVersion } from './version.ts';

/** How long standard output may take to drain after a command has ended. */
const LEAK_MS = 2_000;

/** Name -> its module, loaded only when asked for, so that `nearcast status` does not load the daemon. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import('./commands/demo.ts')).demoCommand,
  run: async () => (await import('./commands/run.ts')).runCommand,
  origin: async () => (await import('./commands/origin.ts')).originCommand,
  encode: async () => (await import('./commands/encode.ts')).encodeCommand,
  reload: async () => (await import('./commands/reload.ts')).reloadCommand,
  'check-config': async () => (await import('./commands/check-config.ts')).checkConfigCommand,
  replay: async () => (await import('./commands/replay.ts')).replayCommand,
  report: async () => (await import('./commands/report.ts')).reportCommand,
  sidecar: async () => (await import('./commands/sidecar.ts')).sidecarCommand,
  status: async () => (await import('./commands/control.ts')).statusCommand,
  explain: async () => (await import('./commands/explain.ts')).explainCommand,
  purge: async () => (await import('./commands/purge.ts')).purgeCommand,
  preposition: async () => (await import('./commands/preposition.ts')).prepositionCommand,
  pin: async () => (await import('./commands/purge.ts')).pinCommand,
  unpin: async () => (await import('./commands/purge.ts')).unpinCommand,
  sign: async () => (await import('./commands/sign.ts')).signCommand,
  plan: async () => (await import('./commands/control.ts')).planCommand,
  model: async () => (await import('./commands/model.ts')).modelCommand,
  pause: async () => (await import('./commands/control.ts')).pauseCommand,
  resume: async () => (await import('./commands/control.ts')).resumeCommand,
  erase: async () => (await import('./commands/control.ts')).eraseCommand,
};

/** What the system says of a path that cannot be made or written. */
const UNWRITABLE: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'EISDIR', 'ENOSPC']);

async function printOverview(io: Io): Promise<void> {
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()));
  const width = Math.max(...commands.map((command) => command.name.length));
  const lines = commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`);
  io.stdout.write(
    `Usage: nearcast COMMAND [options]\n\n${lines.join('\n')}\n\n"nearcast COMMAND --help" shows a command's options.\n`,
  );
}

/**
 * Runs one command line; resolves with the exit code. `args` are those behind the program's name. Rejects on programmer
 * errors alone.
 */
export async function main(args: readonly string[], io: Io): Promise<number> {
  const [name = '--help', ...rest] = args;
  if (name === '--version' || name === '-v') {
    io.stdout.write(`nearcast ${readVersion()}\n`);
    return 0;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    await printOverview(io);
    return 0;
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load === undefined) {
    io.stderr.write(`nearcast: there is no command "${name}"; "nearcast --help" lists them\n`);
    return EXIT_USAGE;
  }
  const command = await load();
  if (rest.includes('--help') || rest.includes('-h')) {
    io.stdout.write(`${command.summary}\n\n${command.usage}\n`);
    return 0;
  }
  try {
    return await command.run(rest, io);
  } catch (error) {
    return report(error, io, command.name);
  }
}

function report(error: unknown, io: Io, command: string): number {
  if (error instanceof AgentError) {
    io.stderr.write(`nearcast: ${error.message}\n`);
    return error.exitCode;
  }
  // What node:util parseArgs rejects is the user's typing, and its message names the option.
  if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
    io.stderr.write(`nearcast ${command}: ${error.message}\n"nearcast ${command} --help" shows its options\n`);
    return EXIT_USAGE;
  }
  if (error instanceof Error && 'code' in error && UNWRITABLE.has(String(error.code))) {
    io.stderr.write(`nearcast ${command}: ${error.message}: choose a directory that this user may write\n`);
    return EXIT_UNUSABLE;
  }
  throw error;
}

if (process.argv[1] !== undefined && import.meta.filename === process.argv[1]) {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort(signal));
  let hangup = () => stop.abort('SIGHUP');
  process.on('SIGHUP', () => hangup());
  const { stdout, stderr, env } = process;
  // A reader that went away (`nearcast status | head -1`) is no failure.
  for (const stream of [stdout, stderr])
    stream.on('error', (error) => ('code' in error && error.code === 'EPIPE' ? undefined : process.exit(EXIT_FAILED)));
  process.exitCode = await main(process.argv.slice(2), {
    stdout,
    stderr,
    env,
    cwd: process.cwd(),
    signal: stop.signal,
    onHangup: (listener) => {
      hangup = listener;
    },
  });
  // Whatever still runs then is a leak of ours: it may not keep the process, nor let a signal go unheard.
  setTimeout(() => process.exit(), LEAK_MS).unref();
}
