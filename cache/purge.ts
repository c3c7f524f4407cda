// Purges: objects leave the store, or are marked outdated, a slice per turn of the event loop however many they are,
// and fills that began before are not stored.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Log } from './contract.ts';
import type { PurgeResult } from './contract-rights.ts';
import type { Fills } from './fill/fills.ts';
import { isSliceKey } from './rules/slices.ts';
import { removeStored } from './slices/sliced.ts';
import type { Store } from './store/object.ts';

/** Longest that one purge holds the event loop, milliseconds. */
const SLICE_MS = 4;
/** Keys asked of the store at once. */
const BATCH = 1_000;

/** What a purge is of; `isIn`: of that only these keys. A name is one as the store keeps it (rules/tags.ts). */
export type PurgeTarget =
  | { readonly by: 'key'; readonly key: string }
  | { readonly by: 'prefix'; readonly prefix: string; readonly isIn?: (key: string) => boolean }
  | { readonly by: 'name'; readonly name: string; readonly isIn?: (key: string) => boolean };

/** What purging works on. */
export type PurgeParts = {
  readonly store: Pick<Store, 'find' | 'keys' | 'keysByTag' | 'remove' | 'settled' | 'update'>;
  readonly fills: Pick<Fills, 'forget'>;
  readonly now: () => number;
};

/** How a purge goes. `onProgress` hears how many objects have been removed or marked so far, after every slice. */
export type PurgeOptions = {
  readonly isSoft: boolean;
  readonly onProgress?: (objects: number) => void;
};

function forgetFills({ fills }: PurgeParts, target: PurgeTarget): number {
  if (target.by === 'key') return fills.forget((key) => key === target.key);
  const { isIn = () => true } = target;
  if (target.by === 'prefix') return fills.forget((key) => key.startsWith(target.prefix) && isIn(key));
  // What has no head yet may turn out to have the name, and may be older than the purge.
  return fills.forget((key, names) => isIn(key) && names?.includes(target.name) !== false);
}

/** Removes or marks what is stored under a key and was asked for until `until`; gives how many objects. */
function purgeKey(
  { store }: PurgeParts,
  key: string,
  how: { readonly isSoft: boolean; readonly until: number },
): number {
  // Blocks count with the object that they are of, and are outdated with it.
  const isSlice = isSliceKey(key);
  if (isSlice && how.isSoft) return 0;
  let count = 0;
  for (const object of store.find(key)) {
    if (object.requestedAt > how.until || (how.isSoft && object.isInvalidated)) continue;
    if (how.isSoft) store.update(object, { isInvalidated: true });
    else removeStored(store, object);
    count += 1;
  }
  return isSlice ? 0 : count;
}

/**
 * Purges at once one key, without waiting for the disk: what was stored and what is coming. Gives how many objects.
 */
export function purgeNow(parts: PurgeParts, key: string): PurgeResult {
  const fills = forgetFills(parts, { by: 'key', key });
  return { fills, objects: purgeKey(parts, key, { isSoft: false, until: Number.POSITIVE_INFINITY }) };
}

/**
 * Purges everything of a target that was asked for before now; what comes in meanwhile stays. Resolves when no crash can
 * bring any of it back.
 */
export async function purge(parts: PurgeParts, target: PurgeTarget, options: PurgeOptions): Promise<PurgeResult> {
  const { store, now } = parts;
  const { isSoft, onProgress } = options;
  const how = { isSoft, until: now() };
  const fills = forgetFills(parts, target);
  if (target.by === 'key') {
    const objects = purgeKey(parts, target.key, how);
    await store.settled();
    return { objects, fills };
  }
  const objects = await eachKey(store, target, (key) => purgeKey(parts, key, how), onProgress);
  await store.settled();
  return { objects, fills };
}

/** Pins or unpins what is stored under a target; gives how many objects changed. Resolves when that is on disk. */
export async function pin(
  { store }: Pick<PurgeParts, 'store'>,
  target: PurgeTarget,
  isPinned: boolean,
): Promise<number> {
  const pinKey = (key: string): number => {
    const found = store.find(key);
    for (const object of found) if (object.isPinned !== isPinned) store.update(object, { isPinned });
    return isSliceKey(key) ? 0 : found.length;
  };
  const count = target.by === 'key' ? pinKey(target.key) : await eachKey(store, target, pinKey);
  await store.settled();
  return count;
}

/** Runs over the keys of a target, a slice per turn of the event loop; gives the sum of what `run` gives. */
async function eachKey(
  store: PurgeParts['store'],
  target: Exclude<PurgeTarget, { readonly by: 'key' }>,
  run: (key: string) => number,
  onProgress: (sum: number) => void = () => undefined,
): Promise<number> {
  const keysAfter = (after: string): readonly string[] =>
    target.by === 'prefix' ? store.keys(target.prefix, BATCH, after) : store.keysByTag(target.name, BATCH, after);
  let sum = 0;
  let after = '';
  let sliceEndsAt = performance.now() + SLICE_MS;
  for (let keys = keysAfter(after); keys.length > 0; keys = keysAfter(after)) {
    for (const key of keys) {
      if (target.isIn?.(key) !== false) sum += run(key);
      after = key;
      if (performance.now() < sliceEndsAt) continue;
      onProgress(sum);
      await nextTurn();
      sliceEndsAt = performance.now() + SLICE_MS;
    }
  }
  onProgress(sum);
  return sum;
}

/** Groups of different origins that wait to be marked; above it an origin's word is not taken. */
const MAX_WAITING = 1_000;

/**
 * Marks groups as outdated, one after the other, behind the answers that say so: of the origin of `at` only, which is
 * what its key begins with (RFC 9875 section 2.1). A group that is named again while it waits is marked once; what cannot
 * be marked is logged.
 */
export function openInvalidation(
  parts: PurgeParts & { readonly log: Log },
): (name: string, at: { readonly key: string }) => void {
  const waiting = new Map<string, PurgeTarget>();
  let isRunning = false;
  const run = async (): Promise<void> => {
    for (let next = waiting.entries().next(); next.done !== true; next = waiting.entries().next()) {
      const [id, target] = next.value;
      waiting.delete(id);
      await purge(parts, target, { isSoft: true });
    }
  };
  return (name, { key: named }) => {
    const space = named.slice(0, named.indexOf(' ') + 1);
    const id = `${space}${name}`;
    if (waiting.size >= MAX_WAITING && !waiting.has(id)) {
      parts.log('error', 'group.not-invalidated', { name, waiting: waiting.size });
      return;
    }
    waiting.set(id, { by: 'name', name, isIn: (key) => key.startsWith(space) });
    if (isRunning) return;
    isRunning = true;
    run()
      .catch((error: unknown) => parts.log('error', 'group.not-invalidated', { name, error: String(error) }))
      .finally(() => {
        isRunning = false;
      });
  };
}
