// Keeps the house rules true over the whole repository, and shows that each rule catches what it is for.
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { arrows, cycles, oneAdapter, packagePlaces, purity } from './tidy/arrows.ts';
import { errorCodes, npmScripts, topLevel } from './tidy/catalogue.ts';
import { deadFiles, unusedExports } from './tidy/liveness.ts';
import { type Exception, except, inspect, readRepository } from './tidy/repository.ts';
import { SHAPE_RULES } from './tidy/shape.ts';
import { parseSource, type Source, type Violation } from './tidy/source.ts';
import { names, words } from './tidy/words.ts';

/** What stands in spite of a rule. Each entry gives its reason; one that is no longer needed fails the test. */
const EXCEPTIONS: readonly Exception[] = [];

const source = (path: string, text: string): Source => parseSource({ path, text });
const rulesOf = (found: readonly Violation[]) => found.map(({ rule }) => rule);
const messages = (found: readonly Violation[]) => found.map(({ message }) => message).join('\n');

describe('the repository', () => {
  const repository = readRepository(fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, ''));

  test('is read whole', () => {
    const paths = repository.sources.map(({ path }) => path);
    expect(paths).toContain('run.mjs');
    expect(paths).toContain('cache/contract.ts');
    expect(paths).toContain('test/tidy.test.ts');
  });

  test('keeps every rule', () => {
    const found = except(inspect(repository), EXCEPTIONS);
    expect(found.map(({ path, line, rule, message }) => `${path}:${line} ${rule}: ${message}`)).toEqual([]);
  });
});

const P = '// Purpose.\n';
const lines = (count: number) => 'x();\n'.repeat(count);

