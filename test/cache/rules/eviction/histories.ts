// Random histories of a small cache, and a play of them against two policies that must agree.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { EvictionPolicy } from '../../../../cache/rules/eviction/policy.ts';

/** Weighted so that caches fill up, that some objects are used often, and that those which left come back. */
const step = fc.record({
  kind: fc.constantFrom('use', 'use', 'use', 'use', 'use', 'use', 'use', 'use', 'leave', 'evict', 'evict'),
  slot: fc.oneof(fc.nat(6), fc.nat(40)),
  bytes: fc.oneof(fc.integer({ min: 10, max: 14 }), fc.integer({ min: 0, max: 50 })),
});
/** A history of a cache, for two policies to agree on. */
export const history = fc.array(step, { minLength: 20, maxLength: 600, size: 'max' });

/** Plays it against two policies: enter when out, touch when in. Throws when they let different objects go. */
export function play(
  steps: readonly { kind: string; slot: number; bytes: number }[],
  one: EvictionPolicy,
  two: EvictionPolicy,
) {
  const held = new Set<number>();
  for (const { kind, slot, bytes } of steps) {
    for (const policy of [one, two]) {
      if (kind === 'leave') policy.leave(slot);
      else if (kind === 'use' && held.has(slot)) policy.touch(slot);
      else if (kind === 'use') {
        policy.admits?.(slot, bytes, slot * 7);
        policy.enter(slot, bytes, slot * 7);
      }
    }
    if (kind === 'use') held.add(slot);
    if (kind === 'leave') held.delete(slot);
    if (kind !== 'evict') continue;
    const victim = one.evict();
    assert.equal(victim, two.evict());
    assert(victim >= 0 ? held.delete(victim) : held.size === 0);
  }
}
