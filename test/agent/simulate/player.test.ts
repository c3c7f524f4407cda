// The simulated site: players play, wait, stall and switch as they should, prefetch helps and never takes what a viewer
// waits for, and the same seed gives the same figures.
import { describe, expect, test } from 'vitest';
import { SIMULATED_PRIOR } from '../../../agent/predict/anticipate-prior.ts';
import { Player, type Transfer } from '../../../agent/simulate/player.ts';
import { SiteEdge } from '../../../agent/simulate/player-edge.ts';
import { drawViewings } from '../../../agent/simulate/player-habits.ts';
import { runSite, type SiteOptions } from '../../../agent/simulate/player-site.ts';
import { drawTitles, SEGMENT_SECONDS } from '../../../agent/simulate/player-titles.ts';
import { seededChance } from '../../../agent/simulate/workload.ts';

const [title] = drawTitles(seededChance(1));
if (title === undefined) throw new Error('no title');
const { timeline } = title;

/** A player behind a network of so many bits per second. */
function watch(bps: () => number, abr: 'throughput' | 'buffer' = 'throughput') {
  const asked: string[] = [];
  let now = 0;
  const running = new Set<Transfer>();
  const player = new Player(
    {
      request: (url, bytes) => {
        const transfer = { url, bytes, isHit: true, startedMs: now, received: 0 };
        running.add(transfer);
        asked.push(url);
        return transfer;
      },
      abandon: (transfer) => running.delete(transfer),
    },
    abr,
    () => undefined,
  );
  player.open(timeline);
  const play = (seconds: number) => {
    for (let step = 0; step < seconds * 50; step += 1) {
      now += 20;
      for (const transfer of running) {
        transfer.received = Math.min(transfer.bytes, transfer.received + (bps() * 20) / 8000);
        if (transfer.received >= transfer.bytes) running.delete(transfer);
      }
      player.step(now, 20);
    }
  };
  return { player, play, asked };
}

describe('a player', () => {
  test.each(['throughput', 'buffer'] as const)(
    'by %s: plays in real time, and climbs to the top of a wide network',
    (abr) => {
      const { player, play, asked } = watch(() => 50_000_000, abr);
      play(60);
      expect(player.positionSeconds).toBeGreaterThan(57);
      expect(player.stalls).toBe(0);
      expect(asked[0]).toBe(timeline.masterUrl);
      expect(asked.at(-1)).toMatch(/\/4\/\d+\.m4s$/);
      // It is at most its buffer ahead.
      expect(asked.length).toBeLessThan(8 + (60 + 30 + 2 * SEGMENT_SECONDS) / SEGMENT_SECONDS);
    },
  );

  test('stays below what a narrow network gives, and comes down when it narrows', () => {
    let bps = 3_000_000;
    const { player, play, asked } = watch(() => bps);
    play(60);
    expect(asked.at(-1)).toMatch(/\/2\/\d+\.m4s$/);
    bps = 700_000;
    play(120);
    expect(asked.at(-1)).toMatch(/\/0\/\d+\.m4s$/);
    expect(player.stalls).toBeLessThan(3);
  });

  test('stalls without a network, and goes on when it is back', () => {
    let bps = 20_000_000;
    const { player, play } = watch(() => bps);
    play(30);
    bps = 0;
    play(60);
    expect(player.stalls).toBe(1);
    expect(player.stalledMs).toBeGreaterThan(20_000);
    const { positionSeconds } = player;
    bps = 20_000_000;
    play(10);
    expect(player.positionSeconds).toBeGreaterThan(positionSeconds + 5);
  });

  test('asks for nothing when it jumps within its buffer, and waits when it jumps out of it', () => {
    const { player, play } = watch(() => 20_000_000);
    play(30);
    expect(player.seek(player.positionSeconds + 10)).toBe(false);
    expect(player.seek(player.positionSeconds + 600)).toBe(true);
    play(2);
    expect(player.waitedMs).toBeGreaterThan(0);
    expect(player.waitedMs).toBeLessThan(2000);
  });
});

