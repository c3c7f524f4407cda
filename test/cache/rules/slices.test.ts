// Blocks of objects that are stored in part: what is asked for, and what a 206 means (RFC 9110 sections 14 and 15.3.7).
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { neededParts } from '../../../cache/rules/range.ts';
import {
  isSameVersion,
  judgePartial,
  planFirstRun,
  planRun,
  SLICE_BYTES,
  sliceAt,
  sliceCount,
  sliceLength,
  unsatisfiedTotal,
  versionOf,
  withoutVersion,
  withVersion,
} from '../../../cache/rules/slices.ts';

const MIB = SLICE_BYTES;

describe('the first run, when nothing is known', () => {
  test.each([
    ['bytes=0-1', 0, 1],
    ['bytes=0-', 0, 8],
    ['bytes=1048575-1048576', 0, 2],
    ['bytes=1048576-1048577', 1, 2],
    ['bytes=3000000-', 2, 10],
    ['bytes=-5', 0, 1],
    ['bytes=-5,2097152-2097153', 2, 3],
    [`bytes=0-${100 * MIB}`, 0, 8],
    ['bytes=99999999999999999999-', 0, 1],
  ])('%s: blocks %i to %i', (range, first, end) => {
    expect(planFirstRun(range)).toEqual({ start: first * MIB, end: end * MIB });
  });

  test.each(['lines=1-2', 'bytes=', 'bytes=9-1', 'bytes=a-b', 'bytes 0-1'])('%s is no range', (range) => {
    expect(planFirstRun(range)).toBeUndefined();
  });
});

test('a run is whole blocks, holds its position, ends at what is there, and is bounded', () => {
  const cases = fc.record({
    total: fc.integer({ min: 1, max: 40 * MIB }),
    from: fc.nat(40 * MIB),
    length: fc.integer({ min: 1, max: 40 * MIB }),
    there: fc.uniqueArray(fc.nat(40)),
  });
  fc.assert(
    fc.property(cases, ({ total, from, length, there }) => {
      const position = from % total;
      const end = Math.min(total, position + length);
      const { start, end: stop } = planRun({ position, end, total }, (index) => there.includes(index));
      expect([start % MIB, stop === total || stop % MIB === 0]).toEqual([0, true]);
      expect(start <= position && position < stop && stop <= total && stop - start <= 8 * MIB).toBe(true);
      expect(stop - end).toBeLessThan(MIB);
      for (let index = sliceAt(start) + 1; index < sliceCount(stop); index += 1) expect(there).not.toContain(index);
      let bytes = 0;
      for (let index = sliceAt(start); index < sliceCount(stop); index += 1) bytes += sliceLength(index, total);
      expect(bytes).toBe(stop - start);
    }),
  );
});

describe('a 206', () => {
  const asked = { start: MIB, end: 3 * MIB };
  const length = 2 * MIB;
  const part = `bytes ${MIB}-${3 * MIB - 1}/${9 * MIB}`;
  test.each([
    ['what was asked for', { etag: '"v"', 'content-range': part }, length, 'slices'],
    ['without a length of its own', { etag: '"v"', 'content-range': part }, undefined, 'slices'],
    ['up to the end', { etag: '"v"', 'content-range': `bytes ${MIB}-${2 * MIB}/${2 * MIB + 1}` }, MIB + 1, 'slices'],
    ['a weak tag', { etag: 'W/"v"', 'content-range': part }, length, 'unsliceable'],
    ['no tag', { 'content-range': part }, length, 'unsliceable'],
    ['less than asked for', { etag: '"v"', 'content-range': `bytes ${MIB}-${MIB}/${9 * MIB}` }, 1, 'unsliceable'],
    [
      'a length not known yet',
      { etag: '"v"', 'content-range': `bytes ${MIB}-${3 * MIB - 1}/*` },
      length,
      'unsliceable',
    ],
    ['several parts', { etag: '"v"', 'content-type': 'multipart/byteranges; boundary=b' }, length, 'unsliceable'],
    ['no Content-Range', { etag: '"v"' }, length, 'invalid'],
    ['another beginning', { etag: '"v"', 'content-range': `bytes 0-${3 * MIB - 1}/${9 * MIB}` }, 3 * MIB, 'invalid'],
    [
      'more than asked for',
      { etag: '"v"', 'content-range': `bytes ${MIB}-${3 * MIB}/${9 * MIB}` },
      length + 1,
      'invalid',
    ],
    ['another length than its range', { etag: '"v"', 'content-range': part }, length - 1, 'invalid'],
    [
      'an end beyond the total',
      { etag: '"v"', 'content-range': `bytes ${MIB}-${3 * MIB - 1}/${2 * MIB}` },
      length,
      'invalid',
    ],
    ['two ranges', { etag: '"v"', 'content-range': `${part}, ${part}` }, length, 'invalid'],
    ['nonsense', { etag: '"v"', 'content-range': 'bytes x-y/z' }, length, 'invalid'],
  ])('with %s', (_name, fields, bytes, verdict) => {
    expect(judgePartial(asked, Object.entries(fields), bytes).verdict).toBe(verdict);
  });

  test('all of a small object needs no tag', () => {
    const whole = judgePartial({ start: 0, end: MIB }, [['content-range', 'bytes 0-9/10']], 10);
    expect(whole).toEqual({ verdict: 'whole', total: 10 });
  });
});

test('a head carries its version, gives it back, and shows viewers nothing of it', () => {
  const headers = [
    ['etag', '"v"'],
    ['x', '1'],
  ] as const;
  const version = { tag: '"v"', total: 5 * MIB, epoch: 'abc' };
  const stored = withVersion(withVersion(headers, { ...version, epoch: 'older' }), version);
  expect(versionOf({ lengthBytes: 0, headers: stored })).toEqual(version);
  expect(withoutVersion(stored)).toEqual(headers);
  expect(versionOf({ lengthBytes: 5, headers: stored })).toBeUndefined();
  expect(versionOf({ lengthBytes: 0, headers })).toBeUndefined();
  expect(isSameVersion(version, { ...version, epoch: 'other' })).toBe(true);
  expect(isSameVersion(version, { ...version, total: 1 })).toBe(false);
  expect(isSameVersion(version, { ...version, tag: '"w"' })).toBe(false);
});

test.each([
  ['bytes */10', 10],
  ['bytes 0-1/10', undefined],
  ['', undefined],
])('a 416 with %s tells the length %s', (value, total) => {
  expect(unsatisfiedTotal(value === '' ? [] : [['content-range', value]])).toBe(total);
});

test.each([
  [undefined, [[0, 100]]],
  ['bytes=5-9', [[5, 10]]],
  ['bytes=5-9,20-', [[5, 10], [20, 100]]], // biome-ignore format: one case a line
  ['bytes=0-50,20-', [[0, 100]]],
  ['bytes=100-', []],
])('%s needs of 100 bytes %j', (range, parts) => {
  expect(neededParts(range, 100).map(({ start, end }) => [start, end])).toEqual(parts);
});
