// The nightly window on the nights on which clocks are changed: once, neither twice nor never, and as long as it should be.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openNightly } from '../../agent/nightly.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** When a window begins within five hours. */
async function begins(from: string, cron: string, timeZone: string): Promise<readonly string[]> {
  vi.setSystemTime(new Date(from));
  const found: string[] = [];
  const close = openNightly('prefetch.window', { cron, minutes: 240, timeZone }, async () => {
    found.push(new Date().toISOString().slice(5, 16));
  });
  for (let step = 0; step < 5 * 6; step += 1) await vi.advanceTimersByTimeAsync(600_000);
  close();
  return found;
}

test.each([
  ['put forward, at a time that is skipped', '2026-03-28T22:00:00Z', '0 2 * * *', ['03-29T01:00']],
  ['put forward, in the middle of what is skipped', '2026-03-28T22:00:00Z', '30 2 * * *', ['03-29T01:00']],
  ['put forward, on that day of the week alone', '2026-03-28T22:00:00Z', '30 2 * * 0', ['03-29T01:00']],
  ['put forward, on another day of the week', '2026-03-28T22:00:00Z', '30 2 * * 2', []],
  ['put forward, before and after', '2026-03-28T22:00:00Z', '0 1,3 * * *', ['03-29T00:00', '03-29T01:00']],
  ['put back, at a time that comes twice', '2026-10-24T22:00:00Z', '30 2 * * *', ['10-25T01:30']],
  ['left alone', '2026-06-01T22:00:00Z', '0 2 * * *', ['06-02T00:00']],
])('a clock in Berlin is %s', async (_name, from, cron, expected) => {
  expect(await begins(from, cron, 'Europe/Berlin')).toEqual(expected);
});

test('clocks of half an hour, and of no change at all', async () => {
  // Lord Howe Island puts its clock forward by 30 minutes at 2:00, which is 15:30 UTC.
  expect(await begins('2026-10-03T12:00:00Z', '15 2 * * *', 'Australia/Lord_Howe')).toEqual(['10-03T15:30']);
  expect(await begins('2026-03-28T22:00:00Z', '30 2 * * *', 'UTC')).toEqual(['03-29T02:30']);
});

test('a date that no calendar has is told with its key', () => {
  const night = { cron: '0 2 30 2 *', minutes: 1, timeZone: 'UTC' };
  expect(() => openNightly('prefetch.window', night, async () => undefined)).toThrow(/prefetch\.window\.cron/);
});

test('closing ends a run that goes on', async () => {
  vi.setSystemTime(new Date('2026-06-01T01:59:00Z'));
  const signals: AbortSignal[] = [];
  const close = openNightly('x', { cron: '0 2 * * *', minutes: 240, timeZone: 'UTC' }, async (signal) => {
    signals.push(signal);
  });
  await vi.advanceTimersByTimeAsync(120_000);
  expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  close();
  expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
});
