// All running fills: who may join which, who goes first, and which keys are known to be shared by nobody.
import { type FillOptions, PRIORITIES, type Priority } from '../contract.ts';
import type { FillReader, Listener } from '../deliver/reader.ts';
import { RecentKeys } from '../recent.ts';
import { Fill } from './fill.ts';
import type { FillRequest, FillTools } from './fill-head.ts';
import { watchSpare } from './spare.ts';

/** How long requests for a key that gave an unsharable answer don't wait for each other. */
const UNSHARED_MS = 10_000;

/** What the fills of a cache need. */
export type FillsOptions = Omit<FillTools, 'windows' | 'isOutranked' | 'spare' | 'changes' | 'onHead'>;

/** How a fill that nobody reads is run; see FillOptions. */
export type KeepOptions = Pick<FillOptions, 'priority' | 'bytesPerSecond' | 'maxBytes'>;

/** The running fills of a cache. */
export type Fills = {
  /** Joins a running fill of the key, or starts one when there is none to join or `isAlone` is asked. */
  readonly join: (request: FillRequest, listener: Listener, isAlone: boolean) => FillReader;
  /** A fill to wait for without reading: a running one, or a new one run like this. Call release() when done. */
  readonly keep: (request: FillRequest, how: KeepOptions) => Fill;
  readonly isRunning: (key: string) => boolean;
  readonly countOf: (key: string) => number;
  /** What is coming for these is outdated; gives how many. `tags`: undefined before the head has come. */
  readonly forget: (matches: (key: string, tags: readonly string[] | undefined) => boolean) => number;
  /** Whether a fetch of blocks of that key brings, or has in memory, the byte at an offset. */
  readonly brings: (key: string, offset: number) => boolean;
  readonly count: () => number;
  /** Cancels all. */
  readonly close: () => void;
};

/** The fetch that a request may join. */
function joinable(
  request: FillRequest,
  fills: readonly Fill[],
  stored: readonly { readonly varyOn: readonly string[] }[],
): Fill | undefined {
  const names = new Set(stored.flatMap(({ varyOn }) => varyOn));
  for (const fill of fills) for (const name of fill.variesOn) names.add(name);
  const sorted = [...names].sort();
  return fills.find((fill) => fill.accepts(request, sorted));
}

function isOutranked(priority: Priority, running: Iterable<Fill>): boolean {
  const rank = PRIORITIES.indexOf(priority);
  for (const fill of running) if (fill.isMoving && PRIORITIES.indexOf(fill.priority) < rank) return true;
  return false;
}

function forgetAll(fills: readonly Fill[]): number {
  for (const fill of fills) fill.forget();
  return fills.length;
}

/** Opens the table of fills. */
export function openFills(options: FillsOptions): Fills {
  const running = new Map<string, Fill[]>();
  const unshared = new RecentKeys<true>();
  const all = new Set<Fill>();
  const spare = watchSpare(() => options.counters.answered);

  const tools: FillTools = {
    ...options,
    ...{ windows: { bytes: 0 }, changes: new RecentKeys(), spare: spare.took },
    isOutranked: (priority) => isOutranked(priority, all),
    onHead: (key, refusal) => {
      if (refusal === null) unshared.delete(key);
      else unshared.set(key, true, options.now() + UNSHARED_MS);
    },
  };
  const end = (fill: Fill): void => {
    all.delete(fill);
    const left = running.get(fill.request.key)?.filter((each) => each !== fill) ?? [];
    if (left.length === 0) running.delete(fill.request.key);
    else running.set(fill.request.key, left);
  };
  const start = (request: FillRequest, priority: Priority): Fill => {
    const fill = new Fill(request, priority, tools, end);
    all.add(fill);
    const others = running.get(request.key);
    if (others === undefined) running.set(request.key, [fill]);
    else others.push(fill);
    return fill;
  };
  const other = (request: FillRequest): Fill | undefined => {
    const fills = running.get(request.key);
    const isUnshared = fills === undefined || unshared.get(request.key, options.now()) !== undefined;
    return isUnshared ? undefined : joinable(request, fills, options.store.find(request.key));
  };

  return {
    join: (request, listener, isAlone) => {
      const joined = isAlone ? undefined : other(request);
      if (joined !== undefined) {
        // On the way through an object a viewer may meet several fetches; it counts once.
        if (request.version === undefined) options.counters.coalesced += 1;
        return joined.join(request.fields, listener);
      }
      const fill = start(request, 'viewer');
      const reader = fill.join(request.fields, listener);
      fill.start();
      return reader;
    },
    keep: (request, { priority, bytesPerSecond, maxBytes = Number.POSITIVE_INFINITY }) => {
      const joined = other(request);
      const fill = joined ?? start(request, priority);
      fill.keepers += 1;
      if (joined === undefined) {
        fill.pace.bytesPerSecond = bytesPerSecond ?? Number.POSITIVE_INFINITY;
        fill.maxBytes = maxBytes;
        fill.start();
      } else fill.maxBytes = Math.max(fill.maxBytes, maxBytes);
      return fill;
    },
    isRunning: (key) => running.has(key),
    countOf: (key) => running.get(key)?.length ?? 0,
    forget: (matches) => forgetAll([...all].filter((fill) => matches(fill.request.key, fill.tags))),
    brings: (key, offset) => running.get(key)?.some((fill) => fill.brings(offset)) === true,
    count: () => all.size,
    close: () => {
      spare.close();
      for (const fill of [...all]) fill.cancel();
    },
  };
}
