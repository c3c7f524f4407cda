// Access logs of nginx, Varnish or Traffic Server as telemetry: each line becomes the record of a served request, so that
// what is learnt of it is what is learnt of a request that this node served itself. Addresses are not read.
import { setImmediate as rest } from 'node:timers/promises';
import { kindOf, type Log, type ServedRecord } from '../../cache/cache.ts';
import { type LineReader, type LoggedRequest, readerFor } from '../simulate/log-line.ts';
import { openTail } from './tail.ts';

/** What openAccessLogs() needs. `logged` is the intake's. */
export type AccessLogOptions = {
  readonly files: readonly string[];
  readonly logged: (record: ServedRecord) => void;
  readonly log: Log;
};

/** Counts since start, over all files. */
export type AccessLogStats = {
  readonly requests: number;
  readonly malformed: number;
  /** Longer than any line of a log, and skipped. */
  readonly tooLong: number;
};

/** Logs that are followed. */
export type AccessLogs = {
  /** Reads what there is to read by now. */
  readonly poll: () => Promise<void>;
  readonly stats: () => AccessLogStats;
  readonly close: () => Promise<void>;
};

/** Lines after which a reader that fits none of them is given up for the next one that fits. */
const LOST_AFTER = 1_000;
/** Lines that one turn of the event loop reads: about a millisecond. */
const TURN_LINES = 200;

/** A logged request as the record of a served one; who asked is in none of it. */
export function recordOf({ at, id, bytes }: LoggedRequest): ServedRecord | undefined {
  // The id of an absolute URL begins with its host.
  const from = id.indexOf('/');
  const url = from < 0 ? null : URL.parse(id.slice(from), 'http://log.invalid');
  if (url === null) return undefined;
  const path = url.pathname;
  const query = url.searchParams.get('CMCD');
  return {
    at: at * 1000,
    key: path,
    path,
    kind: kindOf(path),
    status: 200,
    result: 'pass',
    bytes,
    isComplete: true,
    firstByteMs: 0,
    ...(query === null ? {} : { cmcd: { query } }),
    remoteHash: '',
  };
}

/** Reads lines of one file; its format is told by its lines, anew when they stop to fit. */
function openReader(counts: { requests: number; malformed: number }): (line: string) => LoggedRequest | undefined {
  let reader: LineReader | undefined;
  let lost = 0;
  return (line) => {
    if (reader === undefined || lost >= LOST_AFTER) {
      reader = readerFor(line) ?? reader;
      lost = 0;
    }
    const read = reader?.read(line) ?? 'malformed';
    if (read === 'malformed') {
      counts.malformed += 1;
      lost += 1;
    } else lost = 0;
    if (typeof read === 'string') return undefined;
    counts.requests += 1;
    return read;
  };
}

/** Follows logs from now on and passes their requests on. Never throws; a file may come later. */
export function openAccessLogs({ files, logged, log }: AccessLogOptions): AccessLogs {
  const counts = { requests: 0, malformed: 0 };
  const tails = files.map((file) => {
    const read = openReader(counts);
    const onLines = async (lines: readonly string[]): Promise<void> => {
      for (const [at, line] of lines.entries()) {
        if (at % TURN_LINES === TURN_LINES - 1) await rest();
        const request = read(line);
        const record = request === undefined ? undefined : recordOf(request);
        if (record !== undefined) logged(record);
      }
    };
    return openTail({ file, onLines, log });
  });
  return {
    poll: async () => {
      await Promise.all(tails.map((tail) => tail.poll()));
    },
    stats: () => ({ ...counts, tooLong: tails.reduce((sum, tail) => sum + tail.stats().tooLong, 0) }),
    close: async () => {
      await Promise.all(tails.map((tail) => tail.close()));
    },
  };
}
