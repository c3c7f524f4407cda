// The queue in front of the cache's fill(): order, bounds, rate, budget, breaker, and viewers first. The origin's side is
// a fill() that the test completes by hand, so that order comes from events and never from sleeping.
import { describe, expect, test } from 'vitest';
import { createDecisionLog, type Decision } from '../../../agent/prefetch/decisions.ts';
import { type FetcherOptions, type FetchItem, openFetcher } from '../../../agent/prefetch/fetcher.ts';
import { runOffPeak } from '../../../agent/prefetch/offpeak.ts';
import type { FillOptions, FillOutcome } from '../../../cache/cache.ts';
import { sampleTimeline } from './sample.ts';

type Call = { readonly url: string; readonly options: FillOptions; readonly end: (outcome: FillOutcome) => void };
const STORED: FillOutcome = { outcome: 'stored', bytes: 100, status: 200 };
const FAILED: FillOutcome = { outcome: 'failed', reason: 'origin is down' };

/** A fetcher over a fill() that the test ends by hand; aborted fills end as the cache ends them. */
function start(over: Partial<FetcherOptions> = {}) {
  const calls: Call[] = [];
  const held = new Set<string>();
  const day = { left: 1e9 };
  const decisions = createDecisionLog(1000);
  const fetcher = openFetcher({
    fill: (url, options) =>
      new Promise((resolve) => {
        const cancel = () => resolve({ outcome: 'cancelled', reason: 'aborted' });
        options.signal?.addEventListener('abort', cancel);
        calls.push({ url, options, end: resolve });
      }),
    isHeld: (url) => held.has(url),
    budget: {
      leftBytes: () => day.left,
      spend: (bytes) => {
        day.left -= bytes;
      },
    },
    bytesPerSecond: 1e9,
    decisions,
    now: () => Date.now(),
    ...over,
  });
  return { fetcher, calls, held, day, decisions };
}

