// What requests alone show: on recorded requests of hls.js and dash.js in Chromium, whose actions are known, and on
// players that do something odd. test/bench/record-actions.ts records anew.
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  beginInference,
  type Inference,
  type Inferred,
  listen,
  type SegmentAsked,
  segmentNumber,
  takeSegment,
} from '../../../agent/telemetry/infer.ts';

const SEGMENT_MS = 2_000;
const TICK_MS = 500;
/** A line of the recording: a request for a segment, or what somebody did. */
type Line = { readonly s: string; readonly t: number; readonly n?: number; readonly a?: string; readonly v?: number };
/** Something inferred, and when it was known. */
type Found = Inferred & { readonly found: number };

const recording = (): ReadonlyMap<string, readonly Line[]> => {
  const text = gunzipSync(readFileSync(new URL('./actions.jsonl.gz', import.meta.url))).toString();
  // Sound: written by test/bench/record-actions.ts.
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return Map.groupBy(lines, ({ s }) => s);
};

/** Plays requests as a node hears them: each when it comes, and silence twice a second. */
function inferAll(lines: readonly Line[]): readonly Found[] {
  const found: Found[] = [];
  let state: Inference | undefined;
  let next = 0;
  const last = lines.at(-1)?.t ?? 0;
  for (let now = lines[0]?.t ?? 0; now <= last; now += TICK_MS) {
    for (; (lines[next]?.t ?? Number.POSITIVE_INFINITY) <= now; next += 1) {
      const line = lines[next];
      if (line?.n === undefined) continue;
      const asked = { at: line.t, titleId: 'title', number: line.n, seconds: SEGMENT_MS / 1000 };
      if (state === undefined) state = beginInference(asked);
      else found.push(...takeSegment(state, asked).map((one) => ({ ...one, found: line.t })));
    }
    if (state !== undefined) found.push(...listen(state, now, false).map((one) => ({ ...one, found: now })));
  }
  return found;
}

/** How many actions of a kind were recognised within a time, and what was inferred that nobody did. */
function compare(lines: readonly Line[], type: string, withinMs: number) {
  const found = inferAll(lines).filter((one) => one.type === type);
  const done = lines.filter(({ a }) => a === type);
  const unmatched = new Set(found);
  let recognised = 0;
  for (const { t, v } of done) {
    const match = [...unmatched].find(
      (one) => one.found >= t && one.found <= t + withinMs && (type !== 'rate' || one.rate === v),
    );
    if (match === undefined) continue;
    recognised += 1;
    unmatched.delete(match);
  }
  return { done: done.length, recognised, wrong: unmatched.size };
}

describe('recorded players', () => {
  const sessions = [...recording().values()];
  const sum = (type: string, segments: number) => {
    const parts = sessions.map((lines) => compare(lines, type, segments * SEGMENT_MS));
    const total = (key: 'done' | 'recognised' | 'wrong') => parts.reduce((all, part) => all + part[key], 0);
    return { done: total('done'), ratio: total('recognised') / total('done'), wrong: total('wrong') };
  };

  test('did at least 200 things, in both players', () => {
    const players = new Set(sessions.map((lines) => lines[0]?.s.split('-')[0]));
    expect([...players].sort()).toEqual(['dash.js', 'hls.js']);
    expect(sessions.flat().filter(({ a }) => a !== undefined).length).toBeGreaterThanOrEqual(200);
  });

  test('a pause is recognised within two segments in at least 95 of 100, and hardly one where nobody paused', () => {
    const { done, ratio, wrong } = sum('pause', 2);
    expect(done).toBeGreaterThanOrEqual(60);
    expect(ratio).toBeGreaterThanOrEqual(0.95);
    expect(wrong / done).toBeLessThanOrEqual(0.05);
  });

  test.each([
    ['play', 2, 0.95, 0.05],
    ['seek', 1, 0.95, 0.05],
    ['rate', 7, 0.9, 0.2],
  ])('%s is recognised within %i segments', (type, segments, most, wrongRatio) => {
    const { done, ratio, wrong } = sum(type, segments);
    expect(ratio).toBeGreaterThanOrEqual(most);
    expect(wrong / done).toBeLessThanOrEqual(wrongRatio);
  });
});

