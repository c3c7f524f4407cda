// Eviction by expectation: what is expected least leaves, unknown objects leave as S3-FIFO says, lanes stay apart.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Slots } from '../../../../cache/rules/eviction/queue.ts';
import { s3fifo } from '../../../../cache/rules/eviction/s3fifo.ts';
import { type Expected, scored } from '../../../../cache/rules/eviction/scored.ts';
import { history, play } from './histories.ts';

function open(expected: Expected) {
  const slots = new Slots();
  const policy = scored(s3fifo(undefined, slots), slots, expected);
  const enter = (slot: number, group: number, lane = 0) => {
    slots.ensure(slot);
    slots.setLane(slot, lane);
    slots.setGroup(slot, group);
    policy.enter(slot, 10, slot);
  };
  return { slots, policy, enter };
}

describe('eviction by expectation', () => {
  test('lets go of what is expected least', () => {
    const { policy, enter } = open({ scoreOf: (group) => group });
    for (let slot = 0; slot < 1000; slot += 1) enter(slot, 1 + ((slot * 7) % 1000));
    const left = Array.from({ length: 200 }, () => 1 + ((policy.evict() * 7) % 1000));
    // A sample of 16 of 1,000: the mean of the lowest is the 59th; of any 200 it would be the 500th.
    expect(left.reduce((sum, score) => sum + score, 0) / 200).toBeLessThan(120);
  });

  test('objects that nothing is known of leave in the order of S3-FIFO, whatever else is there', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const slots = new Slots();
        play(steps, s3fifo(), scored(s3fifo(undefined, slots), slots, { scoreOf: () => expect.unreachable() }));
      }),
      { numRuns: 30 },
    );
  });

  test('what has run out leaves before what nothing is known of, what is expected does not', () => {
    const { policy, enter } = open({ scoreOf: (group) => (group === 1 ? 0 : 5) });
    enter(0, 0);
    for (let slot = 1; slot < 1024; slot += 1) enter(slot, slot < 512 ? 1 : 2);
    expect(policy.evict()).toBeGreaterThan(0);
    const other = open({ scoreOf: () => 5 });
    other.enter(0, 0);
    for (let slot = 1; slot < 1024; slot += 1) other.enter(slot, 2);
    expect(other.policy.evict()).toBe(0);
  });

  test('what is expected without end leaves after all else, and takes no place in the sample', () => {
    const isKept = (slot: number) => slot % 2 === 0;
    const { policy, enter } = open({ scoreOf: (group) => (isKept(group - 1) ? Number.POSITIVE_INFINITY : group) });
    for (let slot = 0; slot < 1000; slot += 1) enter(slot, slot + 1);
    const left = Array.from({ length: 300 }, () => policy.evict());
    expect(left.filter(isKept)).toEqual([]);
    expect(left.slice(0, 100).reduce((sum, slot) => sum + slot, 0) / 100).toBeLessThan(150);
    const rest = new Set(Array.from({ length: 700 }, () => policy.evict()));
    expect([rest.size, rest.has(0), policy.evict()]).toEqual([700, true, -1]);
  });

  test('a lane gives up its own objects alone, and nobody leaves twice', () => {
    const { slots, policy, enter } = open({ scoreOf: (group) => group });
    for (let slot = 0; slot < 600; slot += 1) enter(slot, 1 + (slot % 50), slot % 3);
    const left = Array.from({ length: 200 }, () => policy.evictOf(2));
    expect(new Set(left).size).toBe(200);
    expect(left.every((slot) => slots.lanes[slot] === 2)).toBe(true);
    expect(policy.evictOf(2)).toBe(-1);
    expect(policy.placeOf(0)).toBeDefined();
  });

  test('empty, or with more slots than objects, it finds what there is', () => {
    const { policy, enter } = open({ scoreOf: () => 1 });
    expect(policy.evict()).toBe(-1);
    enter(5000, 7);
    expect(policy.evict()).toBe(5000);
    expect(policy.evict()).toBe(-1);
  });
});
