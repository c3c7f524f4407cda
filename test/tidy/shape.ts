// Rules on the shape of one file: sizes, comments, and the few language features that hide mistakes.
import {
  nameOf,
  nodeIn,
  nodesIn,
  type Source,
  type SyntaxNode,
  type Violation,
  type Visit,
  violation,
} from './source.ts';

const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 70;
const MAX_PARAMETERS = 4;
const MAX_PURPOSE_LINES = 3;

const lineOf = (source: Source, node: SyntaxNode) => ({ path: source.path, line: node.loc.start.line });

/** A file is read at one sitting. */
function fileSize(source: Source): Violation[] {
  const count = source.lines.length;
  if (count <= MAX_FILE_LINES) return [];
  return [violation('file-size', { path: source.path, line: count }, `${count} lines, at most ${MAX_FILE_LINES}`)];
}

/** A file says in one to three lines what it is for, before anything else. */
function purpose(source: Source): Violation[] {
  const first = source.lines[0]?.startsWith('#!') === true ? 2 : 1;
  const opening = source.comments.find((comment) => comment.firstLine === first);
  const at = { path: source.path, line: first };
  if (opening === undefined)
    return [violation('purpose', at, 'begin with 1-3 lines of comment: what this file is for')];
  let last = opening.lastLine;
  for (let next = source.comments.find((comment) => comment.firstLine === last + 1); next !== undefined; ) {
    if (next.isDoc) break;
    last = next.lastLine;
    next = source.comments.find((comment) => comment.firstLine === last + 1);
  }
  const count = last - first + 1;
  if (count <= MAX_PURPOSE_LINES) return [];
  return [violation('purpose', at, `the purpose takes ${count} lines, at most ${MAX_PURPOSE_LINES}`)];
}

const FUNCTIONS = new Set([
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
  'ClassMethod',
  'ClassPrivateMethod',
  'ObjectMethod',
]);

/** `test` or `describe` when the function is handed to it in a test file, also to `test.each(table)`; else ''. */
function runnerOf(visit: Visit, source: Source): string {
  if (!source.path.endsWith('.test.ts') || visit.field !== 'arguments') return '';
  let callee = nodeIn(visit.parent?.node['callee']);
  while (callee !== undefined && callee.type !== 'Identifier') {
    callee = nodeIn(callee.type === 'MemberExpression' ? callee['object'] : (callee['callee'] ?? callee['tag']));
  }
  return /^(test|describe)$/.test(nameOf(callee)) ? nameOf(callee) : '';
}

/**
 * A function fits on a screen and takes few arguments, otherwise one options object. A suite holds its tests and is no
 * function to read; the columns of a table are no options.
 */
function functionSize(source: Source): Violation[] {
  return source.visits.flatMap((visit) => {
    const { node } = visit;
    if (!FUNCTIONS.has(node.type)) return [];
    const found: Violation[] = [];
    const lines = node.loc.end.line - node.loc.start.line + 1;
    const runner = runnerOf(visit, source);
    if (lines > MAX_FUNCTION_LINES && runner !== 'describe') {
      found.push(violation('function-size', lineOf(source, node), `${lines} lines, at most ${MAX_FUNCTION_LINES}`));
    }
    const parameters = nodesIn(node['params']).filter((parameter) => nameOf(parameter) !== 'this').length;
    if (parameters > MAX_PARAMETERS && runner === '') {
      const message = `${parameters} parameters, at most ${MAX_PARAMETERS}: take one options object`;
      found.push(violation('parameters', lineOf(source, node), message));
    }
    return found;
  });
}

/** `export type T = (typeof LIST)[number]` right below its list, and overloads, share the doc comment above. */
function sharesDoc(previous: SyntaxNode | undefined, statement: SyntaxNode): boolean {
  if (previous === undefined || previous.loc.end.line + 1 !== statement.loc.start.line) return false;
  const declaration = nodeIn(statement['declaration']);
  const above = nodeIn(previous['declaration']);
  if (above?.type === 'TSDeclareFunction') return nameOf(nodeIn(above['id'])) === nameOf(nodeIn(declaration?.['id']));
  if (declaration?.type !== 'TSTypeAliasDeclaration' || above?.type !== 'VariableDeclaration') return false;
  const names = nodesIn(above['declarations']).map((declarator) => nameOf(nodeIn(declarator['id'])));
  const mentioned = JSON.stringify(declaration['typeAnnotation']);
  return names.some((name) => mentioned.includes(`"TSTypeQuery"`) && mentioned.includes(`"name":"${name}"`));
}

/** Every exported declaration says what it is, in a doc comment right above it. */
function exportedDocs(source: Source): Violation[] {
  return source.statements.flatMap((statement, index) => {
    if (statement.type !== 'ExportNamedDeclaration' || nodeIn(statement['source']) !== undefined) return [];
    if (nodeIn(statement['declaration']) === undefined) {
      return [violation('exported-doc', lineOf(source, statement), 'export where it is declared, with a doc comment')];
    }
    const line = statement.loc.start.line;
    const isDocumented = source.comments.some((comment) => comment.isDoc && comment.lastLine + 1 === line);
    if (isDocumented || sharesDoc(source.statements[index - 1], statement)) return [];
    return [violation('exported-doc', lineOf(source, statement), 'an export without a doc comment right above it')];
  });
}

const isConst = (node: SyntaxNode) => nameOf(nodeIn(nodeIn(node['typeAnnotation'])?.['typeName'])) === 'const';

