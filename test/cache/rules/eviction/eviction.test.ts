// Eviction policies against slow models on random histories, against recorded figures, and within their limits.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arc } from '../../../../cache/rules/eviction/arc.ts';
import { belady, nextUses } from '../../../../cache/rules/eviction/belady.ts';
import { gdsf } from '../../../../cache/rules/eviction/gdsf.ts';
import { Ghost } from '../../../../cache/rules/eviction/ghost.ts';
import { lru } from '../../../../cache/rules/eviction/lru.ts';
import type { EvictionPolicy } from '../../../../cache/rules/eviction/policy.ts';
import { S3FIFO_TUNING, s3fifo } from '../../../../cache/rules/eviction/s3fifo.ts';
import { sieve } from '../../../../cache/rules/eviction/sieve.ts';
import { footprintBytes, requestsOf, simulate } from '../../../../cache/rules/eviction/simulate.ts';
import { FrequencySketch } from '../../../../cache/rules/eviction/sketch.ts';
import { wTinyLfu } from '../../../../cache/rules/eviction/wtinylfu.ts';
import { history, play } from './histories.ts';
import { fewestMisses, naiveArc, naiveGdsf, naiveLru, naiveS3Fifo, naiveSieve, naiveWTinyLfu } from './naive.ts';
import { PAPER_TUNING, RECORDED, readTrace, referenceRun, TOLERANCES } from './reference.ts';

const POLICIES = [
  { name: 'LRU', open: lru, naive: naiveLru },
  { name: 'SIEVE', open: sieve, naive: naiveSieve },
  { name: 'S3-FIFO (disk)', open: () => s3fifo(), naive: () => naiveS3Fifo(S3FIFO_TUNING) },
  { name: 'S3-FIFO (paper)', open: () => s3fifo(PAPER_TUNING), naive: () => naiveS3Fifo(PAPER_TUNING) },
  { name: 'ARC', open: () => arc(300), naive: () => naiveArc(300) },
  { name: 'W-TinyLFU', open: () => wTinyLfu(24), naive: () => naiveWTinyLfu(24) },
] as const;

describe.each(POLICIES)('$name', ({ open, naive }) => {
  test('agrees with a slow model of it', () => {
    fc.assert(
      fc.property(history, (steps) => play(steps, open(), naive())),
      { numRuns: 120 },
    );
  });

  test('nobody is left to evict but who entered', () => {
    const policy = open();
    expect(policy.evict()).toBe(-1);
    policy.touch(5000);
    policy.leave(5000);
    for (let slot = 0; slot < 3000; slot += 1) policy.enter(slot, 1, slot);
    const left = Array.from({ length: 3000 }, () => policy.evict());
    expect([...left].sort((first, second) => first - second)).toEqual(Array.from({ length: 3000 }, (_, at) => at));
    expect(policy.evict()).toBe(-1);
  });
});

test('S3-FIFO tells where who waits to leave, and what is before it', () => {
  const policy = s3fifo();
  for (let slot = 0; slot < 6; slot += 1) policy.enter(slot, slot + 1, slot);
  policy.foretell(6, 50, 6);
  policy.foretell(7, 60, 7);
  const small = (uses: number, beforeBytes: number) => ({ queue: 'small', uses, beforeBytes, isMore: false });
  expect([0, 1, 5].map(policy.placeOf)).toEqual([small(0, 0), small(0, 1), small(0, 15)]);
  expect(policy.placeOf(7)).toEqual({ queue: 'foretold', uses: 0, beforeBytes: 50, isMore: false });
  policy.touch(7);
  expect([policy.placeOf(7)?.queue, policy.placeOf(6)?.beforeBytes]).toEqual(['main', 0]);
  for (let use = 0; use < 5; use += 1) policy.touch(5);
  policy.leave(1);
  expect([policy.placeOf(5), policy.placeOf(1), policy.placeOf(99)]).toEqual([small(3, 13), undefined, undefined]);
});

test('S3-FIFO looks at a bounded number of those before it', () => {
  const policy = s3fifo();
  for (let slot = 0; slot < 50_000; slot += 1) policy.enter(slot, 2, slot);
  expect(policy.placeOf(49_999)).toEqual({ queue: 'small', uses: 0, beforeBytes: 2 * 16_384, isMore: true });
  expect(policy.placeOf(16_384)).toMatchObject({ beforeBytes: 2 * 16_384, isMore: false });
});

test('GDSF always lets one of least priority go', () => {
  const property = fc.property(history, (steps) => {
    const policy = gdsf();
    const naive = naiveGdsf();
    const held = new Set<number>();
    for (const { kind, slot, bytes } of steps) {
      if (kind === 'evict') {
        const victim = policy.evict();
        expect(naive.evicted(victim)).toBe(true);
        held.delete(victim);
        continue;
      }
      for (const one of [policy, naive.policy]) {
        if (kind === 'leave') one.leave(slot);
        else if (held.has(slot)) one.touch(slot);
        else one.enter(slot, bytes, slot);
      }
      if (kind === 'leave') held.delete(slot);
      else held.add(slot);
    }
  });
  fc.assert(property, { numRuns: 300 });
});

