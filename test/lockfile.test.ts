// The lockfile names every platform package of every dependency. Some registries lack a few; npm then drops them
// silently on the machine that writes the lockfile, and `npm ci` fails on every other.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

type Locked = { readonly optionalDependencies?: Record<string, string>; readonly hasInstallScript?: boolean };

const read = (file: string): unknown => JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'));
// Both files are npm's own, written by the npm that installed this tree.
const lock = read('package-lock.json') as { readonly packages: Record<string, Locked & { readonly version?: string }> };
const manifest = read('package.json') as Record<
  'dependencies' | 'devDependencies' | 'optionalDependencies',
  Record<string, string>
>;

/** Where Node would look for `name` required from the locked path `from`, innermost first. */
function lookUp(from: string, name: string): string | undefined {
  for (let path = from; ; path = path.slice(0, Math.max(0, path.lastIndexOf('/node_modules/')))) {
    const candidate = path === '' ? `node_modules/${name}` : `${path}/node_modules/${name}`;
    if (lock.packages[candidate] !== undefined) return candidate;
    if (path === '') return undefined;
    if (!path.includes('/node_modules/')) path = '';
  }
}

describe('package-lock.json', () => {
  test('holds every optional package that a locked package names', () => {
    const missing = Object.entries(lock.packages).flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {})
        .filter((name) => lookUp(path, name) === undefined)
        .map((name) => `${path || 'package.json'} -> ${name}`),
    );
    expect(missing).toEqual([]);
  });

  test('pins every direct dependency to one exact version', () => {
    const direct = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };
    for (const [name, version] of Object.entries(direct)) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
      expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
    }
  });

  test('needs no install script: only packages known to work without theirs have one', () => {
    const scripted = Object.entries(lock.packages)
      .filter(([, entry]) => entry.hasInstallScript === true)
      .map(([path]) => path);
    expect(scripted.every((path) => /\/(onnxruntime-node|fsevents)$/.test(path))).toBe(true);
  });
});