const item = (url: string, over: Partial<FetchItem> = {}): FetchItem => ({
  url,
  titleId: 't',
  reason: 'off-peak',
  why: 'test',
  priority: 'off-peak',
  bytes: 100,
  ...over,
});
/** Pushes and waits for the end. */
const ended = (fetcher: ReturnType<typeof start>['fetcher'], one: FetchItem): Promise<Decision> =>
  new Promise((resolve) => fetcher.push(one, resolve));
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('the queue', () => {
  test('at most `concurrency` at once, in-session before off-peak, with purpose, priority and a share of the rate', async () => {
    const { fetcher, calls } = start({ concurrency: 2, bytesPerSecond: 1000 });
    for (const url of ['/1', '/2', '/3']) fetcher.push(item(url));
    fetcher.push(item('/now', { priority: 'in-session', reason: 'next-segments' }));
    expect(calls.map(({ url }) => url)).toEqual(['/1', '/2']);
    calls[0]?.end(STORED);
    await turn();
    expect(calls.map(({ url }) => url)).toEqual(['/1', '/2', '/now']);
    expect(calls[2]?.options).toMatchObject({ priority: 'in-session', purpose: 'in-session', bytesPerSecond: 500 });
    expect(fetcher.stats()).toMatchObject({
      queued: 1,
      running: 2,
      outcomes: { stored: 1 },
      storedBytes: { 'off-peak': 100 },
    });
    await fetcher.close();
  });

  test('a URL is queued once; wanted sooner, it moves ahead; held, it is not asked for', async () => {
    const { fetcher, calls, held } = start({ concurrency: 1 });
    held.add('/held');
    expect(fetcher.push(item('/held'))).toBe('held');
    expect(fetcher.push(item('/1'))).toBe('queued');
    expect(fetcher.push(item('/1'))).toBe('duplicate');
    const first = ended(fetcher, item('/2'));
    fetcher.push(item('/3'));
    expect(fetcher.push(item('/3', { priority: 'in-session' }))).toBe('queued');
    expect(fetcher.push(item('/3', { priority: 'in-session' }))).toBe('duplicate');
    held.add('/2');
    calls[0]?.end(STORED);
    await turn();
    calls[1]?.end(STORED);
    expect((await first).outcome).toBe('held');
    expect(calls.map(({ url }) => url)).toEqual(['/1', '/3']);
    await fetcher.close();
  });

  test('is bounded, and cancels what waits and what runs', async () => {
    const { fetcher, calls } = start({ concurrency: 1, maxQueued: 2 });
    const running = ended(fetcher, item('/1'));
    const waiting = ended(fetcher, item('/2'));
    fetcher.push(item('/3', { titleId: 'other' }));
    expect(fetcher.push(item('/4'))).toBe('full');
    expect(fetcher.cancel(({ titleId }) => titleId === 't')).toBe(2);
    expect([(await running).outcome, (await waiting).outcome]).toEqual(['cancelled', 'cancelled']);
    await turn();
    expect(calls.map(({ url }) => url)).toEqual(['/1', '/3']);
    await fetcher.close();
    expect(fetcher.push(item('/5'))).toBe('stopped');
    expect(fetcher.stats()).toMatchObject({ queued: 0, running: 0 });
  });

  test('what expired while it waited is dropped', async () => {
    let now = 1000;
    const { fetcher, calls } = start({ concurrency: 1, now: () => now });
    fetcher.push(item('/1'));
    const late = ended(fetcher, item('/2', { expiresAt: 1500 }));
    now = 1500;
    calls[0]?.end(STORED);
    expect((await late).outcome).toBe('dropped');
    expect(calls).toHaveLength(1);
  });

  test('pauses and goes on; waits while viewers leave no room', async () => {
    let hasRoom = true;
    const { fetcher, calls } = start({ hasRoom: () => hasRoom });
    fetcher.pause();
    fetcher.push(item('/1'));
    expect([calls.length, fetcher.stats().isPaused]).toEqual([0, true]);
    fetcher.resume();
    expect(calls).toHaveLength(1);
    hasRoom = false;
    fetcher.push(item('/2'));
    expect(calls).toHaveLength(1);
    hasRoom = true;
    await expect.poll(() => calls.length).toBe(2);
    await fetcher.close();
  });

  test('an item that may not start yet lets others go before it, and is asked for again', async () => {
    let isFull = true;
    const { fetcher, calls } = start({ mayStart: ({ url }) => !isFull || !url.startsWith('/full') });
    fetcher.push(item('/full/1'));
    fetcher.push(item('/2'));
    expect(calls.map(({ url }) => url)).toEqual(['/2']);
    calls[0]?.end(STORED);
    await turn();
    expect(calls).toHaveLength(1);
    isFull = false;
    await expect.poll(() => calls.length).toBe(2);
    await fetcher.close();
  });
});

describe('limits', () => {
  test('the day budget: what runs is set aside, so that fills at once cannot spend the same bytes', async () => {
    const { fetcher, calls, day } = start({ concurrency: 4 });
    day.left = 250;
    const all = ['/1', '/2', '/3', '/4'].map((url) => ended(fetcher, item(url)));
    expect(calls.map(({ url, options }) => [url, options.maxBytes])).toEqual([['/1', 250]]);
    calls[0]?.end(STORED);
    await turn();
    expect(calls.map(({ url, options }) => [url, options.maxBytes])).toEqual([
      ['/1', 250],
      ['/2', 150],
    ]);
    calls[1]?.end(STORED);
    expect((await Promise.all(all)).map(({ outcome }) => outcome)).toEqual(['stored', 'stored', 'budget', 'budget']);
    expect(day.left).toBe(50);
    await fetcher.close();
  });

  test('the day budget: far from its end it makes nobody wait; what an operator names may be of any size', async () => {
    const { fetcher, calls } = start({ concurrency: 4 });
    for (const url of ['/1', '/2', '/3']) fetcher.push(item(url, { bytes: 0 }));
    fetcher.push(item('/4', { bytes: 0, reason: 'operator', pin: true }));
    const MIB = 1024 * 1024;
    expect(calls.map(({ options }) => [options.maxBytes, options.pin])).toEqual([
      ...['/1', '/2', '/3'].map(() => [64 * MIB, undefined]),
      [undefined, true],
    ]);
    for (const call of calls) call.end(STORED);
    await fetcher.close();
  });

  test('the day budget: what does not fit is not fetched, what was stored is spent, what was there costs nothing', async () => {
    const { fetcher, calls, day } = start({ concurrency: 1 });
    day.left = 150;
    expect((await ended(fetcher, item('/big', { bytes: 151 }))).outcome).toBe('budget');
    const first = ended(fetcher, item('/1'));
    calls[0]?.end(STORED);
    await first;
    expect(day.left).toBe(50);
    expect((await ended(fetcher, item('/2'))).outcome).toBe('budget');
    const there = ended(fetcher, item('/3', { bytes: 0 }));
    calls[1]?.end({ outcome: 'already', bytes: 100, status: 200 });
    expect(await there).toMatchObject({ outcome: 'held' });
    expect(day.left).toBe(50);
  });

  test('the rate: what was overdrawn is waited for', async () => {
    let now = 0;
    const { fetcher, calls } = start({ concurrency: 1, bytesPerSecond: 10_000, now: () => now });
    const first = ended(fetcher, item('/1'));
    calls[0]?.end({ outcome: 'stored', bytes: 10_200, status: 200 });
    await first;
    fetcher.push(item('/2'));
    expect(calls).toHaveLength(1);
    now = 25;
    await expect.poll(() => calls.length).toBe(2);
    await fetcher.close();
  });

  test('a fill that takes too long is aborted and counts as a failure', async () => {
    const { fetcher } = start({ fillTimeoutMs: 20 });
    expect((await ended(fetcher, item('/slow'))).outcome).toBe('failed');
  });

  test('a fill that rejects is an outcome like any other', async () => {
    const { fetcher } = start({ fill: () => Promise.reject(new Error('broken')) });
    expect((await ended(fetcher, item('/1'))).outcome).toBe('failed');
  });
});

