// Has another cache fetch objects by asking it for them: few at once, within a rate, a day's budget and a size, and not
// at all for a while when it fails. What comes is counted and thrown away.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type Breaker, createBreaker } from '../prefetch/breaker.ts';
import { type Bucket, createBucket } from '../prefetch/bucket.ts';
import type { Forecast } from './foresee.ts';

/** What the cache's log shows of the sidecar's own requests. */
export const USER_AGENT = 'nearcast-sidecar';

/** What openWarmer() needs. */
export type WarmerOptions = {
  /** The cache, as its viewers reach it. */
  readonly url: URL;
  readonly bytesPerSecond: number;
  readonly bytesPerDay: number;
  /** A larger object is left off. */
  readonly maxObjectBytes: number;
  readonly now: () => number;
};

/** Counts since the start. */
export type WarmCounts = Readonly<Record<'warmed' | 'failed' | 'dropped' | 'tooLarge' | 'overBudget', number>> & {
  readonly bytes: number;
};

/** A warmer. */
export type Warmer = {
  readonly push: (forecast: Forecast) => void;
  readonly stats: () => WarmCounts;
  /** Resolves when nothing is under way or waits. */
  readonly idle: () => Promise<void>;
  /** Ends what is under way. */
  readonly close: () => void;
};

const MAX_QUEUE = 500;
const MAX_AT_ONCE = 4;
const REQUEST_MS = 30_000;
const DAY_MS = 86_400_000;

type Room = WarmerOptions & {
  readonly agent: HttpAgent | undefined;
  readonly counts: { -readonly [Key in keyof WarmCounts]: number };
};

/** Asks for one object; resolves with its bytes, or why there are none. */
function fetchWhole(
  { url, maxObjectBytes, agent }: Room,
  { path, host }: Forecast,
): Promise<number | 'failed' | 'tooLarge'> {
  return new Promise((resolve) => {
    const ask = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const headers = { 'user-agent': USER_AGENT, ...(host !== undefined && { host }) };
    let bytes = 0;
    const read = (response: IncomingMessage): void => {
      const { statusCode = 0 } = response;
      if (Number(response.headers['content-length'] ?? 0) > maxObjectBytes) {
        resolve('tooLarge');
        response.destroy();
        return;
      }
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= maxObjectBytes) return;
        resolve('tooLarge');
        response.destroy();
      });
      response.on('end', () => resolve(statusCode >= 200 && statusCode < 300 ? bytes : 'failed'));
      response.on('error', () => resolve('failed'));
    };
    // The path is the log's; only the address is ours.
    const where = { host: url.hostname, port: url.port === '' ? undefined : Number(url.port), path, headers };
    const sent = ask({ ...where, signal: AbortSignal.timeout(REQUEST_MS), ...(agent && { agent }) }, read);
    sent.on('error', () => resolve('failed'));
    sent.end();
  });
}

/** What a UTC day leaves of its budget. */
type Day = { readonly hasRoom: (bytes: number) => boolean; readonly spend: (bytes: number) => void };
type Limits = { readonly bucket: Bucket; readonly breaker: Breaker; readonly day: Day };

/** Warms one object and counts what came of it. Never rejects. */
async function warmOne(room: Room, { bucket, breaker, day }: Limits, forecast: Forecast): Promise<void> {
  const { counts, now } = room;
  const end = await fetchWhole(room, forecast);
  breaker.note(end === 'failed' ? 'bad' : 'good', now());
  if (typeof end === 'string') {
    counts[end] += 1;
    return;
  }
  counts.warmed += 1;
  counts.bytes += end;
  day.spend(end);
  bucket.spend(end, now());
}

function openDay({ bytesPerDay, now }: WarmerOptions): Day {
  let day = Math.floor(now() / DAY_MS);
  let spent = 0;
  return {
    hasRoom: (bytes) => {
      const today = Math.floor(now() / DAY_MS);
      if (today !== day) spent = 0;
      day = today;
      return spent + bytes <= bytesPerDay;
    },
    spend: (bytes) => {
      spent += bytes;
    },
  };
}

/** Opens a warmer; it asks for nothing before something is pushed. */
export function openWarmer(options: WarmerOptions): Warmer {
  const { now } = options;
  const agent =
    options.url.protocol === 'https:' ? undefined : new HttpAgent({ keepAlive: true, maxSockets: MAX_AT_ONCE });
  const counts = { warmed: 0, failed: 0, dropped: 0, tooLarge: 0, overBudget: 0, bytes: 0 };
  const room: Room = { ...options, agent, counts };
  const limits = {
    bucket: createBucket(options.bytesPerSecond, now()),
    breaker: createBreaker(),
    day: openDay(options),
  };
  const queue: Forecast[] = [];
  const waiters: (() => void)[] = [];
  let underWay = 0;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const pump = (): void => {
    clearTimeout(timer);
    while (!isClosed && queue.length > 0 && underWay < MAX_AT_ONCE) {
      const waitMs = Math.max(limits.bucket.waitMs(now()), limits.breaker.waitMs(now()));
      if (waitMs > 0) {
        timer = setTimeout(pump, waitMs);
        return;
      }
      const forecast = queue.shift();
      if (forecast === undefined) break;
      if (!limits.day.hasRoom(forecast.bytes)) {
        counts.overBudget += 1;
        continue;
      }
      underWay += 1;
      void warmOne(room, limits, forecast).finally(() => {
        underWay -= 1;
        pump();
      });
    }
    if (queue.length === 0 && underWay === 0) for (const done of waiters.splice(0)) done();
  };
  return {
    push: (forecast) => {
      if (isClosed) return;
      if (forecast.bytes > options.maxObjectBytes) {
        counts.tooLarge += 1;
        return;
      }
      queue.push(forecast);
      // The oldest is the one whose player has most likely gone on.
      if (queue.length > MAX_QUEUE) counts.dropped += queue.splice(0, queue.length - MAX_QUEUE).length;
      pump();
    },
    stats: () => ({ ...counts }),
    idle: () =>
      new Promise((resolve) => {
        waiters.push(resolve);
        pump();
      }),
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      counts.dropped += queue.splice(0).length;
      agent?.destroy();
      pump();
    },
  };
}
