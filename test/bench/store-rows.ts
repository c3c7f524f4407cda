// Fills a store directory with valid rows without bodies, as fast as the database takes them: for benches of many objects.
import { mkdirSync } from 'node:fs';
import { keyHash } from '../../cache/store/checksum.ts';
import { databasePath } from '../../cache/store/database.ts';
import { purposeCode } from '../../cache/store/entry.ts';
import { encodeHead } from '../../cache/store/head.ts';
import { type RowPut, RowWriter } from '../../cache/store/row-writer.ts';
import { responseOf } from '../cache/store/support.ts';

/** Bytes of each object that the rows speak of. */
const ROW_BODY_BYTES = 1 << 20;
const BATCH = 10_000;

/** Key of the nth row: slices of titles. */
export const rowKey = (n: number): string =>
  `origin /vod/title-${String(Math.floor(n / 4000)).padStart(6, '0')}/video/1080p/segment-${String(n % 4000).padStart(5, '0')}.m4s`;

/** Adds rows number `from` to below `to`; returns when all of them are committed. */
export function addRows(directory: string, from: number, to: number): void {
  mkdirSync(directory, { recursive: true });
  const writer = new RowWriter(databasePath(directory), false);
  const { seed } = writer.facts();
  const now = Date.now();
  const make = (n: number): RowPut => {
    const key = rowKey(n);
    const response = responseOf(key, ROW_BODY_BYTES, {
      headers: [
        ['content-type', 'video/iso.segment'],
        ['cache-control', 'public, max-age=86400'],
        ['etag', `"${n.toString(16).padStart(16, '0')}"`],
        ['last-modified', 'Tue, 01 Jul 2025 10:00:00 GMT'],
        ['date', 'Tue, 01 Jul 2025 10:00:01 GMT'],
        ['accept-ranges', 'bytes'],
      ],
    });
    const ranges = [[0, ROW_BODY_BYTES]] as const;
    const head = encodeHead({ ...response, lengthBytes: ROW_BODY_BYTES, isInvalidated: false, ranges });
    return {
      ...{ id: 1024 + n, key, variant: '', hash: keyHash(seed, key), bytes: ROW_BODY_BYTES },
      ...{
        purpose: purposeCode('viewer'),
        host: 1 + (n % 8),
        isPinned: false,
        hits: n % 3,
        lastUsedAt: now - (n % 100_000),
      },
      ...{ head, blocks: [n >>> 0], tags: [], body: undefined, isNew: true },
    };
  };
  for (let start = from; start < to; start += BATCH) {
    const puts = Array.from({ length: Math.min(BATCH, to - start) }, (_, n) => make(start + n));
    writer.apply({ removes: [], puts, uses: [] });
    writer.commit();
  }
  writer.close();
}
