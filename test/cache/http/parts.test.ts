// The small parts with state: the window of a fill, the counters, connections per address.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HISTOGRAM_SECONDS } from '../../../cache/contract.ts';
import { openConnectionLimit } from '../../../cache/limit.ts';
import { Counters } from '../../../cache/stats.ts';
import { FillWindow } from '../../../cache/window.ts';

test('a window gives back every byte that it has not trimmed, and none beyond', () => {
  const chunks = fc.array(fc.uint8Array({ minLength: 0, maxLength: 9 }), { maxLength: 12 });
  fc.assert(
    fc.property(chunks, fc.nat(60), fc.nat(60), fc.nat(60), (parts, trimAt, offset, limit) => {
      const window = new FillWindow();
      for (const part of parts) window.append(Buffer.from(part));
      const whole = Buffer.concat(parts);
      window.trim(trimAt);
      expect(window.start).toBeLessThanOrEqual(Math.max(0, Math.min(trimAt, whole.length)));
      expect([window.end, window.sizeBytes]).toEqual([whole.length, whole.length - window.start]);
      const read = window.read(offset, limit);
      const isThere = offset >= window.start && offset < Math.min(whole.length, limit);
      expect(read !== undefined).toBe(isThere);
      if (read === undefined) return;
      expect(read.length).toBeGreaterThan(0);
      expect(offset + read.length).toBeLessThanOrEqual(Math.min(whole.length, limit));
      expect(read.equals(whole.subarray(offset, offset + read.length))).toBe(true);
    }),
  );
});

test('an address has its share of connections, and gives it back', () => {
  const limit = openConnectionLimit(2);
  expect([limit.enter('a'), limit.enter('a'), limit.enter('a'), limit.enter('b')]).toEqual([true, true, false, true]);
  limit.leave('a');
  limit.leave('unknown');
  expect([limit.enter('a'), limit.count()]).toEqual([true, 3]);
});

test('histograms are cumulative and end with all observations; unused prefetches are waste', () => {
  const counters = new Counters();
  counters.served('hit', 'segment', 10, 0.4);
  counters.served('hit', 'segment', 10, 7);
  counters.served('hit', 'manifest', 10, 60_000);
  counters.evicted({ purpose: 'off-peak', bytes: 5, wasUsed: false });
  counters.evicted({ purpose: 'off-peak', bytes: 50, wasUsed: true });
  counters.evicted({ purpose: 'viewer', bytes: 500, wasUsed: false });
  const store = {
    ...{ objects: 0, usedBytes: { memory: 0, disk: 0 }, limitBytes: { memory: 0, disk: 0 } },
    ...{ evictions: { memory: 0, disk: 0 }, corruptBlocks: 0, isDegraded: false, errors: [] },
  };
  const stats = counters.read({ store, openConnections: 1, activeFills: 2 });
  const { counts, sum } = stats.firstByteSeconds.hit;
  expect(counts).toHaveLength(HISTOGRAM_SECONDS.length + 1);
  expect([counts[0], counts[4], counts.at(-2), counts.at(-1)]).toEqual([1, 2, 2, 3]);
  expect(sum).toBeCloseTo(60.0074);
  expect([stats.requests.hit.segment, stats.requests.hit.manifest, stats.sentBytes.hit]).toEqual([2, 1, 30]);
  expect(stats.prefetch.wastedBytes).toBe(5);
  counters.served('hit', 'segment', 10, 1);
  expect(stats.requests.hit.segment).toBe(2);
});
