// The plan of a night's fill: prefix first, within the budget, nothing twice, nothing that is there, and nothing that is
// not clearly worth more than what it pushes out.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createBreaker, DEFAULT_BREAKER } from '../../../agent/prefetch/breaker.ts';
import { createBucket } from '../../../agent/prefetch/bucket.ts';
import { createDecisionLog } from '../../../agent/prefetch/decisions.ts';
import { type PlanQuestion, planFills } from '../../../agent/prefetch/plan.ts';
import { packageTimeline, placeOf, startupTrack } from '../../../agent/prefetch/timeline.ts';
import { titleSchema } from '../../../encoder/contract.ts';
import { SEGMENT_BYTES, sampleTimeline } from './sample.ts';

const chance = (expected: number) => 1 - Math.exp(-expected);
const candidate = (titleId: string, expected: number, segments = 20) => ({
  timeline: sampleTimeline(titleId, segments),
  // Half of those who begin stay to the end of the 80 s.
  expected: (_track: number, seconds: number) => expected * (1 - seconds / 160),
  chance,
  reasons: ['popular'],
});
const question = (over: Partial<PlanQuestion> = {}): PlanQuestion => ({
  candidates: [candidate('a', 5), candidate('b', 4), candidate('c', 3)],
  isHeld: () => false,
  budgetBytes: 1e12,
  freeBytes: 1e12,
  capacityBytes: 1e12,
  options: { leastChance: 0.7, leastPrefixChance: 0.3, prefixSeconds: 30 },
  ...over,
});

