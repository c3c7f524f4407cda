// The hash that names a package: over what is in it, so that equal packages have equal names everywhere.
import assert from 'node:assert';
import { createHash } from 'node:crypto';

/** One file of a package: path relative to the package folder with `/`, and the hex SHA-256 of its bytes. */
export type HashedFile = { readonly path: string; readonly sha256: string };

/**
 * SHA-256 in hex (64 digits) over one line `SHA256  PATH\n` per file, sorted by path in code unit order: what
 * `sha256sum` prints for the sorted files, hashed once more. title.json holds this hash and so cannot be among the files.
 */
export function packageHash(files: readonly HashedFile[]): string {
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const hash = createHash('sha256');
  for (const [index, { path, sha256 }] of sorted.entries()) {
    assert(/^[0-9a-f]{64}$/.test(sha256), `sha256 of ${path} is not 64 hex digits`);
    assert(
      !/[\n\r]/.test(path) && path !== sorted[index - 1]?.path,
      `path ${JSON.stringify(path)} is not one new line`,
    );
    hash.update(`${sha256}  ${path}\n`);
  }
  return hash.digest('hex');
}
