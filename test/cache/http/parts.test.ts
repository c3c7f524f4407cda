// The small parts with state: the window of a fill, the counters, connections per address.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HISTOGRAM_SECONDS } from '../../../cache/contract.ts';
import { FillWindow } from '../../../cache/fill/window.ts';
import { addressGroup, openConnectionLimit } from '../../../cache/listen/limit.ts';
import { Counters } from '../../../cache/stats.ts';

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

const limits = { maxConnections: 5, addressLimit: 2, exemptPrefixes: [] };

test('an address has its share of connections, all have theirs, and both are given back', () => {
  const limit = openConnectionLimit(limits);
  const enter = (...addresses: string[]) => addresses.map((address) => limit.enter(address));
  expect(enter('10.0.0.1', '::ffff:10.0.0.1', '10.0.0.1')).toEqual(['admitted', 'admitted', 'address']);
  expect(enter('10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5')).toEqual([
    ...['admitted', 'admitted', 'admitted', 'connections'],
  ]);
  limit.leave('10.0.0.1');
  limit.leave('unknown');
  expect([limit.count(), ...enter('10.0.0.1', '10.0.0.2')]).toEqual([4, 'admitted', 'connections']);
});

test.each([
  ['10.0.0.1', '10.0.0.1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['2001:db8:1:2:aaaa::1', '2001:db8:1:2'],
  ['2001:0db8:0001:0002::', '2001:db8:1:2'],
  ['2001:db8::1', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['1:2:3:4:5:6:7:8', '1:2:3:4'],
  ['', ''],
])('%s is counted as %s', (address, group) => expect(addressGroup(address)).toBe(group));

test.each([
  [['10.0.0.0/8'], '10.9.9.9', true],
  [['10.0.0.0/8'], '::ffff:10.9.9.9', true],
  [['10.0.0.0/8'], '11.0.0.1', false],
  [['192.0.2.7'], '192.0.2.7', true],
  [['192.0.2.7'], '192.0.2.8', false],
  [['2001:db8::/32'], '2001:db8:5::1', true],
  [['2001:db8::/32', '10.0.0.0/8'], '2001:db9::1', false],
  [['0.0.0.0/0'], '203.0.113.1', true],
])('exempt %j: %s is let in beyond its share: %s', (exemptPrefixes, address, isIn) => {
  const limit = openConnectionLimit({ ...limits, exemptPrefixes });
  expect([1, 2, 3].map(() => limit.enter(address)).at(-1)).toBe(isIn ? 'admitted' : 'address');
});

test.each(['', 'x', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0/8', '2001:db8::/129', '10.0.0.0/-1'])(
  'the exempt prefix "%s" is CACHE_OPTIONS_INVALID',
  (prefix) => {
    const opening = () => openConnectionLimit({ ...limits, exemptPrefixes: [prefix] });
    expect(opening).toThrow(expect.objectContaining({ code: 'CACHE_OPTIONS_INVALID' }));
  },
);

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
    ...{
      evictions: { memory: 0, disk: 0 },
      corruptBlocks: 0,
      scrub: { bytes: 0, damaged: 0, passes: 0 },
      hosts: [],
      isDegraded: false,
      errors: [],
    },
  };
  const workers = { running: 0, restarts: 0, droppedRecords: 0 };
  const tls = { handshakeFailures: 0, certificates: { expiresAt: [], reloads: 0, failures: 0 } };
  const stats = counters.read({
    store,
    openConnections: 1,
    activeFills: 2,
    isTight: false,
    origins: [],
    workers,
    ...tls,
  });
  const { counts, sum } = stats.firstByteSeconds.hit;
  expect(counts).toHaveLength(HISTOGRAM_SECONDS.length + 1);
  expect([counts[0], counts[4], counts.at(-2), counts.at(-1)]).toEqual([1, 2, 2, 3]);
  expect(sum).toBeCloseTo(60.0074);
  expect([stats.requests.hit.segment, stats.requests.hit.manifest, stats.sentBytes.hit]).toEqual([2, 1, 30]);
  expect(stats.prefetch.wastedBytes).toBe(5);
  counters.served('hit', 'segment', 10, 1);
  expect(stats.requests.hit.segment).toBe(2);
});