describe('S3-FIFO', () => {
  const enterAll = (policy: EvictionPolicy, slots: readonly number[]) => {
    for (const slot of slots) policy.enter(slot, 10, slot);
  };

  test('a scan passes through the small queue and leaves who was used twice', () => {
    const policy = s3fifo(PAPER_TUNING);
    enterAll(policy, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const slot of [2, 2, 5, 5, 8]) policy.touch(slot);
    const left: number[] = [];
    for (let slot = 10; slot < 100; slot += 1) {
      left.push(policy.evict());
      policy.enter(slot, 10, slot);
    }
    expect(left).not.toContain(2);
    expect(left).not.toContain(5);
    expect(left).toContain(8);
  });

  test('who comes back soon after leaving is past the trial', () => {
    const policy = s3fifo(PAPER_TUNING);
    enterAll(policy, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(policy.evict()).toBe(0);
    policy.enter(10, 10, 0);
    const left = Array.from({ length: 9 }, () => policy.evict());
    expect(left).not.toContain(10);
    expect(policy.evict()).toBe(10);
  });

  test('the small queue has room for some of the largest objects', () => {
    const policy = s3fifo({ ...PAPER_TUNING, smallLargest: 4 });
    for (let slot = 0; slot < 12; slot += 1) policy.restore(slot, { bytes: 10, key: slot, uses: 2 });
    for (let slot = 12; slot < 16; slot += 1) policy.enter(slot, 10, slot);
    // 40 of 160 bytes are small, a quarter: too much by the share alone, not by the floor.
    expect(policy.evict()).toBe(12);
    policy.enter(16, 10, 16);
    policy.leave(13);
    expect(policy.evict()).toBe(0);
  });

  test('uses of an earlier life earn the main queue, or count towards it', () => {
    const policy = s3fifo(PAPER_TUNING);
    policy.restore(0, { bytes: 10, key: 0, uses: 1 });
    policy.restore(1, { bytes: 10, key: 1, uses: 900 });
    policy.restore(2, { bytes: 10, key: 2, uses: 0 });
    policy.touch(0);
    expect([policy.evict(), policy.evict(), policy.evict()]).toEqual([2, 1, 0]);
  });
});

test('a ghost remembers what fits, youngest first, as a list does', () => {
  const property = fc.property(
    fc.array(fc.record({ key: fc.integer({ min: -6, max: 6 }), bytes: fc.nat(9), isTaken: fc.boolean() })),
    fc.nat(30),
    (steps, limit) => {
      const ghost = new Ghost();
      let list: { readonly key: number; readonly bytes: number }[] = [];
      for (const { key, bytes, isTaken } of steps) {
        if (isTaken) expect(ghost.take(key)).toBe(list.some((one) => one.key === key));
        list = list.filter((one) => one.key !== key);
        if (isTaken) continue;
        ghost.add(key, bytes, limit);
        list.push({ key, bytes });
        while (list.reduce((sum, one) => sum + one.bytes, 0) > limit) list.shift();
        expect(ghost.bytes).toBe(list.reduce((sum, one) => sum + one.bytes, 0));
      }
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test('a ghost of many keys grows and forgets in order', () => {
  const ghost = new Ghost();
  for (let key = 0; key < 10_000; key += 1) ghost.add(key, 1, 5000);
  expect([ghost.bytes, ghost.take(4999), ghost.take(5000), ghost.take(9999)]).toEqual([5000, false, true, true]);
});

describe('ARC', () => {
  test('learns that objects used once leave too early, and then that those used again do', () => {
    const policy = arc(100);
    const come = (slot: number) => {
      policy.admits?.(slot, 10, slot);
      policy.enter(slot, 10, slot);
    };
    for (const slot of [0, 1, 2, 3, 4]) come(slot);
    for (const slot of [0, 1, 2]) policy.touch(slot);
    // Nothing is learnt yet, so who was used once leaves first, and is missed.
    expect([policy.evict(), policy.evict()]).toEqual([3, 4]);
    for (const slot of [3, 4, 5, 6]) come(slot);
    // Twenty bytes of the list of those used once are worth keeping now.
    expect(policy.evict()).toBe(0);
    come(0);
    expect(policy.evict()).toBe(5);
  });
});

describe('frequency sketch', () => {
  test('never counts below the truth before it ages, and halves when it does', () => {
    const property = fc.property(fc.array(fc.integer({ min: -9, max: 9 }), { maxLength: 120 }), (keys) => {
      const sketch = new FrequencySketch(16);
      const truth = new Map<number, number>();
      for (const key of keys) {
        sketch.add(key);
        truth.set(key, (truth.get(key) ?? 0) + 1);
      }
      for (const [key, count] of truth) expect(sketch.count(key)).toBeGreaterThanOrEqual(Math.min(15, count));
    });
    fc.assert(property, { numRuns: 200 });
    const sketch = new FrequencySketch(16);
    for (let times = 0; times < 127; times += 1) sketch.add(5);
    expect([sketch.count(5), sketch.count(6)]).toEqual([15, 0]);
    sketch.add(5);
    expect(sketch.count(5)).toBe(7);
  });
});

describe("Belady's oracle", () => {
  const short = fc.array(fc.nat(4), { minLength: 1, maxLength: 11 });

  test('misses no more than the best of all choices, for objects of one size', () => {
    const property = fc.property(short, fc.integer({ min: 1, max: 3 }), (asked, capacityBytes) => {
      const requests = requestsOf(asked.map((object) => ({ id: String(object), bytes: 1 })));
      const { requestMissRatio } = simulate({ policy: belady(requests, capacityBytes), capacityBytes }, requests);
      expect(Math.round(requestMissRatio * asked.length)).toBe(fewestMisses(asked, capacityBytes));
    });
    fc.assert(property, { numRuns: 200 });
  });

  test('of those never used again the largest leaves first, and no other lets one come in', () => {
    expect([...nextUses(Uint32Array.of(1, 0, 1, 1), 2)]).toEqual([2, 4, 3, 4]);
    const asked = ['a5', 'b9', 'c3', 'a5', 'b9', 'd9', 'c3'].map((id) => ({ id, bytes: Number(id.slice(1)) }));
    const requests = requestsOf(asked);
    // All of a, b, c fit; d is never used again and passes by, though a and b are done with.
    expect(simulate({ policy: belady(requests, 17), capacityBytes: 17 }, requests).requestMissRatio).toBe(4 / 7);
    const policy = belady(requestsOf(asked.slice(0, 3)), 17);
    for (const [slot, bytes] of [5, 9, 3].entries()) {
      expect(policy.admits?.(slot, bytes, slot)).toBe(false);
      policy.enter(slot, bytes, slot);
    }
    expect([policy.evict(), policy.evict(), policy.evict(), policy.evict()]).toEqual([1, 0, 2, -1]);
  });
});

describe('simulator', () => {
  const open = [...POLICIES, { name: 'GDSF', open: gdsf }] as const;
  test.each(open)('$name never holds more than the capacity, and misses what it must', ({ open: policy }) => {
    const lines = fc.array(fc.record({ id: fc.constantFrom(...'abcdefghij'), bytes: fc.nat(40) }), { minLength: 1 });
    const property = fc.property(lines, fc.nat(120), fc.boolean(), (asked, capacityBytes, isStrict) => {
      const requests = requestsOf(asked);
      const changedSize = isStrict ? 'miss' : 'hit';
      const outcome = simulate({ policy: policy(), capacityBytes, changedSize }, requests);
      expect(outcome.peakBytes).toBeLessThanOrEqual(capacityBytes);
      expect(outcome.requestMissRatio).toBeGreaterThanOrEqual(requests.count / asked.length);
      const total = asked.reduce((sum, { bytes }) => sum + bytes, 0);
      const whole = simulate({ policy: policy(), capacityBytes: total }, requests);
      expect(whole.requestMissRatio).toBe(requests.count / asked.length);
    });
    fc.assert(property, { numRuns: 100 });
  });

  test('counts by hand', () => {
    const requests = requestsOf([
      { id: 'a', bytes: 10 },
      { id: 'b', bytes: 10 },
      { id: 'a', bytes: 12 },
      { id: 'c', bytes: 30 },
      { id: 'a', bytes: 12 },
    ]);
    expect(footprintBytes(requests)).toBe(52);
    const run = { capacityBytes: 22, maxObjectBytes: 22 };
    expect(simulate({ ...run, policy: lru() }, requests)).toEqual({
      ...{ requestMissRatio: 0.6, byteMissRatio: 50 / 74, peakBytes: 20 },
    });
    expect(simulate({ ...run, policy: lru(), changedSize: 'miss' }, requests)).toEqual({
      ...{ requestMissRatio: 0.8, byteMissRatio: 62 / 74, peakBytes: 22 },
    });
    expect(simulate({ ...run, policy: lru() }, requestsOf([])).byteMissRatio).toBe(0);
  });
});

const trace = readTrace();
describe.skipIf(trace === undefined)('[shared] AdaptSize trace beside libCacheSim', () => {
  test.each(RECORDED)('$policy at $share of the footprint', ({ policy, share, requestMiss, byteMiss }) => {
    if (trace === undefined) return;
    const outcome = referenceRun(policy, share, trace);
    expect(Math.abs(outcome.requestMissRatio - requestMiss)).toBeLessThanOrEqual(TOLERANCES[policy]);
    expect(Math.abs(outcome.byteMissRatio - byteMiss)).toBeLessThanOrEqual(TOLERANCES[policy]);
  });

  test('bypass only helps the oracle, and nobody beats it', () => {
    if (trace === undefined) return;
    const capacityBytes = Math.floor(footprintBytes(trace) * 0.01);
    const { byteMissRatio } = simulate({ policy: belady(trace, capacityBytes), capacityBytes }, trace);
    expect(byteMissRatio).toBeLessThan(referenceRun('belady', 0.01, trace).byteMissRatio);
  });
});
