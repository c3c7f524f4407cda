// How much of a title was watched: from events, from segments, and within what time allows.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  goOn,
  isCompletedAt,
  jump,
  newTrack,
  positionAt,
  QUIET_MS,
  type Track,
  watchedAt,
} from '../../../agent/telemetry/viewing.ts';

const second = 1000;

function playing(positionSeconds: number, rate = 1): Track {
  const track = newTrack('t', 1000, 0);
  goOn(track, 0, positionSeconds);
  return Object.assign(track, { isPlaying: true, rate });
}

describe('a viewing', () => {
  test('goes on with the clock while it plays, at its rate', () => {
    expect(positionAt(playing(100), 10 * second)).toBe(110);
    expect(watchedAt(playing(100), 10 * second)).toBe(10);
    expect(positionAt(playing(100, 2), 10 * second)).toBe(120);
  });

  test('stands while it is halted', () => {
    const track = playing(100);
    goOn(track, 10 * second, 110);
    track.isPlaying = false;
    expect([positionAt(track, 99 * second), watchedAt(track, 99 * second)]).toEqual([110, 10]);
  });

  test('does not count what was jumped over', () => {
    const track = playing(0);
    jump(track, 10 * second, 500);
    expect([positionAt(track, 20 * second), watchedAt(track, 20 * second)]).toEqual([510, 20]);
  });

  test('believes a position that time cannot explain, but not that it was watched', () => {
    const track = playing(0);
    goOn(track, 10 * second, 900);
    expect(positionAt(track, 10 * second)).toBe(900);
    expect(watchedAt(track, 10 * second)).toBe(15);
  });

  test('is not believed to play on for ever after the last sign of life', () => {
    expect(positionAt(playing(0), 10 * QUIET_MS)).toBe(QUIET_MS / 1000);
  });

  test('is read from fetched segments, less the buffer, where a player tells nothing else', () => {
    const track = Object.assign(newTrack('t', 1000, 0), { fetchedSeconds: 60, bufferMs: 12_000 });
    expect([positionAt(track, 0), watchedAt(track, 0)]).toEqual([48, 48]);
  });

  test('is complete from 95 % on, or when the player says that it ended', () => {
    expect(isCompletedAt(playing(949), 0)).toBe(false);
    expect(isCompletedAt(playing(949), 1 * second)).toBe(true);
    expect(isCompletedAt(Object.assign(newTrack('t', undefined, 0), { isEnded: true }), 0)).toBe(true);
  });

  test('never counts more than time and rate allow, whatever is told in whatever order', () => {
    const step = fc.record({ at: fc.nat(3600 * second), positionSeconds: fc.nat(1000), isSeek: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const track = playing(0);
        for (const { at, positionSeconds, isSeek } of steps) (isSeek ? jump : goOn)(track, at, positionSeconds);
        const end = Math.max(0, ...steps.map(({ at }) => at));
        expect(watchedAt(track, end)).toBeLessThanOrEqual(end / 1000 + 5 * steps.length);
        expect(watchedAt(track, end)).toBeGreaterThanOrEqual(0);
        expect(positionAt(track, end)).toBeLessThanOrEqual(1000);
      }),
    );
  });
});
