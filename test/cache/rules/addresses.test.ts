// Addresses of names as rules, and token buckets: when a name is asked for, what is used meanwhile, and what may be taken.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Address,
  ASK_AGAIN_MS,
  afterAddresses,
  afterNoAnswer,
  afterNoConnection,
  GONE_MS,
  hasMoved,
  inTurn,
  isDue,
  KEEP_MS,
  REFRESH_MS,
  TTL_SECONDS,
  UNKNOWN,
  usable,
  withTtl,
} from '../../../cache/rules/addresses.ts';
import { afterTaking, bucketAt, openBucket, waitSeconds } from '../../../cache/rules/bucket.ts';

const at = (...addresses: string[]): readonly Address[] => addresses.map((address) => ({ address, family: 4 }));

describe('a name', () => {
  test('is asked for at first, then after the refresh, after a failure a little later', () => {
    const known = afterAddresses(UNKNOWN, at('1'), 0);
    const failed = afterNoAnswer(known, REFRESH_MS);
    expect([isDue(UNKNOWN, 0), isDue(known, REFRESH_MS - 1), isDue(known, REFRESH_MS)]).toEqual([true, false, true]);
    expect(isDue(failed, REFRESH_MS + ASK_AGAIN_MS - 1)).toBe(false);
    expect(isDue(failed, REFRESH_MS + ASK_AGAIN_MS)).toBe(true);
  });

  test.each<[string, readonly (number | undefined)[], number]>([
    ['its time to live', [20], 20],
    ['the shortest of them', [200, undefined, 40], 40],
    ['at least a second', [0], TTL_SECONDS.least],
    ['at most five minutes', [86_400], TTL_SECONDS.most],
    ['half a minute when none is told', [undefined], REFRESH_MS / 1000],
  ])('an answer counts %s', (_name, ttls, seconds) => {
    const answer = ttls.map((ttl, index) => ({
      ...{ address: `${index}`, family: 4 as const },
      ...(ttl !== undefined && { ttlSeconds: ttl }),
    }));
    const known = afterAddresses(UNKNOWN, answer, 0);
    expect([isDue(known, seconds * 1000 - 1), isDue(known, seconds * 1000)]).toEqual([false, true]);
  });

  test('that cannot be connected to is asked for again as after a failure, whatever its time to live', () => {
    const known = afterNoConnection(afterAddresses(UNKNOWN, [{ address: '1', family: 4, ttlSeconds: 300 }], 0));
    expect([isDue(known, ASK_AGAIN_MS - 1), isDue(known, ASK_AGAIN_MS)]).toEqual([false, true]);
    const short = afterAddresses(UNKNOWN, [{ address: '1', family: 4, ttlSeconds: 2 }], 0);
    expect(afterNoConnection(short)).toBe(short);
  });

  test('is connected to by each of its addresses in turn, the preferred family first, each once', () => {
    const six = { address: '6', family: 6 } as const;
    const order = (answer: readonly Address[]) =>
      [0, 1, 2, 3].map((turn) =>
        inTurn(answer, turn)
          .map(({ address }) => address)
          .join(''),
      );
    expect(order([...at('1', '2', '3'), six])).toEqual(['1236', '2316', '3126', '1236']);
    expect(order([six, ...at('1', '2')])).toEqual(['612', '621', '612', '621']);
    expect([inTurn([six], 5), inTurn([], 1)]).toEqual([[six], []]);
  });

  test.each<[string, string[], string[], number, number | undefined]>([
    ['the same addresses: theirs', ['1', '2'], ['2', '1'], 200, 200],
    ['some of the same: theirs', ['1', '2'], ['2', '3'], 200, 200],
    ['others: half a minute at most', ['1'], ['2'], 200, 30],
    ['others: theirs when it is short', ['1'], ['2'], 5, 5],
    ['nothing: not known', ['1'], [], 5, undefined],
    ['nothing at once: the least', ['1'], ['1'], 0, 1],
    ['days: the most', ['1'], ['1'], 1e6, 300],
  ])('name servers tell %s', (_name, found, told, ttl, counts) => {
    const answer = withTtl(
      at(...found),
      at(...told).map((each) => ({ ...each, ttlSeconds: ttl })),
    );
    expect(answer.map(({ address }) => address)).toEqual(found);
    expect(new Set(answer.map(({ ttlSeconds }) => ttlSeconds))).toEqual(new Set([counts]));
  });

  test('keeps its last good answer for a bounded time', () => {
    const known = afterNoAnswer(afterAddresses(UNKNOWN, at('1', '2'), 0), KEEP_MS - 1);
    expect(usable(known, KEEP_MS - 1)).toEqual(at('1', '2'));
    expect(usable(known, KEEP_MS)).toBeUndefined();
    expect(usable(afterNoAnswer(UNKNOWN, 0), 0)).toBeUndefined();
  });

  test('an answer without addresses is a failure', () => {
    const known = afterAddresses(afterAddresses(UNKNOWN, at('1'), 0), [], 100);
    expect([usable(known, 100), known.answeredAt, known.askedAt]).toEqual([at('1'), 0, 100]);
  });

  test('remembers a bounded number of addresses, however often they change', () => {
    let known = UNKNOWN;
    for (let turn = 0; turn < 500; turn += 1) known = afterAddresses(known, at(`${turn}`, `${turn}a`), turn);
    expect(known.seenAt.size).toBe(64);
    expect(known.seenAt.has('499')).toBe(true);
  });
});