/** First lines of a node and of all that holds it, up to its statement or class member. */
function firstLines(visit: Visit): readonly number[] {
  const lines: number[] = [];
  for (let at: Visit | undefined = visit; at !== undefined; at = at.parent) {
    lines.push(at.node.loc.start.line);
    if (/^(Program|BlockStatement|ClassBody)$/.test(at.parent?.node.type ?? '')) break;
  }
  return lines;
}

/** A cast says why it is sound: a comment on its line, or above it or whatever holds it in its statement. */
function casts(source: Source): Violation[] {
  const commented = new Set<number>();
  for (const comment of source.comments) {
    for (let line = comment.firstLine; line <= comment.lastLine + 1; line += 1) commented.add(line);
  }
  const found: Violation[] = [];
  const asserted = source.visits.filter(({ node }) => /^TS(As|Type)(Expression|Assertion)$/.test(node.type));
  for (const visit of asserted.toSorted((a, b) => a.node.end - b.node.end)) {
    const { node } = visit;
    if (node.type === 'TSAsExpression' && isConst(node)) continue;
    const line = nodeIn(node['typeAnnotation'])?.loc.start.line ?? node.loc.end.line;
    if ([line, ...firstLines(visit)].some((above) => commented.has(above))) {
      // Casts on the very next line share the comment.
      commented.add(node.loc.end.line + 1);
      continue;
    }
    found.push(violation('cast', { path: source.path, line }, 'a cast without a comment that says why it is sound'));
  }
  return found;
}

/** No `any`, no `!`. */
function looseTypes(source: Source): Violation[] {
  return source.visits.flatMap(({ node }) => {
    if (node.type === 'TSAnyKeyword') return [violation('any', lineOf(source, node), 'unknown, or the exact type')];
    if (node.type === 'TSNonNullExpression' || node['definite'] === true) {
      return [violation('non-null', lineOf(source, node), 'no `!`: handle undefined, or assert')];
    }
    return [];
  });
}

/** vitest takes configurations and reporters by their default export. */
const MAY_EXPORT_DEFAULT = /^test\/((.*\/)?vitest\.config|reporter)\.ts$/;

/** Exports have names; no barrels. */
function exportForms(source: Source): Violation[] {
  return source.statements.flatMap((statement) => {
    if (statement.type === 'ExportDefaultDeclaration' && !MAY_EXPORT_DEFAULT.test(source.path)) {
      return [violation('default-export', lineOf(source, statement), 'export it by name')];
    }
    const isNamespace = nodesIn(statement['specifiers']).some((node) => node.type === 'ExportNamespaceSpecifier');
    if (statement.type === 'ExportAllDeclaration' || isNamespace) {
      return [violation('export-star', lineOf(source, statement), 'name what is re-exported')];
    }
    return [];
  });
}

/** Classes stand alone, but for errors. */
function inheritance(source: Source): Violation[] {
  return source.visits.flatMap(({ node }) => {
    const parent = nodeIn(node['superClass']);
    if (parent === undefined || /Error$/.test(nameOf(parent))) return [];
    return [violation('inheritance', lineOf(source, node), 'no inheritance but of errors: hold it, or pass functions')];
  });
}

/** The block that takes an error: of a catch clause, or of a `.catch(handler)` whose result nobody looks at. */
function catchingBody({ node, parent }: Visit): SyntaxNode | undefined {
  if (node.type === 'CatchClause') return nodeIn(node['body']);
  if (node.type !== 'CallExpression' || nameOf(nodeIn(nodeIn(node['callee'])?.['property'])) !== 'catch') return;
  const body = nodeIn(nodesIn(node['arguments'])[0]?.['body']);
  const isDiscarded = parent?.node.type === 'ExpressionStatement' || parent?.node['operator'] === 'void';
  return body?.type === 'BlockStatement' || isDiscarded ? body : undefined;
}

/** An error that is swallowed says why it is right to go on. */
function emptyCatch(source: Source): Violation[] {
  return source.visits.flatMap((visit) => {
    const { node } = visit;
    const body = catchingBody(visit);
    if (body === undefined) return [];
    const isEmpty = body.type === 'BlockStatement' ? nodesIn(body['body']).length === 0 : nameOf(body) === 'undefined';
    const isExplained = source.comments.some(
      (comment) =>
        (comment.start >= body.start && comment.end <= body.end) ||
        comment.lastLine === node.loc.end.line ||
        comment.lastLine + 1 === node.loc.start.line,
    );
    if (!isEmpty || isExplained) return [];
    return [violation('empty-catch', lineOf(source, node), 'an error is swallowed: say why it is right to go on')];
  });
}

/** Relative imports name the file that runs. */
function importEndings(source: Source): Violation[] {
  const ending = source.path.endsWith('.ts') ? '.ts' : '.js';
  return source.links.flatMap((link) => {
    if (link.path === undefined || link.how === 'url' || link.specifier.endsWith(ending)) return [];
    if (link.specifier.endsWith('.json')) return [];
    const at = { path: source.path, line: link.line };
    return [violation('import-ending', at, `'${link.specifier}' must end in ${ending}`)];
  });
}

/** Every rule on one file. */
export const SHAPE_RULES = [
  fileSize,
  purpose,
  functionSize,
  exportedDocs,
  casts,
  looseTypes,
  exportForms,
  inheritance,
  emptyCatch,
  importEndings,
] as const;
