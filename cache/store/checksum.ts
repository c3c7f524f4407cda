// Checksums of blocks and rows, each mixed with what it belongs to, so that a right block in a wrong place fails too.
import { createCipheriv, createHash, createSecretKey, hash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Bytes of a block, the unit of checksum, presence and reading; the last block of a body may be shorter. */
export const BLOCK_BYTES = 1 << 20;

/** What a block belongs to. */
export type Identity = { readonly id: number; readonly key: string; readonly variant: string };

/** How many blocks a body of that many bytes has; 0 for an empty body. */
export const blockCount = (lengthBytes: number): number => Math.ceil(lengthBytes / BLOCK_BYTES);

/** Blocks up to this, as inline bodies are, have a CRC-32: small ones take less than setting a cipher up. */
const CRC_BYTES = 64 * 1024;
/**
 * AES-128 key of the larger ones' GMAC: public, since it guards against decay only; FORMAT.md says why this one. Given as
 * bytes each cipher would cost 12 us more.
 */
const MAC_KEY = createSecretKey('Nearcast  blocks', 'latin1');
/** Bytes of a checksum in a row; a number holds 53 bits exactly. */
const CHECKSUM_BYTES = 6;

/**
 * Checksum of a block at its place: an integer below 2^48. Up to 64 KiB: CRC-32 begun with the CRC-32 of the place,
 * which is a bijection of its start value for given bytes. Larger: the first 48 bits of the GMAC (NIST SP 800-38D), with
 * the first 96 bits of SHA-256 of the place as its nonce.
 */
export function blockChecksum(owner: Identity, index: number, bytes: Uint8Array): number {
  const place = JSON.stringify([owner.id, owner.key, owner.variant, index]);
  if (bytes.length <= CRC_BYTES) return crc32(bytes, crc32(place));
  const cipher = createCipheriv('aes-128-gcm', MAC_KEY, hash('sha256', place, 'buffer').subarray(0, 12));
  cipher.setAAD(bytes).final();
  return cipher.getAuthTag().readUIntLE(0, CHECKSUM_BYTES);
}

/** First 16 bytes of the SHA-256 over a row's fields and its block checksums. */
export function rowChecksum(fields: readonly (string | number)[], blocks: Uint8Array): Buffer {
  return createHash('sha256').update(JSON.stringify(fields)).update(blocks).digest().subarray(0, 16);
}

/** Block checksums as they lie in a row: 6 bytes each, little endian. */
export function packBlocks(checksums: readonly number[]): Buffer {
  const packed = Buffer.allocUnsafe(checksums.length * CHECKSUM_BYTES);
  checksums.forEach((checksum, index) => {
    packed.writeUIntLE(checksum, index * CHECKSUM_BYTES, CHECKSUM_BYTES);
  });
  return packed;
}

/** The inverse of packBlocks; undefined when the bytes can't be that. */
export function unpackBlocks(packed: Uint8Array): number[] | undefined {
  if (packed.length % CHECKSUM_BYTES !== 0) return undefined;
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  return Array.from({ length: packed.length / CHECKSUM_BYTES }, (_, index) =>
    bytes.readUIntLE(index * CHECKSUM_BYTES, CHECKSUM_BYTES),
  );
}

/** What the row's checksum covers, beside the block checksums; `format` is the row's. */
export const sealed = (
  format: number,
  row: Identity & { readonly bytes: number; readonly head: string },
): readonly (string | number)[] => [format, row.id, row.key, row.variant, row.bytes, row.head];

/** 32 bits, signed, that stand for a key in memory. The seed is secret, so nobody can make keys that share a hash. */
export const keyHash = (seed: string, key: string): number =>
  Number.parseInt(hash('sha256', seed + key, 'hex').slice(0, 8), 16) | 0;
