// Objects of the fault loops: what is stored under which path, with bytes that are a function of the entity tag, so that
// whoever reads one back can tell a right body from a wrong one without having seen it written.
import { bodyOf } from '../cache/store/support.ts';

/** One object as the writing process offers it. */
export type PlannedObject = { readonly path: string; readonly etag: string; readonly body: Buffer };

/** Largest body that is planned, in bytes. */
const MAX_BYTES = 2_500_000;

/** Mostly large, some small enough to lie in the database; every third replaces one of four hot paths. */
export function planObject(cycle: number, count: number, random: () => number): PlannedObject {
  const path = count % 3 === 0 ? `/hot/${Math.floor(random() * 4)}` : `/object/${cycle}/${count}`;
  const bytes = Math.floor(random() < 0.4 ? random() * 60_000 : 70_000 + random() * (MAX_BYTES - 70_000));
  const etag = `"${path}|${cycle}.${count}|${bytes}"`;
  return { path, etag, body: bodyOf(etag, bytes) };
}

/** Whether a body that was served under a path is, to its last byte, the one that its entity tag names. */
export function isRight(path: string, etag: string | undefined, body: Buffer): boolean {
  const [, named, bytes] = /^"(.*)\|.*\|(\d+)"$/.exec(etag ?? '') ?? [];
  return (
    etag !== undefined && named === path && Number(bytes) === body.length && body.equals(bodyOf(etag, body.length))
  );
}
