// The generated region as an audience and caches see it: every byte once, heads apart; keeping by expectation fetches less,
// fills are counted, and the true rates are not beaten.
import { expect, test } from 'vitest';
import { Audience } from '../../../agent/predict/audience.ts';
import { EdgeCache, edgeCatalogue } from '../../../agent/simulate/edge.ts';
import { type EdgeRun, playEdge } from '../../../agent/simulate/edge-play.ts';
import { EDGE_WORKLOAD, makeTitles, makeViews, requestsOfViews } from '../../../agent/simulate/workload.ts';

const WORKLOAD = { ...EDGE_WORKLOAD, seed: 6, titles: 120, days: 8, viewsPerDay: 200 };
const titles = makeTitles(WORKLOAD);
const requests = requestsOfViews(WORKLOAD, titles, makeViews(WORKLOAD, titles));
/** A small region: nearly all that is likely is there already. */
const BOLD = { leastChance: 0.02, leastPrefixChance: 0.02, hysteresis: 1 };
const catalogue = edgeCatalogue(WORKLOAD, titles, requests.count);

test('a catalogue has every byte once, and a title begins with a head of 6 s', () => {
  const { sizes, places, headOf } = catalogue;
  expect(sizes.reduce((sum, bytes) => sum + bytes, 0)).toBeCloseTo(requests.catalogueBytes, -3);
  const heads = [...headOf].filter((head) => head >= 0);
  expect(new Set(heads).size).toBe(catalogue.titles.length * WORKLOAD.devices.length);
  for (const [object, head] of headOf.entries()) {
    if (head < 0) continue;
    expect((sizes[head] ?? 0) * 49).toBeCloseTo(sizes[object] ?? 0, -1);
    expect([places[head]?.seconds, places[object]?.seconds]).toEqual([0, 6]);
  }
  const urls = catalogue.titles.flatMap(({ timeline }) => timeline.tracks.flatMap(({ parts }) => parts));
  expect(new Set(urls.map(({ url }) => url)).size).toBe(sizes.length);
  for (const { id, durationSeconds, timeline } of catalogue.titles) {
    for (const { parts } of timeline.tracks) {
      expect(parts.reduce((sum, part) => sum + part.durationSeconds, 0)).toBe(durationSeconds);
      expect(places[Number(parts[0]?.url)]?.title.id).toBe(id);
    }
  }
});

test('a cache holds what fits, and a fill is watched once somebody asked for it', () => {
  const cache = new EdgeCache({ sizes: Float64Array.from([10, 10, 10, 10]), capacityBytes: 30 });
  expect([0, 1, 0].map((object) => cache.ask(object))).toEqual([false, false, true]);
  expect([2, 2].map((object) => cache.fill(object, 100))).toEqual([true, false]);
  expect(cache.fills).toEqual({ filled: 10, watched: 0, gone: 0 });
  expect([cache.waitingSince(100), cache.waitingSince(101)]).toEqual([10, 0]);
  expect([cache.ask(2), cache.ask(2)]).toEqual([true, true]);
  expect(cache.fills).toEqual({ filled: 10, watched: 10, gone: 0 });
  cache.ask(3);
  expect(cache.usedBytes).toBe(30);
  expect([0, 1, 2, 3].filter((object) => cache.holds(object))).toHaveLength(3);
});

test('what is expected is kept: fewer bytes are fetched than by S3-FIFO, and fills stay out of the peak', () => {
  const capacityBytes = requests.catalogueBytes * 0.1;
  const audience = () => new Audience({ sinceMs: 0, horizonSeconds: 86_400 });
  const runs: readonly EdgeRun[] = [
    { name: 'off', capacityBytes, keeps: false, fill: 'none' },
    { name: 'keep', capacityBytes, keeps: true, fill: 'none', audience: audience() },
    { name: 'fill', capacityBytes, keeps: false, fill: 'plan', plan: BOLD, audience: audience() },
    { name: 'night', capacityBytes, keeps: false, fill: () => [...catalogue.sizes.keys()] },
  ];
  const audiences = runs.flatMap((run) => (run.audience === undefined ? [] : [run.audience]));
  const outcomes = playEdge({ requests, catalogue, days: WORKLOAD.days, countFromDay: 4, runs, audiences });
  const [off, keep, fill, night] = outcomes;
  if (off === undefined || keep === undefined || fill === undefined) return expect.unreachable();
  expect(keep.originBytes).toBeLessThan(off.originBytes);
  expect(keep.startupHitRatio).toBeGreaterThan(off.startupHitRatio);
  expect([off.filledBytes, keep.filledBytes]).toEqual([0, 0]);
  expect(fill.filledBytes).toBeGreaterThan(0);
  expect(night?.filledBytes).toBeGreaterThan(0);
  for (const { servedBytes, hitBytes, originBytes, unwatchedRatio, p95Bytes, peakBytes } of outcomes) {
    expect(servedBytes).toBe(off.servedBytes);
    expect(originBytes).toBeGreaterThanOrEqual(servedBytes - hitBytes - 1);
    expect(unwatchedRatio).toBeLessThanOrEqual(1);
    expect(p95Bytes * peakBytes).toBeGreaterThan(0);
  }
});