describe('rules on one file', () => {
  const shape = (text: string, path = 'cache/x.ts') =>
    rulesOf(SHAPE_RULES.flatMap((rule): Violation[] => rule(source(path, text))));

  test.each([
    ['a long file', P + lines(400), ['file-size']],
    ['no purpose', 'x();\n', ['purpose']],
    ['a purpose below code', `x();\n${P}`, ['purpose']],
    ['a long purpose', P.repeat(4), ['purpose']],
    ['a long function', `${P}function f() {\n${lines(69)}}`, ['function-size']],
    ['a long arrow', `${P}const f = () => {\n${lines(69)}};`, ['function-size']],
    ['a long method', `${P}class A {\nm() {\n${lines(69)}}\n}`, ['function-size']],
    ['five parameters', `${P}const f = (a, b, c, d, e) => a;`, ['parameters']],
    ['an export without doc', `${P}\nexport const a = 1;`, ['exported-doc']],
    ['a type without doc', `${P}\nexport type A = 1;`, ['exported-doc']],
    ['a doc with a gap', `${P}/** A. */\n\nexport const a = 1;`, ['exported-doc']],
    ['a plain comment for a doc', `${P}// A.\nexport const a = 1;`, ['exported-doc']],
    ['a type below a foreign list', `${P}/** L. */\nexport const L = 1;\nexport type A = string;`, ['exported-doc']],
    ['an export list', `${P}const a = 1;\nexport { a };`, ['exported-doc']],
    ['a cast without reason', `${P}\nconst a = b as string;`, ['cast']],
    ['an angle cast', `${P}\nconst a = <string>b;`, ['cast']],
    ['a double cast', `${P}\nconst a = b as unknown as string;`, ['cast', 'cast']],
    ['a reason for another statement', `${P}// It is one.\nif (a) {\n  b(c as string);\n}`, ['cast']],
    ['a reason two lines up', `${P}// It is one.\n\nconst a = b as string;`, ['cast']],
    ['any', `${P}const a: any = 1;`, ['any']],
    ['any in a generic', `${P}const a: Array<any> = [];`, ['any']],
    ['a non-null mark', `${P}a!.b;`, ['non-null']],
    ['a definite variable', `${P}let a!: string;`, ['non-null']],
    ['a default export', `${P}export default 1;`, ['default-export']],
    ['a barrel', `${P}export * from './a.ts';`, ['export-star']],
    ['a named barrel', `${P}export * as a from './a.ts';`, ['export-star']],
    ['inheritance', `${P}class A extends B {}`, ['inheritance']],
    ['an empty catch', `${P}\ntry { a(); } catch {}`, ['empty-catch']],
    ['an empty handler', `${P}\na().catch(() => {});`, ['empty-catch']],
    ['a handler to undefined', `${P}\nvoid a().catch(() => undefined);`, ['empty-catch']],
    ['an import without ending', `${P}import { a } from './a';`, ['import-ending']],
    ['an import of .js', `${P}import { a } from './a.js';`, ['import-ending']],
    ['a dynamic import without ending', `${P}await import('./a');`, ['import-ending']],
  ])('catch %s', (_name, text, expected) => expect(shape(text)).toEqual(expected));

  test.each([
    ['400 lines', P + lines(399)],
    ['a shebang', `#!/usr/bin/env node\n${P}x();`],
    ['three lines of purpose and a doc', `${P.repeat(3)}/** A. */\nexport const a = 1;`],
    ['70 lines in a function', `${P}function f() {\n${lines(68)}}`],
    ['four parameters', `${P}function f(this: A, a, b, c, d) {}`],
    [
      'a type on the line below its list',
      `${P}/** L. */\nexport const L = [1] as const;\nexport type A = (typeof L)[0];`,
    ],
    ['overloads', `${P}/** F. */\nexport function f(a: 1): 1;\nexport function f(a: 2): 2;`],
    ['a re-export', `${P}export { a } from './a.ts';`],
    ['a constant', `${P}\nconst a = [1] as const;`],
    ['a cast with its reason above', `${P}// It is one.\nconst a = b as string;`],
    ['a cast with its reason beside', `${P}\nconst a = b as string; // it is one`],
    ['a cast deep in an explained statement', `${P}// It is one.\nconst a = f(\n  b,\n  c as string,\n);`],
    [
      'a cast that ends a long function',
      `${P}const a = {\n  // It is one.\n  b: (() => {\n    c();\n  }) as string,\n};`,
    ],
    ['a cast in an explained arrow', `${P}// It is one.\nconst a = () =>\n  b as string;`],
    ['casts one below the other', `${P}// They are.\nconst a = b as string;\nconst c = d as string;`],
    ['errors that inherit', `${P}class A extends Error {}`],
    ['an explained catch', `${P}\ntry { a(); } catch {\n  // It is gone already.\n}`],
    ['a handler that gives undefined on', `${P}\nconst b = await a().catch(() => undefined);`],
    ['an import of data', `${P}import a from './a.json' with { type: 'json' };`],
    ['an explained handler', `${P}\n// It is gone already.\na().catch(() => {});`],
  ])('let %s pass', (_name, text) => expect(shape(text)).toEqual([]));

  test('a suite may be long, a function in a test not', () => {
    const suite = `${P}describe.each([])('s', () => {\n${lines(80)}});`;
    expect(shape(suite, 'test/x.test.ts')).toEqual([]);
    expect(shape(suite, 'cache/x.ts')).toEqual(['function-size']);
    expect(shape(suite.replace('describe.each([])', 'test'), 'test/x.test.ts')).toEqual(['function-size']);
  });

  test('a table may have many columns, a function beside it not', () => {
    const table = `${P}test.each([])('t', (a, b, c, d, e) => {});\ntest.each\`a | b\`('t', (a, b, c, d, e) => {});`;
    expect(shape(table, 'test/x.test.ts')).toEqual([]);
    expect(shape(`${P}const f = (a, b, c, d, e) => {};`, 'test/x.test.ts')).toEqual(['parameters']);
  });
});

