// Lanes in one cache: they change nothing for who evicts of all, and who evicts of one gets its own objects alone.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Slots } from '../../../../cache/rules/eviction/queue.ts';
import { S3FIFO_TUNING, s3fifo } from '../../../../cache/rules/eviction/s3fifo.ts';
import { history, play } from './histories.ts';
import { naiveS3Fifo } from './naive.ts';

/** A policy whose objects are told apart by their slot; `from` that slot on, so that lanes begin while some are in. */
function inLanes(lanes: number, from = 0) {
  const slots = new Slots();
  const policy = s3fifo(S3FIFO_TUNING, slots);
  const mark = (slot: number): void => {
    slots.ensure(slot);
    slots.setLane(slot, slot < from ? 0 : (slot * 31) % lanes);
  };
  const enter = (slot: number, bytes: number, key: number): void => {
    mark(slot);
    policy.enter(slot, bytes, key);
  };
  const foretell = (slot: number, bytes: number, key: number): void => {
    mark(slot);
    policy.foretell(slot, bytes, key);
  };
  return { slots, policy: { ...policy, enter, foretell } };
}

test('evicting of all does not look at lanes', () => {
  const setup = fc.record({ steps: history, lanes: fc.integer({ min: 1, max: 9 }), from: fc.nat(20) });
  fc.assert(
    fc.property(setup, ({ steps, lanes, from }) => {
      play(steps, inLanes(lanes, from).policy, naiveS3Fifo(S3FIFO_TUNING));
    }),
    { numRuns: 120 },
  );
});

test('evicting of a lane lets all of its objects go, unused ones of a forecast too, and no others', () => {
  const setup = fc.record({ steps: history, lanes: fc.integer({ min: 1, max: 5 }), lane: fc.nat(4) });
  fc.assert(
    fc.property(setup, ({ steps, lanes, lane }) => {
      const { slots, policy } = inLanes(lanes);
      const held = new Set<number>();
      for (const { kind, slot, bytes } of steps) {
        if (kind === 'evict') held.delete(policy.evict());
        else if (kind === 'leave') {
          policy.leave(slot);
          held.delete(slot);
        } else if (held.has(slot)) policy.touch(slot);
        else {
          if (bytes % 3 === 0) policy.foretell(slot, bytes, slot);
          else policy.enter(slot, bytes, slot);
          held.add(slot);
        }
      }
      const own = [...held].filter((slot) => (slots.lanes[slot] ?? 0) === lane).sort((a, b) => a - b);
      const gone = Array.from({ length: own.length + 1 }, () => policy.evictOf(lane));
      expect(gone.pop()).toBe(-1);
      expect(gone.sort((a, b) => a - b)).toEqual(own);
      const rest = Array.from({ length: held.size - own.length }, () => policy.evict());
      expect(rest.every((slot) => held.has(slot) && (slots.lanes[slot] ?? 0) !== lane)).toBe(true);
      expect(policy.evict()).toBe(-1);
    }),
    { numRuns: 120 },
  );
});

test('within a lane the oldest that nobody used again goes first', () => {
  const { policy } = inLanes(2);
  for (let slot = 0; slot < 20; slot += 1) policy.enter(slot, 10, slot);
  for (const slot of [1, 1, 5]) policy.touch(slot);
  expect([policy.evictOf(1), policy.evictOf(1), policy.evictOf(1)]).toEqual([3, 5, 7]);
  expect(policy.evictOf(7)).toBe(-1);
});
