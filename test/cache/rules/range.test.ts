// Several ranges in one request (RFC 9110 sections 14.2, 14.6, 15.3.7 and 17.15): bounded, disjoint, and whole bytes.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chooseRanges, type Multipart } from '../../../cache/rules/range.ts';
import { readMultipart } from '../multipart.ts';

const frame = () => ({ contentType: 'video/mp4', boundary: 'b-0123456789' });

/** The body that a multipart choice stands for. */
function bodyOf({ parts, tail }: Multipart, whole: Buffer): Buffer {
  const pieces = parts.flatMap(({ head, start, end }) => [Buffer.from(head, 'latin1'), whole.subarray(start, end)]);
  return Buffer.concat([...pieces, Buffer.from(tail)]);
}

describe('several ranges', () => {
  const spread = (count: number) => Array.from({ length: count }, (_, i) => `${i * 100}-${i * 100 + 9}`).join(',');
  test.each([
    ['bytes=0-9,100-109', [0, 100]],
    ['bytes=100-109,0-9', [100, 0]],
    ['bytes=0-9,10-19', [0, 10]],
    ['bytes=0-9,-10', [0, 9990]],
    ['bytes=0-9, 9999-, 20000-', [0, 9999]],
    [`bytes=${spread(16)}`, Array.from({ length: 16 }, (_, i) => i * 100)],
    [`bytes=${spread(17)}`, 'whole'],
    ['bytes=0-9,9-19', 'whole'],
    ['bytes=0-,0-', 'whole'],
    ['bytes=5-9,0-99', 'whole'],
    ['bytes=0-9998,9999-9999', [0, 9999]],
    [`bytes=${Array.from({ length: 1000 }, () => '0-').join(',')}`, 'whole'],
    ['bytes=-0,10000-', 'none'],
    ['bytes=0-9,9-1', 'whole'],
    ['bytes=0-9,20000-', 'part'],
    ['bytes=0-9', 'part'],
    ['lines=0-9,20-29', 'whole'],
  ])('%s of 10 000 bytes', (value, expected) => {
    const range = chooseRanges(value, 10_000, frame);
    expect(range.choice === 'parts' ? range.parts.map(({ start }) => start) : range.choice).toEqual(expected);
  });

  test('a multipart body above 1.1 of a small representation gives way to the whole', () => {
    expect(chooseRanges('bytes=0-0,2-2', 100, frame).choice).toBe('whole');
    expect(chooseRanges('bytes=0-0,2-2', 1000, frame).choice).toBe('parts');
  });

  test('parts read back are the bytes asked for, in that order, disjoint; the total is as said and bounded', () => {
    const spec = (length: number) =>
      fc.oneof(
        {
          weight: 20,
          arbitrary: fc.tuple(fc.nat(length), fc.nat(200)).map(([first, more]) => `${first}-${first + more}`),
        },
        { weight: 1, arbitrary: fc.nat(length).map((first) => `${first}-`) },
        { weight: 2, arbitrary: fc.nat(300).map((suffix) => `-${suffix}`) },
      );
    const sets = fc
      .integer({ min: 1000, max: 20_000 })
      .chain((length) =>
        fc.record({ length: fc.constant(length), specs: fc.array(spec(length), { minLength: 2, maxLength: 18 }) }),
      );
    let multiparts = 0;
    fc.assert(
      fc.property(sets, ({ length, specs }) => {
        const whole = Buffer.from(Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
        const range = chooseRanges(`bytes=${specs.join(',')}`, length, frame);
        if (range.choice !== 'parts') return;
        multiparts += 1;
        const body = bodyOf(range, whole);
        expect(body.length).toBe(range.totalBytes);
        expect(body.length).toBeLessThanOrEqual(length * 1.1);
        const parts = readMultipart(range.contentType, body);
        expect(parts.length >= 2 && parts.length <= 16).toBe(true);
        const taken = new Uint8Array(length);
        for (const { start, end, total, bytes, fields } of parts) {
          expect([total, fields.get('content-type')]).toEqual([length, 'video/mp4']);
          expect(bytes.equals(whole.subarray(start, end))).toBe(true);
          expect(taken.subarray(start, end).every((count) => count === 0)).toBe(true);
          taken.fill(1, start, end);
        }
        const asked = specs.map((text) =>
          text.startsWith('-') ? Math.max(0, length + Number(text)) : Number.parseInt(text, 10),
        );
        const satisfiable = asked.filter((start) => start < length);
        expect(parts.map(({ start }) => start)).toEqual(satisfiable);
      }),
      { numRuns: 500 },
    );
    expect(multiparts).toBeGreaterThan(20);
  });
});
