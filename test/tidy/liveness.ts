// Rules on dead code: files that nothing reaches and exports that nothing imports.
import {
  BROWSER_FOLDER,
  nameOf,
  nodeIn,
  nodesIn,
  type Source,
  type SyntaxNode,
  type Violation,
  violation,
} from './source.ts';

/** What a person, a unit or another process starts. Tests and benches are entries too. */
const ENTRIES = ['run.mjs', 'agent/main.ts', 'encoder/main.ts', 'agent/model/child.ts'] as const;
const TEST_ENTRIES = /^test\/(.*\.test\.ts|(bench|conformance)\/.*\.ts|(.*\/)?vitest\.config\.ts)$/;
/** The console's scripts are loaded by its pages, not by modules. */
const isLoadedByPage = (path: string): boolean => path.startsWith(`${BROWSER_FOLDER}/`) && path.endsWith('.js');

/** Files that no entry reaches by import or by `new URL('./program.ts', import.meta.url)`. */
export function deadFiles(sources: readonly Source[]): Violation[] {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const isEntry = (path: string) => ENTRIES.some((entry) => entry === path) || TEST_ENTRIES.test(path);
  const reached = new Set([...byPath.keys()].filter(isEntry));
  for (const path of reached) {
    for (const link of byPath.get(path)?.links ?? []) {
      if (link.path !== undefined && byPath.has(link.path)) reached.add(link.path);
    }
  }
  return sources
    .filter(({ path }) => !reached.has(path) && !isLoadedByPage(path))
    .map(({ path }) => violation('dead-file', { path, line: 1 }, 'no entry and no test reaches this file'));
}

type Export = { readonly name: string; readonly statement: SyntaxNode };

function declaredNames(declaration: SyntaxNode): readonly string[] {
  if (declaration.type !== 'VariableDeclaration') return [nameOf(nodeIn(declaration['id']))];
  return nodesIn(declaration['declarations']).map((declarator) => nameOf(nodeIn(declarator['id'])));
}

function exportsOf(source: Source): readonly Export[] {
  return source.statements.flatMap((statement) => {
    const declaration = nodeIn(statement['declaration']);
    if (statement.type !== 'ExportNamedDeclaration' || declaration === undefined) return [];
    return declaredNames(declaration).map((name) => ({ name, statement }));
  });
}

/**
 * Whether another export of the same file is spelled with this one, so that callers may need its name: a type in a
 * signature, or the list from which a union type is derived.
 */
function isPartOfSurface(source: Source, name: string, statement: SyntaxNode): boolean {
  return source.visits.some(({ node, parent }) => {
    if (nameOf(node) !== name || node.type !== 'Identifier') return false;
    if (!/^TS(TypeReference|ClassImplements|TypeQuery)$/.test(parent?.node.type ?? '')) return false;
    const holder = source.statements.find((other) => other.start <= node.start && node.end <= other.end);
    return holder !== undefined && holder !== statement && holder.type === 'ExportNamedDeclaration';
  });
}

/** `*_CODES` lists are read by the rule on error codes. */
const READ_HERE = /_CODES$/;

/** Exports that no other file imports, and that no other export of their file is spelled with. */
export function unusedExports(sources: readonly Source[]): Violation[] {
  const used = new Set(
    sources.flatMap((source) =>
      source.links.flatMap((link) =>
        link.path === undefined ? [] : link.names.map((name) => `${link.path}:${link.how === 'url' ? '' : name}`),
      ),
    ),
  );
  return sources.flatMap((source) =>
    exportsOf(source)
      .filter(({ name }) => !used.has(`${source.path}:${name}`) && !used.has(`${source.path}:*`))
      .filter(({ name }) => !READ_HERE.test(name))
      .filter(({ name, statement }) => !isPartOfSurface(source, name, statement))
      .map(({ name, statement }) =>
        violation('unused-export', { path: source.path, line: statement.loc.start.line }, `nothing imports '${name}'`),
      ),
  );
}
