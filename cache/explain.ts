// What the cache knows of one URL: its key, every stored variant with why it is fresh or not, and fills under way.
import type { ExplainedVariant, Explanation } from './contract.ts';
import { explainFreshness } from './rules/explain.ts';
import { fieldValue } from './rules/fields.ts';
import type { FreshnessRules } from './rules/freshness.ts';
import { describeName } from './rules/tags.ts';
import { slicedOf, storedBytes } from './slices/sliced.ts';
import type { Store, StoredObject } from './store/object.ts';

/** Fields shown as they came, because they decide. */
const SHOWN = ['cache-control', 'cdn-cache-control', 'expires', 'age', 'etag', 'last-modified', 'vary', 'content-type'];

function variantOf(store: Store, stored: StoredObject, rules: FreshnessRules, nowMs: number): ExplainedVariant {
  const object = slicedOf(stored)?.object ?? stored;
  const shown = [...new Set([rules.target.toLowerCase(), ...SHOWN])];
  const fields = shown.flatMap((name) => {
    const value = fieldValue(object.headers, name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const names = object.tags.map(describeName);
  const namesOf = (kind: 'tag' | 'group') => names.filter((each) => each.kind === kind).map(({ name }) => name);
  const { variant, tier, status, purpose, hits, isPinned, isInvalidated } = object;
  return {
    ...{ variant, tier, status, purpose, hits, isPinned, isInvalidated },
    ...explainFreshness(object, rules, nowMs),
    sizeBytes: object.lengthBytes,
    storedBytes: storedBytes(store, stored),
    eviction: store.placeOf(stored) ?? null,
    storedAt: object.receivedAt,
    fields: Object.fromEntries(fields),
    tags: namesOf('tag'),
    groups: namesOf('group'),
  };
}

/** Explains a key. `fills`: origin fetches of it under way. */
export function explain(
  at: Omit<Explanation, 'variants'>,
  store: Store,
  when: { readonly rules: FreshnessRules; readonly nowMs: number },
): Explanation {
  const variants = store.find(at.key).map((stored) => variantOf(store, stored, when.rules, when.nowMs));
  return { ...at, variants };
}
