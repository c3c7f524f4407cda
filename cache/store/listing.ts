// Keys of stored objects by prefix and by tag: those in rows, and those that are in no row yet.
import type { Hot } from './hot.ts';
import { compareUtf8 } from './order.ts';
import type { Volume } from './volume.ts';

/** Where objects are known. */
type Sources = { readonly hot: Hot; readonly volumes: readonly Volume[] };

/** Keys that begin with `prefix` and come after `after`, in the order of their UTF-8 bytes, at most `limit`. */
export function keysFrom(
  { hot, volumes }: Sources,
  range: { readonly prefix: string; readonly limit: number; readonly after: string },
): readonly string[] {
  const found = new Set<string>();
  for (const { key } of hot.loose) {
    if (key.startsWith(range.prefix) && compareUtf8(key, range.after) > 0) found.add(key);
  }
  for (const volume of volumes) for (const key of volume.keys(range)) found.add(key);
  return [...found].sort(compareUtf8).slice(0, range.limit);
}

/** Keys of objects with that tag that come after `after`, in the same order, at most `limit`. */
export function keysWithTag(
  { hot, volumes }: Sources,
  range: { readonly tag: string; readonly limit: number; readonly after: string },
): readonly string[] {
  const found = new Set<string>();
  for (const { key, head } of hot.loose) {
    if (head.tags.includes(range.tag) && compareUtf8(key, range.after) > 0) found.add(key);
  }
  for (const volume of volumes) for (const key of volume.tagged(range)) found.add(key);
  return [...found].sort(compareUtf8).slice(0, range.limit);
}
