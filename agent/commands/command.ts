// What a command is: a name, a line for the overview, its usage, and a run that resolves with an exit code.
import type { Writable } from 'node:stream';

/**
 * The world a command runs in; `signal` aborts on SIGINT and SIGTERM, and on SIGHUP unless a listener takes that for
 * something else.
 */
export type Io = {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly signal: AbortSignal;
  readonly onHangup?: (listener: () => void) => void;
};

/** One line of the command table; --help is answered from `summary` and `usage` by main.ts. */
export type Command = {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  readonly run: (args: readonly string[], io: Io) => Promise<number>;
};

/** Exit code of work that failed. */
export const EXIT_FAILED = 1;
/** Exit code of wrong usage (EX_USAGE of sysexits.h). */
export const EXIT_USAGE = 64;
/** Exit code of a configuration, port or directory that cannot be used (EX_CONFIG of sysexits.h). */
export const EXIT_UNUSABLE = 78;
