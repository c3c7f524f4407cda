// A large object in blocks, for tests of ranges: its bytes, how blocks are asked for, and the check of a part.
import { expect } from 'vitest';
import type { Answer } from '../../fake/origin.ts';
import type { Got } from './node.ts';

/** One block. */
export const MiB = 1024 * 1024;
/** Fields of a segment that may be kept for a minute. */
export const fresh = { 'cache-control': 'max-age=60', 'content-type': 'video/mp4' };

/** Bytes that differ at every place and between versions. */
export function bytesOf(length: number, version: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let index = 0; index < words.length; index += 1)
    words[index] = Math.imul(index + 1, 2_654_435_761 + 2 * version);
  return Buffer.from(words.buffer).subarray(0, length);
}
/** The object, and another version of it. */
export const body = bytesOf(9 * MiB + 12_345, 0);
/** See body. */
export const other = bytesOf(9 * MiB + 12_345, 1);
/** What an origin with ranges answers. */
export const large: Answer = { body, headers: fresh, etag: '"v1"', hasRanges: true };

/** The Range of blocks [first, end). */
export const blocks = (first: number, end: number) => `bytes=${first * MiB}-${Math.min(end * MiB, body.length) - 1}`;
/** The request fields for bytes [start, end). */
export const part = (start: number, end: number) => ({ range: `bytes=${start}-${end - 1}` });

/** Fails unless an answer is these bytes, whole. */
export function expectPart(got: Got, start: number, end: number, of = body): void {
  expect([got.status, got.isCut, got.headers['content-range']]).toEqual([
    206,
    false,
    `bytes ${start}-${end - 1}/${of.length}`,
  ]);
  expect(got.body.equals(of.subarray(start, end))).toBe(true);
}