describe('the edge', () => {
  const link = { originMs: 80, fetchBps: 8_000_000, originBps: 8_000_000, edgeMs: 10 };
  const open = () =>
    new SiteEdge({
      ...{ link, cacheBytes: 1e9, prefetch: true, maxWastedRatio: 0.2 },
      ...{ kept: new Set<string>(), warm: new Map<string, number>() },
      titles: new Map([[timeline.titleId, timeline]]),
      nextOf: () => undefined,
    });
  const track = timeline.tracks[4];
  const calm = { continue: 0.98, pause: 0.005, seek: 0.005, next: 0.005, leave: 0.005 };
  const [first, second] = track?.parts ?? [];
  if (first === undefined || second === undefined) throw new Error('no segments');

  /** Milliseconds until a viewer has a segment. */
  const waitFor = (edge: SiteEdge, part: typeof first, from: number): number => {
    let tookMs = 0;
    edge.request(part.url, part.bytes ?? 0, {
      bps: () => 1e9,
      onEnd: (_transfer, ms) => {
        tookMs = ms;
      },
    });
    for (let now = from; tookMs === 0 && now < from + 60_000; now += 10) edge.step(now, 10);
    return tookMs;
  };

  test('gives viewers of the origin what they would have without prefetch, but for what keeps its connections alive', () => {
    const alone = waitFor(open(), second, 0);
    const edge = open();
    const viewing = { sid: 's', throughputKbps: 50_000 };
    edge.served(first.url, timeline.titleId, viewing, calm);
    edge.step(0, 10);
    const far = track?.parts[200];
    expect(far).toBeDefined();
    if (far === undefined) return;
    const beside = waitFor(edge, far, 10);
    const expected = alone * ((far.bytes ?? 0) / (second.bytes ?? 1));
    expect(beside).toBeLessThan(expected * 1.15);
  });

  test('has what comes next by the time it is asked for', () => {
    const edge = open();
    edge.served(first.url, timeline.titleId, { sid: 's', throughputKbps: 50_000 }, calm);
    for (let now = 0; now < 8000; now += 10) edge.step(now, 10);
    expect(edge.holds(second.url)).toBe(true);
    expect(waitFor(edge, second, 8000)).toBeLessThan(100);
    expect(edge.figures.prefetchBytes).toBeGreaterThan(second.bytes ?? 0);
  });

  test('gives up what a viewer who has left would have asked for', () => {
    const edge = open();
    edge.served(first.url, timeline.titleId, { sid: 's', throughputKbps: 50_000 }, calm);
    for (let now = 0; now < 500; now += 10) edge.step(now, 10);
    const before = edge.figures.prefetchBytes;
    edge.happened({ type: 'stop', titleId: timeline.titleId, sid: 's' });
    for (let now = 500; now < 5000; now += 10) edge.step(now, 10);
    expect(edge.figures.prefetchBytes).toBe(before);
  });
});

describe('a site', () => {
  const options = (prefetch: boolean): SiteOptions => ({
    ...{ seed: 5, prefetch, viewers: 2, hours: 0.4, warmUpHours: 0, cacheRatio: 0.05, keptRatio: 0.3 },
    link: { originMs: 80, fetchBps: 8_000_000, originBps: 16_000_000, edgeMs: 15 },
    ...{ maxWastedRatio: 0.2, prior: SIMULATED_PRIOR },
  });

  test('of one seed is always the same, starts from the cache with prefetch, and not without', () => {
    const withIt = runSite(options(true));
    expect(runSite(options(true))).toEqual(withIt);
    expect(withIt.startRequests).toBeGreaterThan(0);
    expect(withIt.startHits / withIt.startRequests).toBeGreaterThan(0.9);
    const without = runSite(options(false));
    expect(without.prefetchBytes).toBe(0);
    expect(without.startHits).toBeLessThan(without.startRequests);
    expect(withIt.contentSwitchMs).toBeLessThan(without.contentSwitchMs);
  });
});

test('viewings without a network: each second has one outcome, and every one of them comes about', () => {
  const seconds = drawViewings(3, 200).flat();
  const outcomes = new Map<string, number>();
  for (const { outcome } of seconds) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  expect([...outcomes.keys()].sort()).toEqual(['continue', 'leave', 'next', 'pause', 'seek']);
  expect((outcomes.get('continue') ?? 0) / seconds.length).toBeGreaterThan(0.9);
  expect(drawViewings(3, 20)).toEqual(drawViewings(3, 200).slice(0, 20));
});
