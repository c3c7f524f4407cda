// Prefetch goes off by itself when it surely costs the origin too much, stays off for longer each time, and comes back.
import { describe, expect, test } from 'vitest';
import { isTooDear, openSwitch } from '../../../agent/prefetch/switch.ts';
import { openMeter, type PrefetchCost } from '../../../agent/simulate/meter.ts';

const HOUR_MS = 3_600_000;
const START = Date.UTC(2026, 0, 1);
const estimate = (value: number, margin = 0) => ({ value, low: value - margin, high: value + margin });
/** A cost as a share of 1000 bytes, measured over 12 h. */
const costing = (ratio: number, margin = 0, over: Partial<PrefetchCost> = {}): PrefetchCost => ({
  ...{ hours: 12, originBytes: estimate(1000 * ratio, 1000 * margin), originP95: estimate(0), withoutBytes: 1000 },
  ...over,
});

describe('too dear is', () => {
  test.each<readonly [string, PrefetchCost, boolean]>([
    ['what surely costs more than it may', costing(0.3, 0.1), true],
    ['not what may cost less', costing(0.3, 0.2), false],
    ['not what saves', costing(-0.3, 0.1), false],
    ['not what was measured for an hour', costing(0.5, 0, { hours: 1 }), false],
    ['not what spares the peak for sure', costing(0.3, 0, { hours: 24, originP95: estimate(-5, 1) }), false],
    ['what may spare the peak, or not', costing(0.3, 0, { hours: 24, originP95: estimate(-5, 6) }), true],
    ['not what nothing would have been fetched without', costing(1, 0, { withoutBytes: 0 }), false],
  ])('%s', (_name, cost, isDear) => {
    expect(isTooDear(cost, 0.15)).toBe(isDear);
  });
});

function start(saved = new Map<string, string>()) {
  let now = START;
  let cost: PrefetchCost | Error = costing(0);
  const asked: number[] = [];
  const events: string[] = [];
  const open = () =>
    openSwitch({
      maxCostRatio: 0.15,
      cost: async (sinceMs) => {
        asked.push(sinceMs);
        if (cost instanceof Error) throw cost;
        return cost;
      },
      snapshots: { get: (name) => saved.get(name), put: (name, json) => void saved.set(name, json) },
      onOff: () => events.push('off'),
      now: () => now,
      log: (_level, event) => events.push(event),
    });
  const pass = (hours: number, next: PrefetchCost | Error = cost) => {
    now += hours * HOUR_MS;
    cost = next;
  };
  return { it: open(), open, pass, events, asked, saved };
}

describe('the switch', () => {
  test('goes off, says so and what it measured, comes back after 6 h, then after 12', async () => {
    const { it, pass, events, asked } = start();
    pass(12, costing(0.05));
    await it.look();
    expect(it.isOn()).toBe(true);
    pass(1, costing(0.4, 0.1));
    await it.look();
    expect(it.isOn()).toBe(false);
    expect(events).toEqual(['prefetch.switched-off', 'off']);
    expect(it.stats()).toMatchObject({ offs: 1, retryAt: START + 19 * HOUR_MS });
    expect(it.stats().because).toBe("over 12.0 h it cost 40.0 % of the origin's bytes (30.0 % to 50.0 %)");
    pass(5.9);
    await it.look();
    expect(it.isOn()).toBe(false);
    pass(0.1);
    await it.look();
    expect(it.isOn()).toBe(true);
    expect(events.at(-1)).toBe('prefetch.retried');
    // It is judged by what it costs from now on alone.
    pass(7);
    await it.look();
    expect(asked.at(-1)).toBe(START + 19 * HOUR_MS);
    expect(it.stats().retryAt).toBe(START + (19 + 7 + 12) * HOUR_MS);
  });

  test('that has been on for a day is forgiven', async () => {
    const { it, pass } = start();
    pass(12, costing(0.4));
    await it.look();
    pass(6);
    await it.look();
    pass(24, costing(0, 0, { hours: 24 }));
    await it.look();
    pass(12, costing(0.4));
    await it.look();
    expect(it.stats().retryAt).toBe(START + (12 + 6 + 24 + 12 + 6) * HOUR_MS);
  });

  test('stays as it was over a restart, and begins on when what was kept cannot be read', async () => {
    const { it, open, pass, saved } = start();
    pass(12, costing(0.4));
    await it.look();
    expect(open().isOn()).toBe(false);
    for (const json of ['{', '{}', '{"version":2,"isOn":false}', 'null']) {
      saved.set('prefetch-switch', json);
      expect(open().isOn()).toBe(true);
    }
  });

  test('stays as it is when the meter fails', async () => {
    const { it, pass, events } = start();
    pass(12, new Error('broken'));
    await it.look();
    expect(it.isOn()).toBe(true);
    expect(events).toEqual(['prefetch.not-judged']);
  });
});

test('the meter tells what prefetch cost since a time, and nothing of before', async () => {
  let now = START;
  const meter = openMeter({
    diskBytes: 1e9,
    days: { get: () => undefined, put: () => undefined },
    now: () => now,
    maxRatio: 1,
  });
  const outcome = { outcome: 'stored', bytes: 1000, status: 200 } as const;
  // Of a cache the meter calls fill() and has() alone.
  const watched = meter.watch({
    fill: () => Promise.resolve(outcome),
    has: (url: string) => ({ key: url }),
  } as unknown as Parameters<typeof meter.watch>[0]);
  const fill = (url: string) => watched.fill(url, { priority: 'in-session', purpose: 'in-session' });
  const ask = (key: string) => meter.served({ at: now, key, status: 200, result: 'miss', bytes: 1000 });
  // In the first hour all that is fetched ahead is wasted, in the second nothing is fetched ahead.
  for (let index = 0; index < 100; index += 1) await fill(`/wasted-${index}`);
  for (let index = 0; index < 50; index += 1) ask(`/asked-${index}`);
  now += HOUR_MS;
  for (let index = 0; index < 50; index += 1) ask(`/later-${index}`);
  now += HOUR_MS;
  ask('/last');
  const all = await meter.prefetchCost(START - HOUR_MS);
  expect(all.originBytes.value).toBe(100_000);
  expect(all.withoutBytes).toBe(101_000);
  const later = await meter.prefetchCost(START + HOUR_MS / 2);
  expect(later.originBytes.value).toBe(0);
  expect(later.hours).toBeCloseTo(1.5, 1);
});
