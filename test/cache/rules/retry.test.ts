// Retries and servers as rules: what a budget allows, which server is asked next, what checks of health change.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { afterCheck, UNCHECKED, untilNextCheckMs } from '../../../cache/rules/health.ts';
import {
  afterRequest,
  afterRetry,
  chooseServer,
  isWell,
  openBudget,
  probesBeside,
  RESERVE,
  RESERVE_MS,
  RETRIES_PER_REQUEST,
  retryPauseMs,
  type ServerState,
} from '../../../cache/rules/retry.ts';

describe('a budget of retries', () => {
  test('is a reserve at first, and back after a while', () => {
    let budget = openBudget(0);
    for (let count = 0; count < RESERVE; count += 1) {
      const left = afterRetry(budget, 0);
      expect(left).toBeDefined();
      budget = left ?? budget;
    }
    expect(afterRetry(budget, 0)).toBeUndefined();
    expect(afterRetry(budget, RESERVE_MS / RESERVE + 1)).toBeDefined();
    expect(afterRetry(budget, -1000)).toBeUndefined();
  });

  test('never allows more than its share of the requests, the reserve, and what grows back of it', () => {
    const step = fc.record({ isRetry: fc.boolean(), ms: fc.nat(2000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        let budget = openBudget(0);
        let [now, requests, retries] = [0, 0, 0];
        for (const { isRetry, ms } of steps) {
          now += ms;
          if (!isRetry) {
            budget = afterRequest(budget, now);
            requests += 1;
            continue;
          }
          const left = afterRetry(budget, now);
          if (left === undefined) continue;
          budget = left;
          retries += 1;
        }
        const grown = (now / RESERVE_MS) * RESERVE;
        expect(retries).toBeLessThanOrEqual(requests * RETRIES_PER_REQUEST + RESERVE + grown + 1e-9);
      }),
    );
  });

  test('a busy origin may save up, but not for ever', () => {
    let budget = openBudget(0);
    for (let count = 0; count < 1_000_000; count += 1) budget = afterRequest(budget, 0);
    let retries = 0;
    for (let left = afterRetry(budget, 0); left !== undefined; left = afterRetry(left, 0)) retries += 1;
    expect(retries).toBe(100);
  });

  test.each([
    [0, 0],
    [0.5, 25],
    [1, 50],
  ])('with jitter %d a retry waits %d ms', (jitter, ms) => expect(retryPauseMs(jitter)).toBe(ms));
});

describe('the server that is asked', () => {
  const well: ServerState = { breaker: 'closed', hasRoom: true, isUp: true, failures: 0 };
  const shaky: ServerState = { ...well, failures: 3 };
  const full: ServerState = { ...well, hasRoom: false };
  const due: ServerState = { ...well, breaker: 'probe', failures: 8 };
  const open: ServerState = { ...due, breaker: 'open' };
  const down: ServerState = { ...well, isUp: false };
  test.each<[string, readonly ServerState[], number | undefined, readonly number[]]>([
    ['the first, when all are well', [well, well], 0, []],
    ['the first, though it failed lately', [shaky, well], 0, []],
    ['the next, when the first is open', [open, well], 1, []],
    ['the next, when a probe of the first is due, and the first gets one beside', [due, well], 1, [0]],
    ['the first as its own probe, when the others are open', [due, open], 0, []],
    ['the first as its own probe, and one beside', [due, due], 0, [1]],
    ['the next, when the first has no room', [full, well], 1, []],
    ['the first, to wait there, when none has room', [full, full], 0, []],
    ['the next, when checks say the first is down', [down, well], 1, []],
    ['no probe of one that checks say is down', [{ ...due, isUp: false }, well], 1, []],
    ['one that waits for room before one that is down', [down, full], 1, []],
    ['the first, when checks say that all are down', [down, down], 0, []],
    ['one that only the checks are against, when the others are open', [open, down], 1, []],
    ['none, when all are open', [open, { ...open, isUp: false }], undefined, []],
    ['none of none', [], undefined, []],
  ])('%s', (_name, states, index, probes) => {
    expect(chooseServer(states)).toBe(index);
    expect(probesBeside(states, index)).toEqual(probes);
  });

  test('is well only while nothing speaks against it', () => {
    expect([well, shaky, full, due, open, down].map(isWell)).toEqual([true, false, false, false, false, false]);
  });
});

describe('checks of health', () => {
  const limits = { rise: 2, fall: 3 };
  const after = (results: string) =>
    [...results].reduce((health, result) => afterCheck(health, result === '+', limits), UNCHECKED).isUp;
  test.each([
    ['', true],
    ['--', true],
    ['---', false],
    ['--+--', true],
    ['--+---', false],
    ['---+', false],
    ['---++', true],
    ['---+-+', false],
    ['---+-++', true],
    ['---++--', true],
  ])('after %j: up is %j', (results, isUp) => expect(after(results)).toBe(isUp));

  test('are spread by a quarter of their interval', () => {
    expect([0, 0.5, 1].map((jitter) => untilNextCheckMs(1000, jitter))).toEqual([875, 1000, 1125]);
  });
});