describe('connections', () => {
  const known = afterAddresses(UNKNOWN, at('1', '2'), 0);
  test.each<[string, string[], readonly Address[], number, boolean]>([
    ['stay while the answer stays', ['1', '2'], at('2', '1'), REFRESH_MS, false],
    ['follow at once when none of their addresses is left', ['1', '2'], at('3'), REFRESH_MS, true],
    ['stay when one is missing in one answer', ['1', '2'], at('2', '3'), REFRESH_MS, false],
    ['follow when one has been missing for long', ['1', '2'], at('2', '3'), GONE_MS, true],
    ['stay when the one that is gone was not theirs', ['2'], at('2', '3'), GONE_MS, false],
    ['that were never made have nowhere to follow to', [], at('3'), REFRESH_MS, false],
  ])('%s', (_name, used, answer, later, moved) => {
    expect(hasMoved(new Set(used), afterAddresses(known, answer, later))).toBe(moved);
  });

  test('stay while no answer comes', () => {
    expect(hasMoved(new Set(['1']), afterNoAnswer(known, 10 * GONE_MS))).toBe(false);
    expect(hasMoved(new Set(['1']), UNKNOWN)).toBe(false);
  });
});

describe('a token bucket', () => {
  test.each<[string, number, number, number, number]>([
    ['a full one gives at once', 10, 0, 1, 0],
    ['an empty one in the time of one token, whole seconds', 10, 10, 1, 1],
    ['a slow one later', 0.5, 1, 1, 2],
    ['a debt is paid off first', 100, 1100, 1, 11],
    ['nobody is told to wait for more than a minute', 1, 1e9, 1, 60],
  ])('%s', (_name, perSecond, taken, least, seconds) => {
    expect(waitSeconds(afterTaking(openBucket(perSecond, 0), taken), perSecond, least)).toBe(seconds);
  });

  test('gives no more than a second’s worth and its rate, in any order of asking', () => {
    const asks = fc.array(fc.nat(400), { maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), asks, (perSecond, pauses) => {
        let bucket = openBucket(perSecond, 0);
        let [now, given] = [0, 0];
        for (const ms of pauses) {
          now += ms;
          bucket = bucketAt(bucket, perSecond, now);
          if (waitSeconds(bucket, perSecond, 1) > 0) continue;
          bucket = afterTaking(bucket, 1);
          given += 1;
        }
        expect(given).toBeLessThanOrEqual(perSecond + (perSecond * now) / 1000 + 1e-9);
      }),
    );
  });

  test('who waits as told gets a token', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.nat(5000), (perSecond, taken) => {
        const bucket = afterTaking(openBucket(perSecond, 0), Math.min(taken, perSecond * 50));
        const seconds = waitSeconds(bucket, perSecond, 1);
        expect(waitSeconds(bucketAt(bucket, perSecond, seconds * 1000), perSecond, 1)).toBe(0);
      }),
    );
  });
});
