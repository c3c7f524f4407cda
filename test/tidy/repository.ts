// Reads the repository for the rules, and runs them all over it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { arrows, cycles, oneAdapter, packagePlaces, purity } from './arrows.ts';
import { errorCodes, npmScripts, topLevel } from './catalogue.ts';
import { deadFiles, unusedExports } from './liveness.ts';
import { SHAPE_RULES } from './shape.ts';
import { parseSource, type Source, type TextFile, type Violation, violation } from './source.ts';
import { names, words } from './words.ts';

/** Never committed: installed, written by a run, or written by a tool. */
const IGNORED = new Set(['.git', 'node_modules', 'var', 'run', 'coverage']);
const TEXT = /\.(ts|js|mjs|json|md|ya?ml|css|html|sh|service|socket|conf|yaml)$|(^|\/)(Dockerfile[^/]*|run|\.npmrc)$/;
const CODE = /\.(ts|js|mjs)$/;
const ROOMS = /^(agent|cache|encoder|test)\//;

/** A violation that stands, and why. `path` is the file it is in. */
export type Exception = { readonly rule: string; readonly path: string; readonly reason: string };

/** The repository as the rules see it. */
export type Repository = {
  readonly entries: readonly string[];
  readonly files: readonly TextFile[];
  readonly sources: readonly Source[];
  readonly scripts: readonly string[];
};

/** Reads every text file below `root`, and parses the code among them. */
export function readRepository(root: string): Repository {
  const entries = readdirSync(root).filter((name) => !IGNORED.has(name) && !name.endsWith('.log'));
  const paths = entries.flatMap((entry) => {
    const isFolder = readdirSync(root, { withFileTypes: true }).some(
      (item) => item.name === entry && item.isDirectory(),
    );
    if (!isFolder) return [entry];
    return readdirSync(join(root, entry), { recursive: true, withFileTypes: true })
      .filter((item) => item.isFile())
      .map((item) => join(item.parentPath, item.name).slice(root.length + 1));
  });
  const files = paths
    .filter((path) => TEXT.test(path) && path !== 'package-lock.json')
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
  const manifest = files.find(({ path }) => path === 'package.json')?.text ?? '{}';
  // package.json's shape is npm's.
  const { scripts = {} } = JSON.parse(manifest) as { readonly scripts?: Record<string, string> };
  return {
    entries,
    files,
    sources: files.filter(({ path }) => CODE.test(path) && (ROOMS.test(path) || path === 'run.mjs')).map(parseSource),
    scripts: Object.keys(scripts),
  };
}

/** Every violation in the repository. */
export function inspect(repository: Repository): Violation[] {
  const { entries, files, sources, scripts } = repository;
  const architecture = files.find(({ path }) => path === 'ARCHITECTURE.md') ?? { path: 'ARCHITECTURE.md', text: '' };
  return [
    ...sources.flatMap((source) => [...SHAPE_RULES, arrows, purity, packagePlaces].flatMap((rule) => rule(source))),
    ...[oneAdapter, cycles, deadFiles, unusedExports].flatMap((rule) => rule(sources)),
    ...files.flatMap((file) => [...words(file), ...names(file)]),
    ...files.filter(({ path }) => path.endsWith('.md')).flatMap((file) => npmScripts(file, scripts)),
    ...errorCodes(sources, architecture),
    ...topLevel(entries),
  ];
}

/** Takes the exceptions out; one that excuses nothing is itself a violation. */
export function except(found: readonly Violation[], exceptions: readonly Exception[]): Violation[] {
  const isExcused = ({ rule, path }: Violation) => exceptions.some((one) => one.rule === rule && one.path === path);
  const stale = exceptions.filter(({ rule, path }) => !found.some((one) => one.rule === rule && one.path === path));
  return [
    ...found.filter((one) => !isExcused(one)),
    ...stale.map(({ rule, path }) => violation('exception', { path, line: 1 }, `excuses '${rule}' for nothing`)),
  ];
}
