// The pacer over processes that only remember what they were told, with virtual time.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createPacer, createWatchdog, type Pacer } from '../../../encoder/ffmpeg/pacer.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => vi.useRealTimers());

/** A process that counts the milliseconds in which it ran. */
function processOf(pacer: Pacer) {
  let ranMs = 0;
  let since: number | undefined = performance.now();
  const look = (): number => ranMs + (since === undefined ? 0 : performance.now() - since);
  const end = pacer.track({
    kill: (signal) => {
      ranMs = look();
      since = signal === 'SIGSTOP' ? undefined : performance.now();
    },
    onHeld: () => undefined,
  });
  return { end, ranMs: look, isHeld: () => since === undefined };
}

describe('a pace', () => {
  test.each([
    [1, 4, 4],
    [0.5, 4, 2],
    [0.6, 4, 3],
    [0.01, 4, 1],
    [0.3, 1, 1],
    [0, 4, 0],
  ])('of %d of %d processes gives %d slots', (pace, parallel, slots) => {
    const pacer = createPacer(parallel);
    pacer.setPace(pace, 0);
    expect(pacer.slots()).toBe(slots);
    pacer.close();
  });

  test.each([0.1, 0.25, 0.5, 0.9, 1])('of %d lets one process run so much of the time', (pace) => {
    const pacer = createPacer(1);
    const child = processOf(pacer);
    pacer.setPace(pace, 0);
    vi.advanceTimersByTime(100_000);
    expect(child.ranMs() / 100_000).toBeCloseTo(pace, 1);
    pacer.close();
  });

  test('that falls holds more processes than it has slots to their share, all of them', () => {
    const pacer = createPacer(4);
    const children = Array.from({ length: 4 }, () => processOf(pacer));
    pacer.setPace(0.5, 0);
    vi.advanceTimersByTime(50_000);
    const ran = children.reduce((sum, child) => sum + child.ranMs(), 0);
    expect(ran / 50_000).toBeCloseTo(2, 1);
    for (const child of children.slice(2)) child.end();
    const before = children[0]?.ranMs() ?? 0;
    vi.advanceTimersByTime(10_000);
    // Two are left in two slots: they run all of the time.
    expect((children[0]?.ranMs() ?? 0) - before).toBeGreaterThan(9_000);
    pacer.close();
  });
});

describe('a pause', () => {
  test('stops at once without grace, and is said to be complete', () => {
    const pacer = createPacer(2);
    const child = processOf(pacer);
    const changes: boolean[] = [];
    pacer.onChange(() => changes.push(pacer.isStill()));
    vi.advanceTimersByTime(100);
    pacer.setPace(0, 0);
    expect([child.isHeld(), child.ranMs(), changes]).toEqual([true, 100, [true]]);
    pacer.setPace(1, 0);
    vi.advanceTimersByTime(50);
    expect([child.isHeld(), child.ranMs(), changes]).toEqual([false, 150, [true, false]]);
    pacer.close();
  });

  test('with grace lets a process reach its end, and stops the one that does not', () => {
    const pacer = createPacer(2);
    const [quick, slow] = [processOf(pacer), processOf(pacer)];
    const changes: boolean[] = [];
    pacer.onChange(() => changes.push(pacer.isStill()));
    pacer.setPace(0, 30_000);
    vi.advanceTimersByTime(10_000);
    quick.end();
    expect([pacer.slots(), slow.isHeld(), changes]).toEqual([0, false, []]);
    vi.advanceTimersByTime(20_000);
    expect([slow.isHeld(), slow.ranMs(), changes]).toEqual([true, 30_000, [true]]);
    pacer.close();
  });

  test('within which all processes end is complete with the last', () => {
    const pacer = createPacer(1);
    const child = processOf(pacer);
    let complete = 0;
    pacer.onChange(() => {
      complete += 1;
    });
    pacer.setPace(0, 30_000);
    expect(complete).toBe(0);
    child.end();
    expect([complete, pacer.isStill()]).toEqual([1, true]);
    pacer.close();
  });

  test('holds what begins meanwhile, and closing lets everything go', () => {
    const pacer = createPacer(1);
    pacer.setPace(0, 0);
    const child = processOf(pacer);
    expect(child.isHeld()).toBe(true);
    pacer.close();
    expect(child.isHeld()).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a watchdog', () => {
  test('counts only the time in which its process runs', () => {
    let isExpired = false;
    const watchdog = createWatchdog(1_000, () => {
      isExpired = true;
    });
    for (let beat = 0; beat < 9; beat += 1) {
      vi.advanceTimersByTime(100);
      watchdog.hold(true);
      vi.advanceTimersByTime(60_000);
      watchdog.hold(false);
    }
    expect(isExpired).toBe(false);
    vi.advanceTimersByTime(100);
    expect(isExpired).toBe(true);
  });

  test('starts anew with progress, also while its process is held, and ends with clear()', () => {
    let expired = 0;
    const watchdog = createWatchdog(1_000, () => {
      expired += 1;
    });
    vi.advanceTimersByTime(900);
    watchdog.refresh();
    vi.advanceTimersByTime(900);
    watchdog.hold(true);
    watchdog.refresh();
    watchdog.hold(false);
    vi.advanceTimersByTime(999);
    expect(expired).toBe(0);
    watchdog.clear();
    vi.advanceTimersByTime(10_000);
    expect(expired).toBe(0);
  });
});
