// The store's pure parts: checksums, the text of a head, who leaves first, where a body lies.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PURPOSES } from '../../../cache/contract.ts';
import { blockChecksum, blockCount, packBlocks, rowChecksum, unpackBlocks } from '../../../cache/store/checksum.ts';
import { bodyPath } from '../../../cache/store/disk.ts';
import { decodeHead, encodeHead } from '../../../cache/store/head.ts';
import { openMemory } from '../../../cache/store/memory.ts';
import { entryOf } from '../../../cache/store/rows.ts';
import { responseOf } from './support.ts';

const head = (key: string) => ({ ...responseOf(key, 1), lengthBytes: 1, isInvalidated: false, ranges: [] });

function flipped(bytes: Buffer, bit: number): Buffer {
  const wrong = Buffer.from(bytes);
  wrong[bit >> 3] = (wrong[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return wrong;
}

describe('checksums', () => {
  const owner = { id: 77, key: 'key', variant: '' };
  const block = Buffer.from('one block');
  const large = Buffer.alloc(65_537, 'x');

  test('are CRC-32 (check value of the catalogue) begun with the identity, up to 64 KiB', () => {
    expect(crc32('123456789')).toBe(0xcbf43926);
    const expected = (bytes: Buffer) => crc32(Buffer.concat([Buffer.from('[77,"key","",3]'), bytes]));
    for (const bytes of [block, large.subarray(1)]) expect(blockChecksum(owner, 3, bytes)).toBe(expected(bytes));
  });

  test('are GMAC of what is larger, as by the openssl command', () => {
    // KEY: "Nearcast  blocks"; NONCE: `openssl dgst -sha256` of [77,"key","",3], first 24 digits; both in hexadecimal.
    // openssl mac -cipher AES-128-GCM -macopt hexkey:KEY -macopt hexiv:NONCE -in FILE GMAC: 3651D25F806C..., little endian.
    expect(blockChecksum(owner, 3, large)).toBe(0x6c805fd25136);
  });

  test('differ when anything differs', () => {
    const variations = [
      blockChecksum(owner, 0, block),
      blockChecksum(owner, 1, block),
      blockChecksum({ ...owner, id: 78 }, 0, block),
      blockChecksum({ ...owner, key: 'other' }, 0, block),
      blockChecksum({ ...owner, variant: 'br' }, 0, block),
      blockChecksum({ ...owner, key: 'key","' }, 0, block),
      blockChecksum(owner, 0, block.subarray(1)),
      blockChecksum(owner, 0, Buffer.concat([block, Buffer.alloc(1)])),
      blockChecksum(owner, 0, large),
      blockChecksum(owner, 1, large),
      blockChecksum({ ...owner, id: 78 }, 0, large),
      blockChecksum({ ...owner, key: 'other' }, 0, large),
      blockChecksum({ ...owner, variant: 'br' }, 0, large),
      blockChecksum({ ...owner, key: 'key","' }, 0, large),
      blockChecksum(owner, 0, Buffer.concat([large, Buffer.alloc(1)])),
      blockChecksum(owner, 0, Buffer.concat([large, Buffer.alloc(15)])),
    ];
    expect(new Set(variations).size).toBe(variations.length);
  });

  test('catch every single bit', () => {
    const right = blockChecksum(owner, 0, block);
    for (let bit = 0; bit < block.length * 8; bit += 1) {
      expect(blockChecksum(owner, 0, flipped(block, bit))).not.toBe(right);
    }
  });

  test('catch any bit of a large block, at its ends and within', () => {
    const right = blockChecksum(owner, 0, large);
    const bit = fc.oneof(fc.constantFrom(0, large.length * 8 - 1), fc.nat(large.length * 8 - 1));
    fc.assert(fc.property(bit, (at) => blockChecksum(owner, 0, flipped(large, at)) !== right));
  });

  test('of rows are the first half of SHA-256 over fields and blocks', () => {
    const expected = createHash('sha256').update('["a",1]xyz').digest('hex').slice(0, 32);
    expect(rowChecksum(['a', 1], Buffer.from('xyz')).toString('hex')).toBe(expected);
    expect(rowChecksum(['ab', 'c'], Buffer.alloc(0)).equals(rowChecksum(['a', 'bc'], Buffer.alloc(0)))).toBe(false);
  });

  test('pack and unpack', () => {
    const any = fc.array(fc.maxSafeNat().map((n) => n % 2 ** 48));
    fc.assert(fc.property(any, (blocks) => void expect(unpackBlocks(packBlocks(blocks))).toEqual(blocks)));
    expect(unpackBlocks(Buffer.alloc(4))).toBeUndefined();
    const one = Buffer.from('00010203040506', 'hex').subarray(1);
    expect(unpackBlocks(one)).toEqual([0x060504030201]);
    expect([0, 1, 2 ** 20, 2 ** 20 + 1].map(blockCount)).toEqual([0, 1, 1, 2]);
  });
});

describe('the text of a head', () => {
  const text = fc.string({ unit: 'binary' });
  const head = fc.record({
    ...{ key: text, variant: text, varyOn: fc.array(text), status: fc.nat(999) },
    ...{ headers: fc.array(fc.tuple(text, text)), requestedAt: fc.nat(), receivedAt: fc.nat(), lengthBytes: fc.nat() },
    ...{ purpose: fc.constantFrom(...PURPOSES), isInvalidated: fc.boolean() },
    ...{ ranges: fc.array(fc.tuple(fc.nat(), fc.nat())), tags: fc.array(text) },
  });

  test('is read as it was written', () => {
    fc.assert(fc.property(head, (one) => void expect(decodeHead(one.key, one.variant, encodeHead(one))).toEqual(one)));
  });

  test('ignores what it does not know and refuses what it can not be', () => {
    const good = { varyOn: [], status: 200, headers: [], requestedAt: 1, receivedAt: 2, lengthBytes: 3 };
    const whole = { ...good, purpose: 'viewer', isInvalidated: false, ranges: [[0, 3]] };
    expect(decodeHead('k', '', JSON.stringify({ ...whole, later: 1 }))).toMatchObject({ status: 200 });
    const bad = [
      ...['', 'null', '[]', '{', '7', JSON.stringify({ ...whole, status: '200' })],
      ...[{ headers: [['a']] }, { headers: 'x' }, { headers: [['a', 1]] }, { purpose: 'x' }, { varyOn: [1] }].map(
        (field) => JSON.stringify({ ...whole, ...field }),
      ),
      ...[{ ranges: [[0]] }, { ranges: 1 }, { ranges: [['0', 1]] }, { isInvalidated: 0 }, { lengthBytes: null }].map(
        (field) => JSON.stringify({ ...whole, ...field }),
      ),
    ];
    for (const text of bad) expect(decodeHead('k', '', text), text).toBeUndefined();
  });
});

test('the RAM tier is bounded, and takes nothing above an eighth of it', () => {
  const row = { head: head('key'), blocks: [], isPinned: false, hits: 0, lastUsedAt: 0, host: 0 };
  const entries = Array.from({ length: 21 }, (_, id) => entryOf({ id, ...row }, -1, -1));
  const evicted: number[] = [];
  const memory = openMemory(800_000, ({ id }) => evicted.push(id));
  const [none, first] = entries;
  if (none === undefined || first === undefined) throw new Error('no entries');
  expect(memory.maxBodyBytes).toBe(100_000);
  memory.set(none, Buffer.alloc(100_001));
  expect(memory.get(none)).toBeUndefined();
  for (const entry of entries.slice(1)) {
    memory.set(entry, Buffer.alloc(97_000));
    memory.get(first);
    expect(memory.usedBytes()).toBeLessThanOrEqual(800_000);
  }
  expect(memory.get(first)).toBeDefined();
  expect(evicted).toEqual(Array.from({ length: 12 }, (_, n) => n + 2));
  memory.delete(first);
  expect(memory.evictions()).toBe(12);
});

test('bodies have places of their own', () => {
  expect(bodyPath(1024 * 0xabc + 5)).toEqual({ directory: 'bodies/abc', name: '005' });
  expect(bodyPath(2 ** 52 + 1023)).toEqual({ directory: 'bodies/40000000000', name: '3ff' });
});
