// Reads one file into what the rules ask about: syntax nodes with their parents, comments, and links to other modules.
import { posix } from 'node:path';
import { parse } from '@babel/parser';

/** What a rule found: where, and what to do about it. */
export type Violation = {
  readonly rule: string;
  readonly path: string;
  readonly line: number;
  readonly message: string;
};

/** Scripts that run in a browser. */
export const BROWSER_FOLDER = 'agent/console';

/** A file of the repository; `path` is relative to its root, with slashes. */
export type TextFile = { readonly path: string; readonly text: string };

/** A node of the parser's tree, read generically. Lines count from 1. */
export type SyntaxNode = {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly loc: { readonly start: { readonly line: number }; readonly end: { readonly line: number } };
  readonly [field: string]: unknown;
};

/** A node together with the field of the parent that holds it. */
export type Visit = { readonly node: SyntaxNode; readonly parent: Visit | undefined; readonly field: string };

/** A comment; `isDoc` for the two-star kind. */
export type Comment = {
  readonly text: string;
  readonly isDoc: boolean;
  readonly start: number;
  readonly end: number;
  readonly firstLine: number;
  readonly lastLine: number;
};

/**
 * One mention of another module. `names` holds what is taken from it, `*` for everything. `path` is set for relative
 * ones: the target in the repository. `how` is `url` for `new URL('./x.ts', import.meta.url)`, a program to be started.
 */
export type Link = {
  readonly how: 'import' | 'export' | 'dynamic' | 'url';
  readonly specifier: string;
  readonly path: string | undefined;
  readonly isType: boolean;
  readonly names: readonly string[];
  readonly line: number;
};

/** A parsed source file. */
export type Source = TextFile & {
  readonly lines: readonly string[];
  readonly visits: readonly Visit[];
  readonly statements: readonly SyntaxNode[];
  readonly comments: readonly Comment[];
  readonly links: readonly Link[];
};

const isNode = (value: unknown): value is SyntaxNode =>
  typeof value === 'object' && value !== null && 'type' in value && 'start' in value && typeof value.type === 'string';

/** The child nodes held by one field of a node, none when the field holds something else. */
export function nodesIn(value: unknown): readonly SyntaxNode[] {
  if (Array.isArray(value)) return value.filter(isNode);
  return isNode(value) ? [value] : [];
}

/** The single node in a field, or undefined. */
export const nodeIn = (value: unknown): SyntaxNode | undefined => nodesIn(value)[0];

/** The name of an identifier or the value of a string literal, else ''. */
export function nameOf(node: SyntaxNode | undefined): string {
  const name = node?.['name'] ?? node?.['value'];
  return typeof name === 'string' ? name : '';
}

/** Where a violation of `rule` at a node is reported. */
export function violation(rule: string, at: { path: string; line: number }, message: string): Violation {
  return { rule, path: at.path, line: at.line, message };
}

const COMMENT_FIELDS = new Set(['leadingComments', 'trailingComments', 'innerComments', 'loc', 'extra']);

function visitAll(program: SyntaxNode): Visit[] {
  const visits: Visit[] = [{ node: program, parent: undefined, field: '' }];
  for (let index = 0; index < visits.length; index += 1) {
    const visit = visits[index];
    if (visit === undefined) break;
    for (const [field, value] of Object.entries(visit.node)) {
      if (COMMENT_FIELDS.has(field)) continue;
      for (const node of nodesIn(value)) visits.push({ node, parent: visit, field });
    }
  }
  return visits;
}

function importedNames(node: SyntaxNode): readonly string[] {
  return nodesIn(node['specifiers']).map((specifier) => {
    if (specifier.type === 'ImportSpecifier') return nameOf(nodeIn(specifier['imported']));
    if (specifier.type === 'ExportSpecifier') return nameOf(nodeIn(specifier['local']));
    return specifier.type === 'ImportDefaultSpecifier' ? 'default' : '*';
  });
}

