// Reads a Dockerfile into its instructions, and the rules that an image of ours keeps.

/** One instruction: its word in capitals, its arguments with line continuations joined, its first line from 1. */
export type Instruction = { readonly word: string; readonly text: string; readonly line: number };

/** Splits a Dockerfile into instructions; comments and empty lines fall out, also inside continued ones. */
export function parseDockerfile(text: string): readonly Instruction[] {
  const found: { word: string; text: string; line: number }[] = [];
  let isOpen = false;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const content = line.replace(/\\$/, '').trim();
    const last = found.at(-1);
    if (isOpen && last !== undefined) last.text += ` ${content}`;
    else {
      const [, word = '', rest = ''] = /^(\S+)\s*(.*)$/.exec(content) ?? [];
      found.push({ word: word.toUpperCase(), text: rest, line: index + 1 });
    }
    isOpen = line.endsWith('\\');
  }
  return found;
}

const WORDS = new Set([
  ...['FROM', 'RUN', 'CMD', 'LABEL', 'EXPOSE', 'ENV', 'ADD', 'COPY', 'ENTRYPOINT', 'VOLUME', 'USER', 'WORKDIR', 'ARG'],
  ...['STOPSIGNAL', 'HEALTHCHECK', 'SHELL', 'ONBUILD'],
]);

/** An exec-form command, or undefined when it is not a JSON list of strings. */
export function execForm(text: string): readonly string[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
  } catch {
    // Shell form, which is what this function tells apart.
    return undefined;
  }
}

/** The sources of a COPY from the build context, none for a copy from another stage. */
export function contextSources({ word, text }: Instruction): readonly string[] {
  if (word !== 'COPY' || text.includes('--from=')) return [];
  return text
    .split(/\s+/)
    .filter((part) => !part.startsWith('--'))
    .slice(0, -1);
}

/** What is wrong with an image's recipe; `exists` tells whether a path is in the repository. */
export function findFaults(instructions: readonly Instruction[], exists: (path: string) => boolean): readonly string[] {
  const of = (word: string) => instructions.filter((instruction) => instruction.word === word);
  const stages = new Set(of('FROM').map(({ text }) => / AS (\S+)$/i.exec(text)?.[1]));
  const lastFrom = instructions.findLastIndex(({ word }) => word === 'FROM');
  const user = instructions.slice(lastFrom).findLast(({ word }) => word === 'USER')?.text ?? 'root';
  const health = of('HEALTHCHECK')[0]?.text ?? '';
  const isExec = (word: string) => execForm(of(word).at(-1)?.text ?? '') !== undefined;
  return [
    ...instructions
      .filter(({ word }) => !WORDS.has(word))
      .map(({ word, line }) => `line ${line}: no instruction ${word}`),
    ...(instructions[0]?.word === 'FROM' ? [] : ['does not begin with FROM']),
    ...of('FROM')
      .map(({ text }) => text.replace(/^--\S+ /, '').split(' ')[0] ?? '')
      .filter((base) => !stages.has(base) && !/(:\d[\w.-]*|@sha256:[0-9a-f]{64})$/.test(base))
      .map((base) => `base ${base} is not pinned`),
    ...of('ADD').map(({ line }) => `line ${line}: ADD fetches and unpacks; COPY`),
    ...of('RUN')
      .filter(({ text }) => /\b(curl|wget)\b/.test(text))
      .map(({ line }) => `line ${line}: fetches something that no lockfile knows`),
    ...(/^(root|0)\b/.test(user) ? ['runs as root'] : []),
    ...(health.includes('/readyz') ? [] : ['no HEALTHCHECK on /readyz']),
    ...(of('VOLUME').length > 0 ? [] : ['no VOLUME for the state']),
    ...(isExec('ENTRYPOINT') && isExec('CMD') ? [] : ['a shell would stand between the signal and the daemon']),
    ...instructions
      .flatMap(contextSources)
      .filter((path) => !exists(path))
      .map((path) => `copies ${path}, which is not there`),
  ];
}