describe('an origin in trouble', () => {
  test('stops prefetch: nothing starts, in-session is turned away, one trial brings it back', async () => {
    let now = 0;
    const { fetcher, calls } = start({
      concurrency: 4,
      now: () => now,
      breaker: { window: 20, failureRatio: 0.25, minimum: 5, pauseMs: 50, maxPauseMs: 50 },
    });
    for (let at = 0; at < 10; at += 1) fetcher.push(item(`/${at}`));
    for (let at = 0; at < 5; at += 1) {
      calls[at]?.end(FAILED);
      await turn();
    }
    const before = calls.length;
    expect(fetcher.stats().breaker).toBe('open');
    expect(fetcher.push(item('/now', { priority: 'in-session' }))).toBe('stopped');
    for (const call of calls.slice(5)) call.end(FAILED);
    await turn();
    expect(calls.length).toBe(before);
    now = 60;
    await expect.poll(() => calls.length).toBe(before + 1);
    expect(fetcher.stats().running).toBe(1);
    calls[before]?.end(STORED);
    await turn();
    expect(fetcher.stats().breaker).toBe('closed');
    expect(calls.length).toBe(10);
    await fetcher.close();
  });

  test('a refused object says nothing of the origin', async () => {
    const { fetcher } = start({ fill: () => Promise.resolve({ outcome: 'refused', reason: 'too large' }) });
    for (let at = 0; at < 10; at += 1) expect((await ended(fetcher, item(`/${at}`))).outcome).toBe('refused');
    expect(fetcher.stats().breaker).toBe('closed');
  });
});

