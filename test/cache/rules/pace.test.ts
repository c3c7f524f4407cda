// When a body is too slow, and how many requests a recovering origin gets.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isTooSlow, rateAt, rateFrom, untilJudged } from '../../../cache/rules/rate.ts';
import {
  afterAnswer,
  FIRST_AT_ONCE,
  hasRoom,
  RECOVERED,
  RECOVERED_AT,
  recovering,
} from '../../../cache/rules/recovery.ts';

describe('the rate of a body', () => {
  test.each([
    ['one byte a second is too slow', 10, 10_000, 1024, true],
    ['just enough is enough', 10_240, 10_000, 1024, false],
    ['one byte less is not', 10_239, 10_000, 1024, true],
    ['without a minimum nothing is too slow', 0, 10_000, 0, false],
  ])('%s', (_name, bytes, ms, minimum, expected) => {
    const rate = { ...rateFrom(500, false), bytes };
    expect(isTooSlow(rateAt(rate, 500 + ms), minimum)).toBe(expected);
  });

  test('time in which nobody takes the body does not count', () => {
    const taken = rateAt(rateFrom(0, false), 400);
    const paused = rateAt({ ...taken, isPaused: true }, 90_000);
    const resumed = rateAt({ ...paused, isPaused: false }, 90_100);
    expect([taken.activeMs, paused.activeMs, resumed.activeMs]).toEqual([400, 400, 500]);
    expect(untilJudged(resumed, 600)).toBe(100);
    expect(untilJudged(resumed, 300)).toBe(0);
  });

  test('a clock that stands or goes back adds nothing', () => {
    expect(rateAt(rateFrom(100, false), 50).activeMs).toBe(0);
  });
});

describe('a recovering origin', () => {
  test('begins with few, and every answer makes room for one more until it has recovered', () => {
    let recovery = recovering();
    for (let answers = 0; answers < RECOVERED_AT - FIRST_AT_ONCE - 1; answers += 1) {
      expect([hasRoom(recovery, FIRST_AT_ONCE + answers - 1), hasRoom(recovery, FIRST_AT_ONCE + answers)]).toEqual([
        true,
        false,
      ]);
      recovery = afterAnswer(recovery);
    }
    expect(afterAnswer(recovery)).toEqual(RECOVERED);
    expect(afterAnswer(RECOVERED)).toEqual(RECOVERED);
    expect(hasRoom(RECOVERED, 1_000_000)).toBe(true);
  });

  test('bodies that never end leave room: heads that wait are never fewer than may begin', () => {
    fc.assert(
      fc.property(fc.nat(200), (answered) => {
        let recovery = recovering();
        for (let count = 0; count < answered; count += 1) recovery = afterAnswer(recovery);
        expect(hasRoom(recovery, answered)).toBe(true);
      }),
    );
  });
});
