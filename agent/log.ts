// The log: one JSON line on standard output for each event, never anything of a viewer, and never a reason to stop.
// The only file that knows pino.
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import pino from 'pino';
import type { Log } from '../cache/cache.ts';
import type { Raw } from './telemetry/event.ts';

/** Lines that a reader who is too slow may leave waiting, bytes; what comes on top is dropped and counted. */
const MAX_WAITING_BYTES = 1024 * 1024;

/** Fields that are dropped whatever their type says: a net below the types. */
const NEVER_LOGGED: ReadonlySet<string> = new Set([
  'sid',
  'viewer',
  'viewerToken',
  'rewardToken',
  'token',
  'pseudonym',
  'remoteHash',
  'remoteAddress',
]);

/** The same fields, with `never` wherever a raw telemetry value stands, at any depth. */
export type WithoutRaw<T> = T extends Raw<string> | Raw<number>
  ? never
  : T extends (...args: never[]) => unknown
    ? T
    : T extends object
      ? { readonly [Key in keyof T]: WithoutRaw<T[Key]> }
      : T;

/**
 * The Log of cache/cache.ts (and accepted wherever that is asked for), which refuses raw telemetry by type. Agent
 * code that can see telemetry takes this one.
 */
export type AgentLog = <Fields extends Readonly<Record<string, unknown>>>(
  level: Parameters<Log>[0],
  event: string,
  fields?: Fields & WithoutRaw<Fields>,
) => void;

/** An open log. */
export type OpenLog = {
  readonly log: AgentLog;
  /** Lines below this level are dropped from now on. */
  readonly setLevel: (level: Parameters<Log>[0]) => void;
  /** Lines given to the log, and lines that were lost because nobody took them in time. */
  readonly stats: () => { readonly lines: number; readonly dropped: number };
  /** Resolves when what waits is written, or after `deadlineMs` at the latest. Call it last. */
  readonly close: (deadlineMs: number) => Promise<void>;
};

/**
 * Opens the log on a stream; standard output unless told. A pipe that is full or closed costs lines, which are counted,
 * and neither time nor the process.
 */
export function openLog(options: {
  readonly level: Parameters<Log>[0];
  readonly stream?: Writable;
  /** Fields of every line, such as the node's id. */
  readonly base?: Readonly<Record<string, string>>;
}): OpenLog {
  const counts = { lines: 0, dropped: 0 };
  const stream = options.stream ?? process.stdout;
  // A closed pipe or a full disk would otherwise be an uncaught error. Each line that it costs is counted in write().
  stream.on('error', () => undefined);
  const write = (line: string): void => {
    if (stream.destroyed || stream.writableLength + line.length > MAX_WAITING_BYTES) {
      counts.dropped += 1;
      return;
    }
    stream.write(line, (error) => {
      if (error instanceof Error) counts.dropped += 1;
    });
  };
  const logger = pino(
    {
      level: options.level,
      base: options.base ?? null,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: describeError },
    },
    { write },
  );
  return {
    log: (level, event, fields) => {
      if (!logger.isLevelEnabled(level)) return;
      counts.lines += 1;
      logger[level]({ event, ...publicFields(fields ?? {}) });
    },
    setLevel: (level) => {
      logger.level = level;
    },
    stats: () => ({ ...counts }),
    close: async (deadlineMs) => {
      if (stream.destroyed || stream.writableLength === 0) return;
      const deadline = AbortSignal.timeout(deadlineMs);
      // Writes end in order, so that the end of an empty one is the end of all before it.
      const flushed = new Promise((settle) => stream.write('', settle));
      await Promise.race([flushed, once(deadline, 'abort')]);
    },
  };
}

function publicFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept = Object.entries(fields).filter(([name]) => !NEVER_LOGGED.has(name) && name !== 'event');
  return Object.fromEntries(kept);
}

/** Name, code and message of an error and of its causes; stacks only for what is no operating error. */
function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error;
  const code = 'code' in error ? error.code : undefined;
  return {
    name: error.name,
    ...(code === undefined ? { stack: error.stack } : { code }),
    message: error.message,
    ...(error.cause === undefined || depth > 3 ? {} : { cause: describeError(error.cause, depth + 1) }),
  };
}
