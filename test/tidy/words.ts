// Rules on words and names: nothing unfinished in code or documents, and no names that say nothing.
import { type TextFile, type Violation, violation } from './source.ts';

/** The files of these rules spell the words they look for. */
const SPELLS_THEM = /^test\/(tidy\/words\.ts|tidy\.test\.ts)$/;

const WORDS: readonly { readonly pattern: RegExp; readonly message: string }[] = [
  { pattern: /\bTODO\b(?!\([a-z][\w-]*\))/, message: 'TODO without a name: finish it, or write TODO(name)' },
  { pattern: /\bFIXME\b/, message: 'FIXME: finish it' },
  { pattern: /\bXXX\b/, message: 'XXX: finish it, or say what is wrong' },
  { pattern: /<{7} |>{7} /, message: 'a merge conflict' },
];
/** Outside the tests nothing knows the evaluation data beside the repository, nor anybody's home folder. */
const OUTSIDE = { pattern: /\.\.\/shared\b|\/home\/\w|\/work\//, message: 'a path outside the repository' };

/** Words that mark unfinished work, and paths of one machine. */
export function words(file: TextFile): Violation[] {
  if (SPELLS_THEM.test(file.path)) return [];
  const looked = file.path.startsWith('test/') ? WORDS : [...WORDS, OUTSIDE];
  return file.text
    .split('\n')
    .flatMap((text, index) =>
      looked
        .filter(({ pattern }) => pattern.test(text))
        .map(({ message }) => violation('words', { path: file.path, line: index + 1 }, message)),
    );
}

const EMPTY_NAMES = new Set(['util', 'utils', 'helper', 'helpers', 'common', 'misc', 'types', 'services', 'lib']);
const CODE_NAME = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|bench|config))?\.(ts|js|mjs)$/;
const FOLDER_NAME = /^\.?[a-z0-9]+([-.][a-z0-9]+)*$/;

/** Folders and files say what they hold, in lower case with dashes. */
export function names(file: TextFile): Violation[] {
  const at = { path: file.path, line: 1 };
  const parts = file.path.split('/');
  const base = parts.at(-1) ?? '';
  const found = parts
    .slice(0, -1)
    .filter((folder) => EMPTY_NAMES.has(folder) || !FOLDER_NAME.test(folder))
    .map((folder) => violation('names', at, `folder '${folder}': lower case with dashes, naming what it holds`));
  if (!/\.(ts|js|mjs)$/.test(base)) return found;
  const stem = base.replace(/\..*$/, '');
  if (EMPTY_NAMES.has(stem) || !CODE_NAME.test(base)) {
    found.push(violation('names', at, `file '${base}': lower case with dashes, naming what it holds`));
  }
  return found;
}