describe('arrows', () => {
  test.each([
    ['cache/fill.ts', '../agent/log.ts', 'imports nothing outside'],
    ['encoder/job.ts', '../cache/cache.ts', 'imports nothing outside'],
    ['agent/node.ts', '../cache/handler.ts', 'may import only'],
    ['agent/encodes.ts', '../encoder/job.ts', 'may import only'],
    ['agent/node.ts', '../test/fake/origin.ts', 'may import only'],
    ['cache/rules/key.ts', '../store/disk.ts', 'cache/rules/'],
    ['cache/store/disk.ts', '../handler.ts', 'cache/store/'],
    ['encoder/plan/hull.ts', '../ffmpeg/ffmpeg.ts', 'encoder/plan/'],
    ['encoder/package/hls.ts', '../plan/hull.ts', 'encoder/package/'],
    ['agent/predict/taste.ts', '../state.ts', 'agent/predict/'],
    ['agent/prefetch/offpeak.ts', '../preview/preview.ts', 'agent/prefetch/'],
    ['agent/prefetch/offpeak.ts', '../telemetry/session.ts', 'agent/prefetch/'],
    ['agent/preview/preview.ts', '../federate/ledger.ts', 'agent/preview/'],
    ['agent/telemetry/session.ts', '../prefetch/plan.ts', 'agent/telemetry/'],
  ])('catch %s -> %s', (path, specifier, part) => {
    for (const text of [`import { a } from '${specifier}';`, `const a = await import('${specifier}');`]) {
      expect(messages(arrows(source(path, text)))).toContain(part);
    }
  });

  test.each([
    ['agent/node.ts', `import { open } from '../cache/cache.ts';`],
    ['agent/encodes.ts', `import { jobSchema } from '../encoder/contract.ts';`],
    ['agent/node.ts', `import { plan } from './prefetch/plan.ts';`],
    ['agent/predict/features.ts', `import type { Event } from '../telemetry/event.ts';`],
    ['agent/prefetch/insession.ts', `import type { Session } from '../telemetry/session.ts';`],
    ['cache/store/disk.ts', `import { evict } from '../rules/eviction.ts';`],
    ['test/cache/fill.test.ts', `import { fill } from '../../cache/fill.ts';`],
    ['agent/model/runtime.ts', `const child = new URL('./child.ts', import.meta.url);`],
  ])('let %s: %s pass', (path, text) => expect(arrows(source(path, text))).toEqual([]));

  test('types of another room are held back like values', () => {
    const text = `import type { A } from '../handler.ts'; type B = import('../server.ts').C;`;
    expect(rulesOf(arrows(source('cache/store/disk.ts', text)))).toEqual(['arrow', 'arrow']);
  });

  test.each([
    ['two files', { 'a.ts': './b.ts', 'b.ts': './a.ts' }, 1],
    ['three files', { 'a.ts': './b.ts', 'b.ts': './c.ts', 'c.ts': './a.ts' }, 1],
    ['itself', { 'a.ts': './a.ts' }, 1],
    ['none', { 'a.ts': './b.ts', 'b.ts': './c.ts', 'c.ts': './d.ts' }, 0],
  ])('cycles: %s', (_name, files, expected) => {
    const sources = Object.entries(files).map(([path, to]) =>
      source(`cache/${path}`, `import type { A } from '${to}';`),
    );
    expect(cycles(sources)).toHaveLength(expected);
  });
});

describe('purity', () => {
  test.each([
    `import { readFileSync } from 'node:fs';`,
    `import { setTimeout } from 'node:timers/promises';`,
    `import { randomBytes } from 'node:crypto';`,
    `import { open } from '../store/disk.ts';`,
    'const at = Date.now();',
    'const at = new Date();',
    'const at = Date();',
    'const at = performance.now();',
    'const x = Math.random();',
    'setTimeout(go, 1);',
    'const x = process.env;',
    'console.log(1);',
    'const f = { now: performance };',
  ])('catch %s', (text) => expect(rulesOf(purity(source('cache/rules/key.ts', text)))).toContain('pure'));

  test.each([
    `import { createHash } from 'node:crypto';`,
    `import assert from 'node:assert/strict';`,
    `import { Parser } from 'm3u8-parser';`,
    `import type { Row } from '../store/rows.ts';`,
    `import { age } from './age.ts';`,
    'const at = new Date(0).toISOString();',
    'const x = { process: 1 }.process;',
    'type A = { fetch: () => void };',
    'const f = (now: () => number) => now();',
  ])('let %s pass', (text) => expect(purity(source('cache/rules/key.ts', text))).toEqual([]));

  test('only pure places are held to it', () => {
    expect(purity(source('agent/prefetch/plan.ts', 'Math.random();'))).toHaveLength(1);
    expect(purity(source('agent/prefetch/offpeak.ts', 'Math.random();'))).toEqual([]);
  });
});