describe('a plan', () => {
  test('holds all first 30 s before any of the rest, each title with its playlists and init segments', () => {
    const { items } = planFills(question());
    const firstRest = items.findIndex(({ part }) => part === 'rest');
    expect(items.slice(firstRest).every(({ part }) => part === 'rest')).toBe(true);
    const prefix = items.slice(0, firstRest).map(({ url }) => url);
    for (const id of ['a', 'b', 'c']) {
      expect(prefix).toContain(`/titles/${id}/master.m3u8`);
      for (const track of ['high', 'low', 'sound']) {
        expect(prefix).toContain(`/titles/${id}/abc/${track}/playlist.m3u8`);
        expect(prefix).toContain(`/titles/${id}/abc/${track}/init.mp4`);
        // Segments 0..7 begin before 30 s.
        expect(
          prefix.filter((url) => url.startsWith(`/titles/${id}/abc/${track}/`) && url.endsWith('.m4s')),
        ).toHaveLength(8);
      }
    }
    expect(items).toHaveLength(3 * (1 + 3 * 22));
    expect(items[0]).toMatchObject({ expected: 5, why: expect.stringContaining('popular; 5.0 requests expected') });
  });

  test('what is likely to be watched by nobody stays out, and first seconds need less', () => {
    const { items, skipped } = planFills(question({ candidates: [candidate('a', 1), candidate('b', 0.2)] }));
    // 1 - exp(-1) is 0.63, and 1 - exp(-0.2) is 0.18.
    expect(new Set(items.map(({ part, titleId }) => `${titleId} ${part}`))).toEqual(new Set(['a prefix']));
    expect(items).toHaveLength(1 + 3 * (2 + 8));
    expect(skipped.unlikely).toBe(3 * 12 + 1 + 3 * 22);
    const bold = planFills(
      question({
        candidates: [candidate('a', 1)],
        options: { leastChance: 0.3, leastPrefixChance: 0.3, prefixSeconds: 30 },
      }),
    );
    expect(bold.items).toHaveLength(1 + 3 * 22);
  });

  test('renditions are filled as far as each is expected to be fetched', () => {
    const { timeline } = candidate('a', 1);
    const expected = (track: number) => [0, 4, 4][track] ?? 0;
    const { items } = planFills(question({ candidates: [{ timeline, expected, chance, reasons: [] }] }));
    expect(items.some(({ url }) => url.includes('/high/'))).toBe(false);
    expect(items.filter(({ url }) => url.includes('/low/'))).toHaveLength(22);
  });

  test('keeps within the budget and says what did not fit', () => {
    const plan = planFills(question({ budgetBytes: 5 * SEGMENT_BYTES }));
    expect(plan.bytes).toBeLessThanOrEqual(5 * SEGMENT_BYTES);
    expect(plan.skipped.budget).toBeGreaterThan(0);
    expect(planFills(question({ budgetBytes: 0 })).items).toEqual([]);
  });

  test('a store that cannot hold all: what is barely better than the least that fits stays out, what is clearly better comes in', () => {
    // Room for one and a half of two titles: some of what is held is the least that fits.
    const held = candidate('old', 2);
    const room = 1.5 * 1.6 * 20 * SEGMENT_BYTES;
    const inFor = (expected: number) =>
      planFills(
        question({
          candidates: [held, candidate('new', expected)],
          isHeld: (url) => url.includes('/old/'),
          freeBytes: 0,
          capacityBytes: room / 0.9,
        }),
      );
    expect(inFor(6).items).toHaveLength(1 + 3 * 22);
    expect(inFor(6).displacedBytes).toBe(inFor(6).bytes);
    expect(inFor(6).items[0]?.why).toContain('worth more than what leaves');
    expect(inFor(2.2).items.length).toBeLessThan(40);
    expect(inFor(2.2).skipped.hysteresis).toBeGreaterThan(0);
    expect(inFor(1.3).items).toEqual([]);
  });

  test('protected beginnings come in first, whatever nobody may watch and whatever must leave for them', () => {
    const safe = { ...candidate('safe', 0.01), isProtected: (track: number) => track === 1 };
    const { items } = planFills(
      question({ candidates: [candidate('old', 9), safe], freeBytes: 0, capacityBytes: 1e6 }),
    );
    const own = items.filter(({ titleId }) => titleId === 'safe');
    expect(own.every(({ part, url }) => part === 'prefix' && !url.includes('/high/'))).toBe(true);
    expect(own).toHaveLength(1 + 2 + 8);
    expect(own[0]?.why).toContain('protected');
    const held = planFills(question({ candidates: [safe], isHeld: () => true }));
    expect([held.items, held.skipped.held]).toEqual([[], 1 + 2 + 8]);
    expect(planFills(question({ candidates: [safe], budgetBytes: 0 })).items).toEqual([]);
  });

  test('what is dear at its origin comes first, and may push out what is cheap', () => {
    const dear = { ...candidate('dear', 3), cost: 3 };
    const { items } = planFills(question({ candidates: [candidate('cheap', 4), dear] }));
    expect(items[0]?.titleId).toBe('dear');
    const full = planFills(question({ candidates: [candidate('cheap', 4), dear], freeBytes: 0, capacityBytes: 40e6 }));
    expect(new Set(full.items.map(({ titleId }) => titleId))).toEqual(new Set(['dear']));
  });

  test('for any question: no URL twice, none held, none unlikely, within budget', () => {
    const ids = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 5 });
    const value = fc.double({ min: 0, max: 5, noNaN: true });
    fc.assert(
      fc.property(
        ids.chain((list) => fc.tuple(...list.map((id) => value.map((expected) => candidate(id, expected, 9))))),
        fc.nat(2e8),
        fc.record({ budgetBytes: fc.nat(5e7), freeBytes: fc.nat(5e7), modulus: fc.integer({ min: 2, max: 9 }) }),
        (candidates, capacityBytes, { budgetBytes, freeBytes, modulus }) => {
          const isHeld = (url: string) => url.length % modulus === 0;
          const plan = planFills({ candidates, capacityBytes, budgetBytes, freeBytes, isHeld });
          const urls = plan.items.map(({ url }) => url);
          expect(new Set(urls).size).toBe(urls.length);
          expect(urls.some(isHeld)).toBe(false);
          expect(plan.bytes).toBe(plan.items.reduce((sum, { bytes }) => sum + bytes, 0));
          expect(plan.bytes).toBeLessThanOrEqual(budgetBytes);
          expect(plan.bytes).toBe(Math.min(freeBytes, plan.bytes - plan.displacedBytes) + plan.displacedBytes);
          const isLikely = ({ expected, part }: (typeof plan.items)[number]): boolean =>
            1 - Math.exp(-expected) >= (part === 'prefix' ? 0.6 : 0.75);
          expect(plan.items.every(isLikely)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('a timeline', () => {
  test('of title.json: absolute paths, seconds from ticks, the short-lived playlist above the package', () => {
    const segments = [0, 1].map((index) => ({
      url: `v0/${index}.m4s`,
      startTicks: index * 48,
      ticks: 48,
      bytes: 9,
      shot: 0,
    }));
    const track = {
      codec: 'x',
      peakBandwidthBps: 2,
      averageBandwidthBps: 1,
      initUrl: 'v0/init.mp4',
      initBytes: 7,
      timescale: 24,
      segments,
    };
    const quality = { spatial: 0, temporal: 0, luma: 0, saturation: 0, loudness: 0 };
    const title = titleSchema.parse({
      version: 1,
      id: 't',
      name: 'T',
      hash: '0123456789abcdef',
      durationSeconds: 4,
      source: {
        class: 'mezzanine',
        sha256: '',
        sizeBytes: 1,
        format: '',
        codec: '',
        width: 1,
        height: 1,
        frameRate: 24,
      },
      tools: {},
      metric: { name: 'vmaf', model: '', subsample: 1, notes: [] },
      renditions: [{ ...track, id: 'v0', width: 1, height: 1, frameRate: 24, videoRange: 'SDR', qualityMean: 90 }],
      audio: [],
      text: [],
      shots: [{ startSeconds: 0, durationSeconds: 4, frames: 96, features: quality, quality: {} }],
      images: { poster: 'poster.jpg' },
      savings: { referenceBps: 1, cap: 0, pruning: 0, allocation: 0 },
      cost: { cpuSeconds: 1 },
    });
    const timeline = packageTimeline(title, '/titles/t/0123456789abcdef/');
    expect(timeline.masterUrl).toBe('/titles/t/master.m3u8');
    expect(timeline.tracks[0]).toMatchObject({
      playlistUrl: '/titles/t/0123456789abcdef/v0/playlist.m3u8',
      initUrl: '/titles/t/0123456789abcdef/v0/init.mp4',
      parts: [{ startSeconds: 0 }, { url: '/titles/t/0123456789abcdef/v0/1.m4s', startSeconds: 2, durationSeconds: 2 }],
    });
    expect(placeOf(timeline, '/titles/t/0123456789abcdef/v0/1.m4s')?.index).toBe(1);
    expect(placeOf(timeline, '/titles/t/0123456789abcdef/v0/init.mp4')?.index).toBe(-1);
    expect(placeOf(timeline, '/titles/t/ffff/v0/1.m4s')).toBeUndefined();
  });

  test.each([
    [1e9, 'high'],
    [1.5e6, 'low'],
    [10, 'low'],
  ])('a player on %d bit/s starts on %s', (bandwidth, id) => {
    expect(startupTrack(sampleTimeline('a'), bandwidth)?.id).toBe(id);
  });
});

describe('the breaker', () => {
  test('opens at a quarter of failures, tries one after a pause, and closes on success', () => {
    const breaker = createBreaker({ ...DEFAULT_BREAKER, pauseMs: 100, maxPauseMs: 300 });
    for (let fill = 0; fill < 20; fill += 1) breaker.note(fill % 5 === 4 ? 'bad' : 'good', 0);
    expect(breaker.state(0)).toBe('closed');
    breaker.note('bad', 0);
    expect(breaker.state(0)).toBe('open');
    expect(breaker.waitMs(40)).toBe(60);
    breaker.note('good', 50);
    expect(breaker.state(99)).toBe('open');
    expect(breaker.state(100)).toBe('trial');
    breaker.note('bad', 100);
    expect(breaker.waitMs(100)).toBe(200);
    breaker.note('bad', 300);
    expect(breaker.waitMs(300)).toBe(300);
    breaker.note('good', 600);
    expect(breaker.state(600)).toBe('closed');
    breaker.note('bad', 600);
    expect(breaker.state(600)).toBe('closed');
  });
});

test('the bucket never lets more through than its rate and one second, whatever comes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(500), fc.nat(3000)), { maxLength: 50 }), (steps) => {
      const bucket = createBucket(1000, 0);
      let now = 0;
      let sent = 0;
      for (const [pauseMs, bytes] of steps) {
        now += pauseMs;
        now += bucket.waitMs(now);
        expect(bucket.waitMs(now)).toBe(0);
        expect(sent).toBeLessThanOrEqual(1000 + now);
        bucket.spend(bytes, now);
        sent += bytes;
      }
    }),
  );
});

test('the decision log keeps the latest, newest first, by URL or title', () => {
  const log = createDecisionLog(3);
  for (const at of [1, 2, 3, 4]) {
    log.add({ at, url: `/u${at}`, titleId: `t${at % 2}`, reason: 'hover', why: '', outcome: 'stored', bytes: 1 });
  }
  expect(log.latest(9).map(({ at }) => at)).toEqual([4, 3, 2]);
  expect(log.latest(1)).toHaveLength(1);
  expect(log.latest(9, { url: '/u3' }).map(({ at }) => at)).toEqual([3]);
  expect(log.latest(9, { titleId: 't0' }).map(({ at }) => at)).toEqual([4, 2]);
});
