// The counterfactual meter: percentiles and intervals by hand, its ring of 5-minute bins, and what it says of a node.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { renderReport } from '../../../agent/commands/report.ts';
import { bitsPerSecond, jackknife, percentile95 } from '../../../agent/simulate/billing.ts';
import { openMeter } from '../../../agent/simulate/meter.ts';
import { SERIES_DAYS, Series } from '../../../agent/simulate/series.ts';
import { seededChance } from '../../../agent/simulate/workload.ts';
import type { Cache } from '../../../cache/cache.ts';

const BIN_MS = 300_000;
const DAY_MS = 86_400_000;
const START = Date.UTC(2026, 0, 1);

describe('billing', () => {
  test('the 95th percentile leaves out the highest twentieth', () => {
    const bins = (count: number) => Float64Array.from({ length: count }, (_, at) => at + 1);
    expect([0, 1, 19, 20, 40, 100].map((count) => percentile95(bins(count)))).toEqual([0, 1, 19, 19, 38, 95]);
    expect(bitsPerSecond(300)).toBe(8);
  });

  test('a jackknifed sum has the interval of independent groups', () => {
    const groups = Array.from({ length: 8 }, (_, at) => at);
    const sum = groups.reduce((total, one) => total + one, 0);
    const replicates = groups.map((group) => ((sum - group) * 8) / 7);
    const { value, low, high } = jackknife(sum, replicates, 0);
    // Standard error of a sum of 8: sqrt(8 * sample variance), and 2.365 of them.
    const variance = groups.reduce((total, one) => total + (one - 3.5) ** 2, 0) / 7;
    expect(value).toBe(28);
    expect(high - value).toBeCloseTo(2.365 * Math.sqrt(8 * variance), 6);
    expect(value - low).toBeCloseTo(high - value, 6);
    expect(
      jackknife(
        5,
        groups.map(() => 5),
        0,
      ),
    ).toEqual({ value: 5, low: 5, high: 5 });
    expect(jackknife(sum, replicates, 1)).toEqual({ value: sum, low: sum, high: sum });
  });
});

describe('series', () => {
  test('agrees with a map of bins, over gaps and beyond its days', () => {
    const step = fc.record({ skip: fc.constantFrom(0, 0, 0, 1, 2, 500, 9000), column: fc.nat(2), bytes: fc.nat(99) });
    const property = fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      const series = new Series(3);
      const truth = new Map<number, number>();
      let bin = 1_000_000;
      const first = bin + (steps[0]?.skip ?? 0);
      for (const { skip, column, bytes } of steps) {
        bin += skip;
        series.add(bin * BIN_MS + 17, column, bytes);
        truth.set(bin, (truth.get(bin) ?? 0) + bytes * (column === 1 ? 2 : 1));
      }
      const count = Math.min(SERIES_DAYS * 288, bin - first + 1);
      const expected = Array.from({ length: count }, (_, at) => truth.get(bin - count + 1 + at) ?? 0);
      const got = series.bins([
        [0, 1],
        [1, 2],
        [2, 1],
      ]);
      expect(got.length).toBe(count);
      expect(got.every((bytes, at) => bytes === expected[at])).toBe(true);
      expect(series.sinceMs).toBe((bin - count + 1) * BIN_MS);
    });
    fc.assert(property, { numRuns: 60 });
  });

  test('days come back from what was kept, and what is damaged, old or of the future is left out', () => {
    const series = new Series(2);
    for (let bin = 0; bin < 3 * 288; bin += 7) series.add(START + bin * BIN_MS, bin % 2, bin + 1);
    const today = START / DAY_MS + 2;
    const days = [0, 1, 2].map((back) => series.saveDay(today - back));
    const again = new Series(2);
    for (const day of days) expect(day !== undefined && again.restore(day, today)).toBe(true);
    expect(again.bins([[0, 1]])).toEqual(series.bins([[0, 1]]));
    expect(again.bins([[1, 1]])).toEqual(series.bins([[1, 1]]));
    expect(again.sinceMs).toBe(series.sinceMs);
    const [day] = days;
    if (day === undefined) return expect.unreachable();
    const wrong = [
      { ...day, cells: day.cells.slice(8) },
      { ...day, columns: 3 },
      { ...day, day: today + 1 },
      { ...day, day: today - SERIES_DAYS },
      { ...day, cells: Buffer.from(new Float32Array(288 * 2).fill(Number.NaN).buffer).toString('base64') },
    ];
    for (const one of wrong) expect(new Series(2).restore(one, today)).toBe(false);
    expect(series.saveDay(today + 1)).toBeUndefined();
    expect(new Series(2).saveDay(today)).toBeUndefined();
  });
});

/** A meter over a store in memory. */
function open(kept = new Map<string, string>(), diskBytes = 1000) {
  const clock = { now: START };
  const days = {
    get: (name: string) => kept.get(name),
    put: (name: string, json: string) => void kept.set(name, json),
  };
  const meter = openMeter({ diskBytes, days, now: () => clock.now, maxRatio: 1 });
  const serve = (key: string, result: 'hit' | 'miss' | 'pass' | 'error' = 'miss', bytes = 100, status = 200) =>
    meter.served({ at: clock.now, key, status, result, bytes });
  return { meter, clock, kept, serve };
}