describe('packages', () => {
  test.each([
    ['agent/node.ts', 'undici'],
    ['cache/store/disk.ts', 'lru-cache'],
    ['encoder/job.ts', 'fluent-ffmpeg'],
    ['agent/node.ts', 'prom-client'],
    ['agent/model/runtime.ts', 'onnxruntime-node'],
    ['cache/cache.ts', 'node:sqlite'],
    ['encoder/main.ts', 'node:child_process'],
    ['cache/rules/key.ts', 'zod'],
    ['agent/telemetry/event.ts', '@svta/cml-cmcd/decode'],
    ['agent/node.ts', 'left-pad'],
  ])('catch %s importing %s', (path, name) => {
    expect(packagePlaces(source(path, `import type { a } from '${name}';`))).toHaveLength(1);
    expect(packagePlaces(source(path, `await import('${name}');`))).toHaveLength(1);
  });

  test('a package in its place, any built-in that starts nothing, and anything in a test pass', () => {
    expect(packagePlaces(source('cache/origin/conversation.ts', `import { Pool } from 'undici';`))).toEqual([]);
    expect(packagePlaces(source('cache/fill/fill.ts', `import fs from 'node:fs';`))).toEqual([]);
    expect(packagePlaces(source('test/cache/a.test.ts', `import { Pool } from 'undici';`))).toEqual([]);
  });

  test('one adapter of fluent-ffmpeg, not two', () => {
    const one = source('encoder/ffmpeg/ffmpeg.ts', `import ffmpeg from 'fluent-ffmpeg';`);
    expect(oneAdapter([one])).toEqual([]);
    expect(oneAdapter([one, { ...one, path: 'encoder/ffmpeg/probe.ts' }])).toHaveLength(1);
  });
});

describe('dead code', () => {
  const main = source('agent/main.ts', `import { a } from './a.ts'; new URL('./started.ts', import.meta.url);`);
  const a = source('agent/a.ts', 'export const a = 1;');
  const started = source('agent/started.ts', 'a();');
  const suite = source('test/agent/b.test.ts', `import { b, type C } from '../../agent/b.ts';`);
  const b = source('agent/b.ts', 'export const b = 1; export type C = 1; export const d = 1; export function e() {}');

  test('a file that no entry reaches', () => {
    expect(deadFiles([main, a, started])).toEqual([]);
    expect(deadFiles([main, a, started, b]).map(({ path }) => path)).toEqual(['agent/b.ts']);
    expect(deadFiles([main, a, started, b, suite])).toEqual([]);
    expect(deadFiles([a]).map(({ path }) => path)).toEqual(['agent/a.ts']);
  });

  test('an export that nothing imports', () => {
    expect(messages(unusedExports([b, suite]))).toBe(`nothing imports 'd'\nnothing imports 'e'`);
    expect(unusedExports([b, source('agent/c.ts', `import * as b from './b.ts';`)])).toEqual([]);
    expect(unusedExports([b, source('agent/c.ts', `const b = await import('./b.ts');`)])).toEqual([]);
  });

  test('a program beside it that a file starts lives, and so does a script of the console', () => {
    const starter = source('test/agent/c.test.ts', `new URL('writer.ts', import.meta.url);`);
    const writer = source('test/agent/writer.ts', 'a();');
    const page = source('agent/console/page.js', `import { show } from '/.nearcast/page/cards.js';`);
    const cards = source('agent/console/cards.js', 'export function show() {} export function hide() {}');
    expect(deadFiles([starter, writer, page, cards])).toEqual([]);
    expect(messages(unusedExports([page, cards]))).toBe(`nothing imports 'hide'`);
    expect(packagePlaces(page)).toEqual([]);
  });

  test('a type lives when another export is spelled with it', () => {
    const text = (rest: string) => source('agent/a.ts', `export type A = { a: A };\n${rest}`);
    expect(messages(unusedExports([text('const f = (): A => g();')]))).toBe(`nothing imports 'A'`);
    expect(messages(unusedExports([text('export const f = (): A => g();')]))).toBe(`nothing imports 'f'`);
  });

  test('a list lives when an exported type is derived from it', () => {
    const text = 'export const L = [1] as const; export type T = (typeof L)[0];';
    expect(messages(unusedExports([source('agent/a.ts', text)]))).toBe(`nothing imports 'T'`);
  });
});

