// Which damage to a block of 1 MiB its GMAC catches for certain (FORMAT.md, Checksums): all of it is tried.
import { createCipheriv } from 'node:crypto';
import { expect, test } from 'vitest';
import { BLOCK_BYTES, blockChecksum } from '../../cache/store/checksum.ts';

const BITS = BLOCK_BYTES * 8;
const BURST_BITS = 28;
const OWNER = { id: 1, key: 'key', variant: '' };

/** An element of GHASH's field: 128 bits, the coefficient of x^0 first. */
type Element = readonly [number, number, number, number];

function timesX([a, b, c, d]: Element): Element {
  const reduced = d & 1 ? 0xe1000000 : 0;
  return [(a >>> 1) ^ reduced, (b >>> 1) | (a << 31), (c >>> 1) | (b << 31), (d >>> 1) | (c << 31)];
}

/** The product of a field element and the one whose multiples by x^0 to x^127 are given (SP 800-38D, algorithm 1). */
function times(element: Element, multiples: readonly Element[]): Element {
  let [a, b, c, d] = [0, 0, 0, 0];
  multiples.forEach((multiple, bit) => {
    if (((element[bit >> 5] ?? 0) >>> (31 - (bit & 31))) & 1) {
      a ^= multiple[0];
      b ^= multiple[1];
      c ^= multiple[2];
      d ^= multiple[3];
    }
  });
  return [a, b, c, d];
}

/**
 * What each flipped bit of a block changes in the checksum, most significant bit of a byte first: 24 and 24 bits. GHASH is
 * linear, so it depends on the place of the bit alone: x^i times H^k, k from 2 at the last 16 bytes on.
 */
function differences(): { readonly high: Int32Array; readonly low: Int32Array } {
  const [high, low] = [new Int32Array(BITS), new Int32Array(BITS)];
  const h = createCipheriv('aes-128-ecb', 'Nearcast  blocks', null).update(Buffer.alloc(16));
  const multiples: Element[] = [[h.readInt32BE(0), h.readInt32BE(4), h.readInt32BE(8), h.readInt32BE(12)]];
  for (let last = multiples[0]; last !== undefined && multiples.length < 128; ) {
    last = timesX(last);
    multiples.push(last);
  }
  let power = times([1 << 31, 0, 0, 0], multiples);
  for (let start = BITS - 128; start >= 0; start -= 128) {
    power = times(power, multiples);
    let element = power;
    for (let bit = start; bit < start + 128; bit += 1) {
      high[bit] = element[0] >>> 8;
      low[bit] = ((element[0] & 0xff) << 16) | (element[1] >>> 16);
      element = timesX(element);
    }
  }
  return { high, low };
}

test('the differences are those of the checksum', () => {
  const { high, low } = differences();
  const block = Buffer.alloc(BLOCK_BYTES, 'x');
  const right = blockChecksum(OWNER, 0, block);
  for (let bit = 0; bit < BITS; bit += bit < 300 ? 1 : 99_991) {
    block[bit >> 3] = (block[bit >> 3] ?? 0) ^ (128 >> (bit & 7));
    const changed = Buffer.alloc(8);
    changed.writeBigUInt64LE(BigInt(right) ^ BigInt(blockChecksum(OWNER, 0, block)));
    expect([changed.readUIntBE(0, 3), changed.readUIntBE(3, 3)]).toEqual([high[bit], low[bit]]);
    block[bit >> 3] = (block[bit >> 3] ?? 0) ^ (128 >> (bit & 7));
  }
});

test('one and two wrong bits are caught wherever they are', () => {
  const { high, low } = differences();
  const sorted = Float64Array.from(high, (part, bit) => part * 2 ** 24 + (low[bit] ?? 0)).sort();
  expect(sorted[0]).toBeGreaterThan(0);
  let equal = 0;
  for (let at = 1; at < sorted.length; at += 1) if (sorted[at] === sorted[at - 1]) equal += 1;
  expect(equal).toBe(0);
});

test(`bursts of up to ${BURST_BITS} bits are caught wherever they are`, () => {
  const { high, low } = differences();
  // A burst is missed when its differences add up to nothing: when those of its window are linearly dependent.
  const [basisHigh, basisLow, usedBy] = [new Int32Array(48), new Int32Array(48), new Int32Array(48)];
  let dependent = 0;
  for (let start = 0; start < BITS; start += 1) {
    const end = Math.min(BITS, start + BURST_BITS);
    for (let bit = start; bit < end; bit += 1) {
      let [upper, lower] = [high[bit] ?? 0, low[bit] ?? 0];
      let pivot = 0;
      while ((upper | lower) !== 0) {
        pivot = upper === 0 ? 31 - Math.clz32(lower) : 55 - Math.clz32(upper);
        if (usedBy[pivot] !== start + 1) break;
        upper ^= basisHigh[pivot] ?? 0;
        lower ^= basisLow[pivot] ?? 0;
      }
      if ((upper | lower) === 0) dependent += 1;
      basisHigh[pivot] = upper;
      basisLow[pivot] = lower;
      usedBy[pivot] = start + 1;
    }
  }
  expect(dependent).toBe(0);
});