describe('a night', () => {
  const demand = () =>
    ['a', 'b', 'sealed'].map((titleId, at) => ({ titleId, score: 0.5 / (at + 1), reasons: ['popular'] }));
  const run = (over: Partial<Parameters<typeof runOffPeak>[0]>, fetcherOver: Partial<FetcherOptions> = {}) => {
    const filled: string[] = [];
    const fill = async (url: string): Promise<FillOutcome> => {
      filled.push(url);
      return { outcome: 'stored', bytes: 1000, status: 200 };
    };
    const { fetcher, decisions, held } = start({ fill, ...fetcherOver });
    const summary = runOffPeak({
      demand,
      timelineOf: async (titleId) => (titleId === 'sealed' ? undefined : sampleTimeline(titleId, 10)),
      isHeld: (url) => held.has(url),
      known: () => [],
      costOf: () => 1,
      open: () => undefined,
      expected: () => 4,
      chance: (_titleId, expected) => 1 - Math.exp(-expected),
      protect: () => undefined,
      isProtected: () => false,
      freeBytes: 1e9,
      capacityBytes: 1e9,
      fetcher,
      budgetBytes: 1e9,
      now: () => Date.now(),
      signal: new AbortController().signal,
      ...over,
    });
    return { summary, filled, fetcher, decisions, held };
  };

  test('reads the timelines of the likeliest titles, no more than its limit, and no longer than a quarter of an hour', async () => {
    const read: string[] = [];
    let nowMs = 0;
    const many = (limit: number) =>
      Array.from({ length: limit }, (_, at) => ({ titleId: `${at}`, score: 1 / (at + 1), reasons: [] }));
    const timelineOf = async (titleId: string) => {
      read.push(titleId);
      nowMs += 300_000;
      return undefined;
    };
    await run({ demand: many, timelineOf, now: () => nowMs }).summary;
    expect(read).toEqual(['0', '1', '2']);
    read.length = 0;
    const hasten = async (titleId: string) => void read.push(titleId);
    expect(await run({ demand: many, timelineOf: hasten }).summary).toMatchObject({ considered: 1000 });
    expect(read).toHaveLength(1000);
  });

  test('fills what it planned, and says of every item why', async () => {
    const { summary, filled, decisions } = run({});
    const done = await summary;
    expect(done).toMatchObject({
      outcome: 'done',
      considered: 3,
      withoutTimeline: 1,
      counts: { stored: 2 * (1 + 3 * 12) },
    });
    expect(done.plan.items).toBe(filled.length);
    expect(done.storedBytes).toBe(1000 * filled.length);
    expect(done.decisions.every(({ why }) => /popular; 4.0 requests expected/.test(why))).toBe(true);
    expect(decisions.latest(1, { titleId: 'b' })[0]).toMatchObject({ reason: 'off-peak', outcome: 'stored' });
  });

  test('what is watched here is considered beside what the demand names, once, and not read', async () => {
    const known = () => ['b', 'watched'].map((titleId) => sampleTimeline(titleId, 1));
    const done = await run({ known }).summary;
    expect(done).toMatchObject({ considered: 3, withoutTimeline: 1, counts: { stored: 2 * (1 + 3 * 12) + 10 } });
    expect(done.decisions.find(({ titleId }) => titleId === 'watched')?.why).toContain('watched here');
  });

  test('a timeline that cannot be read costs that title alone', async () => {
    const timelineOf = async (titleId: string) => {
      if (titleId === 'a') throw new Error('unreadable');
      return sampleTimeline(titleId, 1);
    };
    expect(await run({ timelineOf }).summary).toMatchObject({ outcome: 'done', withoutTimeline: 1 });
  });

  test('the window ends: what waits and runs is cancelled, and the run is over', async () => {
    const window = new AbortController();
    const { fetcher, calls } = start({ concurrency: 2 });
    const { summary } = run({ fetcher, signal: window.signal });
    await expect.poll(() => calls.length).toBe(2);
    window.abort();
    const done = await summary;
    expect(done.outcome).toBe('stopped');
    expect(done.counts).toEqual({ cancelled: done.plan.items });
    expect(fetcher.stats()).toMatchObject({ queued: 0, running: 0 });
  });

  test('no demand, or a window that is over already: nothing is asked for', async () => {
    expect(await run({ demand: () => [] }).summary).toMatchObject({ outcome: 'no-demand', counts: {} });
    const { summary, filled } = run({ signal: AbortSignal.abort() });
    expect((await summary).outcome).toBe('stopped');
    expect(filled).toEqual([]);
  });

  test('each title is opened before its parts are asked for, and the least that fits must be beaten', async () => {
    const opened = new Set<string>();
    const expected = (titleId: string) => {
      expect(opened).toContain(titleId);
      return titleId === 'a' ? 6 : 4;
    };
    const { summary } = run({
      open: ({ titleId }) => opened.add(titleId),
      expected,
      freeBytes: 0,
      capacityBytes: 20e6,
    });
    const { plan, decisions } = await summary;
    expect(new Set(decisions.map(({ titleId }) => titleId))).toEqual(new Set(['a']));
    expect(plan.skipped.hysteresis).toBe(plan.items);
  });
});