describe('players', () => {
  const ask = (number: number, at: number, titleId = 't'): SegmentAsked => ({ number, at, titleId, seconds: 2 });
  const play = (asked: readonly SegmentAsked[]): Inference => {
    const [first = ask(0, 0), ...others] = asked;
    const state = beginInference(first);
    for (const one of others) takeSegment(state, one);
    return state;
  };
  const steady = (count: number, step = 1) => Array.from({ length: count }, (_, at) => ask(at * step, at * 2_000));

  test('one who pauses is told once, and told to play on again', () => {
    const state = play(steady(5));
    expect(listen(state, 10_900, false)).toEqual([]);
    expect(listen(state, 11_100, false)).toMatchObject([{ type: 'pause', at: 8_000, confidence: 0.85 }]);
    expect(listen(state, 20_000, false)).toEqual([]);
    expect(takeSegment(state, ask(5, 30_000))).toMatchObject([{ type: 'play', at: 30_000 }]);
  });

  test('the end of a title is no pause, nor is somebody who left long ago', () => {
    expect(listen(play(steady(5)), 60_000, true)).toEqual([]);
    expect(listen(play(steady(5)), 8_000 + 31 * 60_000, false)).toEqual([]);
  });

  test('another title, the same segment of another rendition, and requests out of order show nothing', () => {
    const state = play(steady(5));
    expect(takeSegment(state, ask(4, 9_000))).toEqual([]);
    expect(takeSegment(state, ask(2, 1_000))).toEqual([]);
    expect(takeSegment(state, ask(90, 10_000, 'other'))).toEqual([]);
    expect(state.titleId).toBe('other');
  });

  test('segments numbered by time are one step apart', () => {
    const state = play(steady(6, 180_000));
    expect(takeSegment(state, ask(6 * 180_000, 12_000))).toEqual([]);
    expect(takeSegment(state, ask(60 * 180_000, 12_200))).toMatchObject([{ type: 'seek', confidence: 0.95 }]);
    expect(takeSegment(state, ask(58 * 180_000, 12_400))).toMatchObject([{ type: 'seek' }]);
  });

  test('a skipped segment may have come from the browser: a seek, but not a sure one', () => {
    expect(takeSegment(play(steady(5)), ask(6, 9_900))).toMatchObject([{ type: 'seek', confidence: 0.6 }]);
  });

  test.each([
    ['/t/chunk-stream0-00012.m4s', 12],
    ['/t/v0_007.ts', 7],
    ['/t/123456789012.m4s', 123_456_789_012],
    ['/t/init.mp4', undefined],
    ['/t/12/video.m4s', undefined],
    ['', undefined],
  ])('the number in %s is %s', (path, number) => {
    expect(segmentNumber(path)).toBe(number);
  });

  test('any requests give finite, bounded inferences and a state of fixed size', () => {
    const asked = fc.record({
      at: fc.integer({ min: -1e6, max: 1e9 }),
      number: fc.integer({ min: 0, max: 1e15 }),
      titleId: fc.constantFrom('a', 'b'),
      seconds: fc.double({ min: 0.01, max: 600, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(asked, { minLength: 1, maxLength: 60 }), (all) => {
        const [first = ask(0, 0), ...others] = all;
        const state = beginInference(first);
        for (const one of others) {
          for (const { confidence, at } of [...takeSegment(state, one), ...listen(state, one.at + 1e5, false)]) {
            expect(confidence).toBeGreaterThan(0);
            expect(confidence).toBeLessThanOrEqual(1);
            expect(Number.isFinite(at)).toBe(true);
          }
          expect(state.paces.length).toBeLessThanOrEqual(4);
        }
      }),
    );
  });
});