describe('meter', () => {
  test('says what LRU and a smaller disk would have fetched', async () => {
    const { meter, serve, clock } = open();
    // Ten objects fit. Two are asked for again and again between scans of many that never are.
    for (let round = 0; round < 60; round += 1) {
      for (const hot of ['a', 'b']) for (let times = 0; times < 3; times += 1) serve(hot, round === 0 ? 'miss' : 'hit');
      for (let scan = 0; scan < 12; scan += 1) serve(`scan ${round} ${scan}`);
      clock.now += BIN_MS;
    }
    const report = await meter.report();
    const { played, savings, measured } = report;
    expect(report.sampleRatio).toBe(1);
    expect(report.days).toBeCloseTo(60 / 288, 2);
    expect(measured.originBytes).toBe(60 * 1200 + 600);
    expect(played.lru.originBytes.value).toBe(60 * 1400);
    expect(played['as-is'].originBytes.value).toBeLessThan(60 * 1200 + 1000);
    expect(played['no-prefetch'].originBytes).toEqual(played['as-is'].originBytes);
    const [eviction, prefetch, disk] = savings;
    expect(eviction?.originBytes.value).toBeGreaterThan(11_000);
    expect(eviction?.originP95.value).toBeGreaterThan(0);
    expect(prefetch?.originBytes).toEqual({ value: 0, low: 0, high: 0 });
    expect(disk?.originBytes.value).toBeGreaterThanOrEqual(0);
    expect(meter.figures().originBytes.lru).toBe(60 * 1400);
    expect(meter.figures().p95BytesPerSecond.lru).toBeCloseTo(1400 / 300, 6);
  });

  test('prefetch is charged for what it fetched and credited for what nobody missed', async () => {
    const { meter, serve } = open();
    const filled: string[] = [];
    // A cache that stores what it is asked to fill; nothing else of it is used.
    const cache = {
      fill: async (url: string) => {
        filled.push(url);
        return url === '/refused'
          ? { outcome: 'refused', reason: 'size' }
          : { outcome: 'stored', bytes: 100, status: 200 };
      },
      has: (url: string) => ({ key: `main ${url}` }),
    } as unknown as Cache;
    const watched = meter.watch(cache);
    const how = { priority: 'off-peak', purpose: 'off-peak' } as const;
    for (const url of ['/1', '/2', '/refused']) await watched.fill(url, how);
    expect(filled).toEqual(['/1', '/2', '/refused']);
    serve('main /1', 'hit');
    const figures = meter.figures();
    expect(figures.originBytes['as-is']).toBe(200);
    expect(figures.originBytes['no-prefetch']).toBe(100);
    const { savings } = await meter.report();
    expect(savings[1]?.originBytes.value).toBe(-100);
  });

  test('what is no answer from the cache does not count', async () => {
    const { meter, serve } = open();
    serve('a', 'pass');
    serve('a', 'error');
    serve('a', 'miss', 0);
    serve('a', 'miss', 100, 404);
    expect(meter.figures().originBytes['as-is']).toBe(0);
    expect(renderReport(await meter.report())).toMatch(/Nothing was served yet/);
  });

  test('its interval holds the truth about as often as it says, from a small sample', async () => {
    const chance = seededChance(9);
    let held = 0;
    let widest = 0;
    for (let run = 0; run < 12; run += 1) {
      const { meter, serve } = open(new Map(), 1e12);
      // Each key once: whatever is sampled, all of it is fetched.
      for (let key = 0; key < 12_000; key += 1) serve(`run ${run} key ${key}`, 'miss', 1 + Math.floor(chance() * 199));
      const { played, measured } = await meter.report();
      const { low, high } = played.lru.originBytes;
      widest = Math.max(widest, (high - low) / measured.originBytes);
      if (low <= measured.originBytes && measured.originBytes <= high) held += 1;
    }
    expect(held).toBeGreaterThanOrEqual(9);
    expect(widest).toBeLessThan(0.1);
  });

  test('days outlive a restart, a damaged one is left out', async () => {
    const first = open();
    for (let day = 0; day < 3; day += 1) {
      first.serve(`day ${day}`);
      first.meter.save();
      first.clock.now += DAY_MS;
    }
    first.serve('last');
    first.meter.save(true);
    expect([...first.kept.keys()]).toHaveLength(4);
    const again = open(first.kept);
    again.clock.now = first.clock.now;
    const restored = openMeter({
      diskBytes: 1000,
      days: { get: (name) => first.kept.get(name), put: () => undefined },
      now: () => first.clock.now,
    });
    expect((await restored.report()).measured.originBytes).toBe(400);
    const [name = ''] = first.kept.keys();
    for (const json of ['{"version":2}', 'not JSON', 'null']) {
      const damaged = new Map(first.kept).set(name, json);
      const meter = openMeter({
        diskBytes: 1000,
        days: { get: (key) => damaged.get(key), put: () => undefined },
        now: () => first.clock.now,
      });
      expect((await meter.report()).measured.originBytes).toBe(300);
    }
  });

  test('the report is a page of lines with intervals', async () => {
    const { meter, serve, clock } = open();
    for (let key = 0; key < 40; key += 1) {
      serve(`key ${key % 15}`, 'miss', 2048);
      clock.now += BIN_MS;
    }
    const text = renderReport(JSON.parse(JSON.stringify(await meter.report())));
    expect(text).toMatch(/^Since 2026-01-01T00:00:00.000Z \(0.1 days\), playing every key/);
    expect(text).toMatch(/measured +80 KiB +55 bit\/s/);
    expect(text).toMatch(/eviction by S3-FIFO +\S+ \S+ \(\S+ \S+ to \S+ \S+\)/);
    expect(renderReport({})).toMatch(/Nothing was served yet/);
  });
});
