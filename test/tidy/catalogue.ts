// Rules that hold lists in step: error codes and their table, commands in documents, names at the top level.
import {
  nameOf,
  nodeIn,
  nodesIn,
  type Source,
  type SyntaxNode,
  type TextFile,
  type Violation,
  violation,
} from './source.ts';

const CODE = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/;

type Code = { readonly code: string; readonly path: string; readonly line: number; readonly isKey?: boolean };

/** Where codes are declared: as strings of an exported `*_CODES` list, or in an errors.ts as keys of a table. */
function declaringNodes(source: Source, node: SyntaxNode): readonly SyntaxNode[] {
  if (node.type !== 'VariableDeclarator') return [];
  const init = nodeIn(node['init']);
  const value = nodeIn(init?.['expression']) ?? init;
  if (/_CODES$/.test(nameOf(nodeIn(node['id'])))) return nodesIn(value?.['elements']);
  if (!/\/errors\.ts$/.test(source.path)) return [];
  return nodesIn(value?.['properties']).flatMap((property) => nodesIn(property['key']));
}

/** Every error code of the rooms. */
function codesOf(sources: readonly Source[]): Code[] {
  return sources
    .filter(isProduct)
    .flatMap((source) =>
      source.visits
        .flatMap(({ node }) => declaringNodes(source, node))
        .map((node) => ({
          code: nameOf(node),
          path: source.path,
          line: node.loc.start.line,
          isKey: node.type === 'Identifier',
        }))
        .filter(({ code }) => CODE.test(code)),
    )
    .filter(({ code }, index, all) => all.findIndex((other) => other.code === code) === index);
}

/** The rows of the document's error table: lines that begin with a code in a first cell. */
function documentedCodes(document: TextFile): Code[] {
  return document.text.split('\n').flatMap((text, index) => {
    const [, cell, rest] = /^\|\s*`([^`]+)`\s*\|(.*)$/.exec(text) ?? [];
    if (cell === undefined || !CODE.test(cell)) return [];
    const isFilled = (rest ?? '').split('|').filter((column) => column.trim() !== '').length >= 2;
    return [{ code: isFilled ? cell : `${cell} (empty row)`, path: document.path, line: index + 1 }];
  });
}

/** Every code of a room stands in the error table with its meaning and advice, once, and the table knows no others. */
export function errorCodes(sources: readonly Source[], document: TextFile): Violation[] {
  const declared = codesOf(sources);
  const documented = documentedCodes(document);
  const isDeclared = new Set(declared.map(({ code }) => code));
  const isDocumented = new Set(documented.map(({ code }) => code));
  const mentions = (code: string) =>
    sources.filter(isProduct).reduce((sum, { text }) => sum + text.split(`'${code}'`).length - 1, 0);
  return [
    ...declared
      .filter(({ code }) => !isDocumented.has(code))
      .map((at) => violation('error-code', at, `${at.code} has no filled row in ${document.path}`)),
    ...documented
      .filter(({ code }) => !isDeclared.has(code))
      .map((at) => violation('error-code', at, `${at.code} is in no room's *_CODES`)),
    ...documented
      .filter(({ code }, index) => documented.findIndex((other) => other.code === code) !== index)
      .map((at) => violation('error-code', at, `${at.code} stands in the table twice`)),
    ...declared
      .filter(({ code, isKey }) => mentions(code) < (isKey ? 1 : 2))
      .map((at) => violation('error-code', at, `${at.code} is never raised`)),
  ];
}

const isProduct = ({ path }: TextFile): boolean => !path.startsWith('test/');

const BUILT_IN = new Set(['ci', 'install', 'pack', 'audit', 'version', 'ls', 'run', 'exec']);
const SCRIPT = /\bnpm (?:run ([\w:.-]+)|(test|start|[a-z]+)\b)/g;

/** Every npm script that a document names exists; `npm run bench:*` needs at least one. */
export function npmScripts(document: TextFile, scripts: readonly string[]): Violation[] {
  return document.text.split('\n').flatMap((text, index) =>
    [...text.matchAll(SCRIPT)].flatMap(([, ran, plain]) => {
      const name = ran ?? plain ?? '';
      const exists = name.endsWith(':') ? scripts.some((script) => script.startsWith(name)) : scripts.includes(name);
      if (exists || (ran === undefined && (BUILT_IN.has(name) || !['test', 'start'].includes(name)))) return [];
      return [violation('npm-script', { path: document.path, line: index + 1 }, `no script '${name}' in package.json`)];
    }),
  );
}

/** What may lie at the top level of the repository. */
const TOP_LEVEL = [
  '.ci',
  '.gitignore',
  '.npmrc',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'LICENSE',
  'README.md',
  'agent',
  'biome.json',
  'cache',
  'deploy',
  'encoder',
  'package-lock.json',
  'package.json',
  'run.mjs',
  'test',
  'tsconfig.json',
] as const;

/** The top level holds only what everybody knows; a new room is a decision. */
export function topLevel(entries: readonly string[]): Violation[] {
  return entries
    .filter((entry) => !TOP_LEVEL.some((allowed) => allowed === entry))
    .map((path) => violation('top-level', { path, line: 1 }, 'not one of the names of the top level'));
}