describe('lists in step', () => {
  const errors = source(
    'cache/errors.ts',
    `export const CACHE_CODES = ['CACHE_A', 'CACHE_B'] as const; throw 'CACHE_A';`,
  );
  const raised = source('cache/fill/fill.ts', `throw new CacheError('CACHE_B');`);
  const table = (text: string) => ({ path: 'ARCHITECTURE.md', text });
  const row = (code: string) => `| \`${code}\` | what it is | what to do |`;

  test('error codes', () => {
    const check = (sources: Source[], rows: string[]) => messages(errorCodes(sources, table(rows.join('\n'))));
    expect(check([errors, raised], [row('CACHE_A'), row('CACHE_B')])).toBe('');
    expect(check([errors, raised], [row('CACHE_A')])).toBe('CACHE_B has no filled row in ARCHITECTURE.md');
    expect(check([errors, raised], [row('CACHE_A'), '| `CACHE_B` | | |'])).toContain('CACHE_B has no filled row');
    expect(check([errors, raised], ['CACHE_A', 'CACHE_B', 'CACHE_C'].map(row))).toBe("CACHE_C is in no room's *_CODES");
    expect(check([errors, raised], ['CACHE_A', 'CACHE_B', 'CACHE_B'].map(row))).toContain('twice');
    expect(check([errors], [row('CACHE_A'), row('CACHE_B')])).toBe('CACHE_B is never raised');
  });

  test('error codes that are keys of a table', () => {
    const keyed = source('encoder/errors.ts', `export const EXIT_OF = { ENCODER_A: 1, ENCODER_B: 2 } as const;`);
    const thrown = source('encoder/job.ts', `throw new EncoderError('ENCODER_A');`);
    const found = errorCodes([keyed, thrown], table(row('ENCODER_A')));
    expect(messages(found)).toBe('ENCODER_B has no filled row in ARCHITECTURE.md\nENCODER_B is never raised');
  });

  test.each([
    ['npm run nothing', 1],
    ['`npm ci && npm test`', 0],
    ['npm run bench:*', 0],
    ['npm run fuzz:*', 1],
    ['npm run check', 0],
  ])('npm scripts: %s', (text, expected) => {
    expect(npmScripts({ path: 'README.md', text }, ['test', 'start', 'check', 'bench:http'])).toHaveLength(expected);
    expect(npmScripts({ path: 'README.md', text: 'npm start' }, ['test'])).toHaveLength(1);
  });

  test('the top level', () => {
    expect(topLevel(['agent', 'package.json'])).toEqual([]);
    expect(messages(topLevel(['agent', 'scripts']))).toContain('top level');
  });

  test('an exception that excuses nothing is a violation', () => {
    const found = [{ rule: 'cast', path: 'a.ts', line: 1, message: '' }];
    const excuse = { rule: 'cast', path: 'a.ts', reason: 'because' };
    expect(except(found, [])).toEqual(found);
    expect(except(found, [excuse])).toEqual([]);
    expect(rulesOf(except([], [excuse]))).toEqual(['exception']);
    expect(rulesOf(except(found, [{ ...excuse, path: 'b.ts' }]))).toEqual(['cast', 'exception']);
  });
});

describe('words and names', () => {
  test.each([
    ['cache/a.ts', '// TODO later'],
    ['deploy/a.yaml', '# FIXME'],
    ['README.md', 'XXX'],
    ['cache/a.ts', '<<<<<<< HEAD'],
    ['cache/a.ts', 'open("../shared/clips")'],
  ])('catch %s: %s', (path, text) => expect(rulesOf(words({ path, text }))).toEqual(['words']));

  test.each([
    ['cache/a.ts', '// TODO(ada) weigh it'],
    ['test/a.test.ts', 'open("../shared/clips")'],
    ['cache/a.ts', 'const TODOS = 1;'],
  ])('let %s: %s pass', (path, text) => expect(words({ path, text })).toEqual([]));

  test.each([
    'cache/utils/a.ts',
    'agent/helpers.ts',
    'cache/common/a.ts',
    'cache/DiskStore.ts',
    'cache/disk_store.ts',
    'cache/Rules/a.ts',
    'agent/types.ts',
  ])('catch %s', (path) => expect(rulesOf(names({ path, text: '' }))).toEqual(['names']));

  test.each([
    'cache/disk-store.ts',
    'test/cache/a.test.ts',
    'deploy/docker/Dockerfile',
    'cache/store/FORMAT.md',
    'deploy/systemd/nearcast.service.d/arm64.conf',
    '.ci/run',
  ])('let %s pass', (path) => expect(names({ path, text: '' })).toEqual([]));
});
