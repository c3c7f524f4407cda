// What the store's tests share: temporary directories, stores over them, objects with bodies that tell themselves apart.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../../../cache/contract.ts';
import type {
  BodyReader,
  ByteRange,
  Store,
  StoredObject,
  StoredResponse,
  StoreOptions,
} from '../../../cache/store/object.ts';
import { openStore } from '../../../cache/store/store.ts';

/** 1 MiB. */
export const MIB = 1024 * 1024;

/** A temporary directory and how to remove it. */
export function temporary(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'nearcast-store-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Lines that were logged. */
export type Lines = { readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[];

/** A log that keeps its lines. */
export function keepLog(): { readonly log: Log; readonly lines: Lines } {
  const lines: Lines = [];
  return { lines, log: (_level, event, fields = {}) => void lines.push({ event, fields }) };
}

/** Options of a store over one directory of 64 MiB with 16 MiB of RAM. */
export function optionsOf(path: string, changes: Partial<StoreOptions> = {}): StoreOptions {
  return {
    ramBytes: 16 * MIB,
    dirs: [{ path, maxBytes: 64 * MIB }],
    required: true,
    now: Date.now,
    log: () => undefined,
    ...changes,
  };
}

/** Opens, runs, closes. */
export async function withStore<T>(options: StoreOptions, run: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(options);
  try {
    return await run(store);
  } finally {
    await store.close(10_000);
  }
}

/** Bytes that are a function of the label, without repetition between blocks. */
export function bodyOf(label: string, bytes: number): Buffer {
  const body = Buffer.alloc(bytes);
  let filled = 0;
  for (let round = 0; filled < bytes; round += 1) {
    // One digest per 4 KiB, stretched by its own place: cheap, and no two pages are alike.
    const page = Buffer.alloc(4096, createHash('sha256').update(`${label} ${round}`).digest());
    filled += page.copy(body, filled);
  }
  return body;
}

/** A response without a body. */
export function responseOf(
  key: string,
  lengthBytes: number | undefined,
  changes: Partial<StoredResponse> = {},
): StoredResponse {
  return {
    key,
    variant: '',
    varyOn: [],
    status: 200,
    headers: [
      ['content-type', 'video/mp4'],
      ['etag', `"${key}"`],
    ],
    requestedAt: 1_700_000_000_000,
    receivedAt: 1_700_000_000_050,
    lengthBytes,
    purpose: 'viewer',
    tags: [],
    ...changes,
  };
}

/** How put() writes. */
export type PutOptions = Partial<StoredResponse> & {
  readonly isSized?: boolean;
  readonly isPinned?: boolean;
  readonly host?: string;
  readonly chunkBytes?: number;
};

/** Writes a body in chunks; undefined when the store refused or gave up. */
export async function put(
  store: Store,
  key: string,
  body: Buffer,
  options: PutOptions = {},
): Promise<StoredObject | undefined> {
  const { isSized = true, isPinned = false, host = '', chunkBytes = 65_521, ...changes } = options;
  const writer = store.write(responseOf(key, isSized ? body.length : undefined, changes), {
    isPinned,
    worth: undefined,
    host,
  });
  if (writer === undefined) return undefined;
  for (let at = 0; at < body.length; at += chunkBytes) {
    writer.write(body.subarray(at, at + chunkBytes));
    // As from a socket: the loop turns between chunks.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return await writer.finish();
}

/** Everything a reader gives. Rejects as the reader does. */
export async function drain(reader: BodyReader): Promise<Buffer> {
  if (reader.tier === 'memory') return reader.bytes;
  const pieces: Buffer[] = [];
  for (let piece = await reader.next(); piece !== undefined; piece = await reader.next()) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** The body of the only variant of a key; undefined when nothing is stored. */
export async function get(store: Store, key: string, range?: ByteRange): Promise<Buffer | undefined> {
  const [object] = store.find(key);
  if (object === undefined) return undefined;
  return await drain(store.read(object, range ?? { start: 0, end: object.lengthBytes }));
}

/** Paths of all body files below a store directory. */
export async function bodyFiles(path: string): Promise<string[]> {
  const entries = await readdir(join(path, 'bodies'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
