// A map that keeps what was put into it last. Pure.

/** Puts an entry last; where there are more than `most`, the one that was put longest ago leaves. Gives that one's key. */
export function remember<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, most: number): Key | undefined {
  map.delete(key);
  map.set(key, value);
  if (map.size <= most) return undefined;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
  return oldest;
}
