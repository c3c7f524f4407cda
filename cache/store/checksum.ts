// Checksums of blocks and rows, each mixed with what it belongs to, so that a right block in a wrong place fails too.
import { createHash, hash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Bytes of a block, the unit of checksum, presence and reading; the last block of a body may be shorter. */
export const BLOCK_BYTES = 1 << 20;

/** What a block belongs to. */
export type Identity = { readonly id: number; readonly key: string; readonly variant: string };

/** How many blocks a body of that many bytes has; 0 for an empty body. */
export const blockCount = (lengthBytes: number): number => Math.ceil(lengthBytes / BLOCK_BYTES);

/**
 * CRC-32 of a block, started from the CRC-32 of its object and place: unsigned 32 bits. CRC-32 is a bijection of its
 * start value for given bytes, so the same bytes at another place differ unless the two start values collide.
 */
export function blockChecksum(owner: Identity, index: number, bytes: Uint8Array): number {
  return crc32(bytes, crc32(JSON.stringify([owner.id, owner.key, owner.variant, index])));
}

/** First 16 bytes of the SHA-256 over a row's fields and its block checksums. */
export function rowChecksum(fields: readonly (string | number)[], blocks: Uint8Array): Buffer {
  return createHash('sha256').update(JSON.stringify(fields)).update(blocks).digest().subarray(0, 16);
}

/** Block checksums as they lie in a row: 4 bytes each, little endian. */
export function packBlocks(checksums: readonly number[]): Buffer {
  const packed = Buffer.allocUnsafe(checksums.length * 4);
  checksums.forEach((checksum, index) => {
    packed.writeUInt32LE(checksum, index * 4);
  });
  return packed;
}

/** The inverse of packBlocks; undefined when the bytes can't be that. */
export function unpackBlocks(packed: Uint8Array): number[] | undefined {
  if (packed.length % 4 !== 0) return undefined;
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  return Array.from({ length: packed.length / 4 }, (_, index) => view.getUint32(index * 4, true));
}

/** What the row's checksum covers, beside the block checksums; `format` is the row's. */
export const sealed = (
  format: number,
  row: Identity & { readonly bytes: number; readonly head: string },
): readonly (string | number)[] => [format, row.id, row.key, row.variant, row.bytes, row.head];

/** 32 bits, signed, that stand for a key in memory. The seed is secret, so nobody can make keys that share a hash. */
export const keyHash = (seed: string, key: string): number =>
  Number.parseInt(hash('sha256', seed + key, 'hex').slice(0, 8), 16) | 0;