function isTypeOnly(node: SyntaxNode): boolean {
  if (node['importKind'] === 'type' || node['exportKind'] === 'type') return true;
  const specifiers = nodesIn(node['specifiers']);
  return (
    specifiers.length > 0 &&
    specifiers.every((specifier) => specifier['importKind'] === 'type' || specifier['exportKind'] === 'type')
  );
}

type Raw = Pick<Link, 'how' | 'isType' | 'names'> & { readonly from: SyntaxNode | undefined };

function rawLink(node: SyntaxNode): Raw | undefined {
  switch (node.type) {
    case 'ImportDeclaration':
      return { how: 'import', isType: isTypeOnly(node), names: importedNames(node), from: nodeIn(node['source']) };
    case 'ExportNamedDeclaration':
      return { how: 'export', isType: isTypeOnly(node), names: importedNames(node), from: nodeIn(node['source']) };
    case 'ExportAllDeclaration':
      return { how: 'export', isType: isTypeOnly(node), names: ['*'], from: nodeIn(node['source']) };
    case 'TSImportType':
      return { how: 'import', isType: true, names: [nameOf(nodeIn(node['qualifier']))], from: nodeIn(node['source']) };
    case 'ImportExpression':
      return { how: 'dynamic', isType: false, names: ['*'], from: nodeIn(node['source']) };
    case 'NewExpression':
      if (nameOf(nodeIn(node['callee'])) !== 'URL' || nodesIn(node['arguments'])[1]?.type !== 'MemberExpression')
        return;
      return { how: 'url', isType: false, names: ['*'], from: nodesIn(node['arguments'])[0] };
    default:
      return undefined;
  }
}

/**
 * Where a specifier leads in the repository, undefined for packages. A URL is relative to its file even without a dot.
 * The console's scripts name each other by the path under which the node serves their folder.
 */
function resolve(path: string, how: Link['how'], specifier: string): string | undefined {
  const folder = posix.dirname(path);
  if (specifier.startsWith('/') && folder === BROWSER_FOLDER) return posix.join(folder, posix.basename(specifier));
  const isRelative = specifier.startsWith('.') || (how === 'url' && !specifier.includes(':'));
  return isRelative ? posix.join(folder, specifier) : undefined;
}

function linksOf(path: string, visits: readonly Visit[]): Link[] {
  return visits.flatMap(({ node }) => {
    const raw = rawLink(node);
    if (raw?.from?.type !== 'StringLiteral') return [];
    const specifier = nameOf(raw.from);
    const target = resolve(path, raw.how, specifier);
    return [{ how: raw.how, specifier, path: target, isType: raw.isType, names: raw.names, line: node.loc.start.line }];
  });
}

/** Parses a .ts, .js or .mjs file. Throws SyntaxError with the file's name when it does not parse. */
export function parseSource(file: TextFile): Source {
  const isTypeScript = file.path.endsWith('.ts');
  const tree = parse(file.text, {
    sourceType: 'module',
    sourceFilename: file.path,
    plugins: isTypeScript ? ['typescript'] : [],
  });
  // The parser's nodes all have type, start, end and loc; the rules read every other field through nodesIn and nameOf.
  const program = tree.program as unknown as SyntaxNode;
  const comments = (tree.comments ?? []).map((comment) => ({
    text: comment.value,
    isDoc: comment.type === 'CommentBlock' && comment.value.startsWith('*'),
    start: comment.start ?? 0,
    end: comment.end ?? 0,
    firstLine: comment.loc?.start.line ?? 0,
    lastLine: comment.loc?.end.line ?? 0,
  }));
  const visits = visitAll(program);
  return {
    ...file,
    lines: file.text.replace(/\n$/, '').split('\n'),
    visits,
    statements: nodesIn(program['body']),
    comments,
    links: linksOf(file.path, visits),
  };
}
