// nearcast.yaml: every default, every kind of mistake with its line, and the small grammars of its values.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { type Config, configJsonSchema, loadConfig, parseConfig, renderEffective } from '../../agent/config.ts';

const dir = mkdtempSync(join(tmpdir(), 'nearcast-config-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function valid(text: string): Config {
  const loaded = parseConfig(text, '/etc/nearcast/nearcast.yaml');
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}

/** Problems as `line:column path: message`. */
function problems(text: string): readonly string[] {
  const loaded = parseConfig(text, '/etc/nearcast/nearcast.yaml');
  return loaded.ok ? [] : loaded.problems.map((at) => `${at.line}:${at.column} ${at.path}: ${at.message}`);
}

const CONTRACT = `version: 1
node: { id: edge-01, region: eu-west }
listen: { http: "127.0.0.1:8080", https: null, workers: 1, unixSocketFd: null }
admin: { metrics: "127.0.0.1:9464", socket: run/nearcast.sock }
state: { dir: var/state }
origins:
  - { name: main, url: "http://127.0.0.1:8090", match: "/" }
store: { ramBytes: 256MiB, dirs: [{ path: var/store, maxBytes: 20GiB }], required: false }
cache: { defaultTtlSeconds: 0, graceSeconds: 60, target: "Nearcast-Cache-Control" }
catalogue: { file: var/catalogue.jsonl, titlePattern: "^/titles/(?<title>[^/]+)/" }
publish: { dir: var/titles }
predict: { enabled: true }
prefetch: { enabled: true, window: { cron: "0 2 * * *", minutes: 240, timeZone: Europe/Berlin }, bytesPerSecond: 20MiB, bytesPerDay: 500GiB, inSession: true }
encode: { enabled: true, codecs: [h264], vmafCap: 95, cpuShare: 0.5 }
preview: { enabled: true, deadlineMs: 100 }
privacy: { retentionDays: 7 }
agent: on
`;

describe('a good configuration', () => {
  test('reads every key of the documented example', () => {
    const config = valid(CONTRACT);
    expect(config.node).toEqual({ id: 'edge-01', region: 'eu-west' });
    expect(config.listen.http).toEqual({ host: '127.0.0.1', port: 8080 });
    expect(config.listen).toMatchObject({ maxConnections: 16_384, maxRequests: 8192, addressLimit: 1024 });
    expect(config.store).toEqual({
      ramBytes: 256 * 2 ** 20,
      maxResidentBytes: null,
      dirs: [{ path: '/etc/nearcast/var/store', maxBytes: 20 * 2 ** 30 }],
      required: false,
      scrubDays: 30,
    });
    expect(config.admin.socket).toBe('/etc/nearcast/run/nearcast.sock');
    expect(config.prefetch.bytesPerDay).toBe(500 * 2 ** 30);
    expect(config.prefetch.window.timeZone).toBe('Europe/Berlin');
    expect(config.agent).toBe('on');
  });

  test('has a default for everything but the version', () => {
    const example = valid(CONTRACT);
    const config = valid('version: 1\n');
    expect(config.origins).toEqual(example.origins);
    expect(config.store).toEqual(example.store);
    expect(config.cache).toEqual(example.cache);
    expect(config.catalogue).toEqual(example.catalogue);
    expect(config.encode).toEqual(example.encode);
  });

  test('leaves absolute paths and absolute secret files alone, and resolves the others', () => {
    const config = valid(
      'version: 1\nstate: { dir: /srv/state }\nprivacy: { viewerTokenSecret: { file: keys/viewer } }\nencode: { ffmpegPath: bin/ffmpeg }\ntelemetry: { accessLogs: [/var/log/a.log, b.log] }\n',
    );
    expect(config.state.dir).toBe('/srv/state');
    expect(config.privacy.viewerTokenSecret).toEqual({ file: '/etc/nearcast/keys/viewer' });
    expect(config.encode.ffmpegPath).toBe('/etc/nearcast/bin/ffmpeg');
    expect(config.telemetry.accessLogs).toEqual(['/var/log/a.log', '/etc/nearcast/b.log']);
  });

  test.each([CONTRACT, 'version: 1\nlisten: { http: "[::1]:0" }\n'])('its effective form loads to itself', (text) => {
    const config = valid(text);
    expect(valid(renderEffective(config))).toEqual(config);
  });

  test('reads hosts, each with what it leaves out', () => {
    const config = valid('version: 1\nhosts:\n  - { names: [cdn.example.com, "*.example.net"], origins: [main] }\n');
    expect(config.hosts).toEqual([
      {
        names: ['cdn.example.com', '*.example.net'],
        ...{ origins: ['main'], hostHeader: 'origin', ignoredQuery: null },
        ...{ certificate: null, signing: null, purgeTokens: [] },
        quota: { requestsPerSecond: null, bytesPerSecond: null, originRequests: null, diskBytes: null },
      },
    ]);
    expect(valid(renderEffective(config))).toEqual(config);
  });

  test('reads the servers of an origin and how they are checked', () => {
    const config = valid(
      'version: 1\norigins: [{ name: a, url: "http://a", backups: ["https://b/x"], health: { path: /up } }]\n',
    );
    expect(config.origins[0]).toMatchObject({
      backups: ['https://b/x'],
      health: { path: '/up', intervalSeconds: 5, timeoutMs: 2000, expect: 200, rise: 2, fall: 3 },
    });
  });

  test('two hosts may have origins for the same paths', () => {
    const text =
      'version: 1\norigins: [{ name: a, url: "http://a" }, { name: b, url: "http://b" }]\nhosts: [{ names: [x], origins: [a] }, { names: [y], origins: [b] }]\n';
    expect(parseConfig(text, 'nearcast.yaml')).toMatchObject({ ok: true, warnings: [] });
  });

  test.each([
    [
      'an origin that no host has',
      'version: 1\norigins:\n  - { name: a, url: "http://a", match: /x/ }\n  - { name: b, url: "http://b" }\nhosts: [{ names: [x], origins: [a] }]\n',
      { line: 4, column: 13, path: 'origins[1].name' },
    ],
    [
      'names that whoever asks may choose',
      'version: 1\nhosts: [{ names: ["*"], hostHeader: forward }]\n',
      { line: 2, column: 19, path: 'hosts[0].names[0]' },
    ],
  ])('warns of %s', (_name, text, warning) => {
    expect(parseConfig(text, 'nearcast.yaml')).toMatchObject({ ok: true, warnings: [warning] });
  });

  test('warns of metrics that other hosts can read', () => {
    const loaded = parseConfig('version: 1\nadmin:\n  metrics: "0.0.0.0:9464"\n', 'nearcast.yaml');
    expect(loaded).toMatchObject({ ok: true, warnings: [{ line: 3, column: 12, path: 'admin.metrics' }] });
  });
});

describe('mistakes', () => {
  test.each<[name: string, text: string, expected: readonly (string | RegExp)[]]>([
    ['no version', 'node: { id: a }\n', [/^1:1 version: missing; expected 1/]],
    ['another version', 'version: 2\n', ['1:10 version: expected 1, the version of this format']],
    ['empty file', '', [/^1:1 version: missing/]],
    ['a list', '- 1\n', [/^1:1 : Invalid input: expected object/]],
    ['unknown key', 'version: 1\norgins: []\n', ['2:1 orgins: unknown key "orgins"; did you mean "origins"?']],
    [
      'unknown nested key',
      'version: 1\nprefetch:\n  window:\n    cronn: "0 2 * * *"\n',
      ['4:5 prefetch.window.cronn: unknown key "cronn"; did you mean "cron"?'],
    ],
    [
      'unknown key in a list',
      'version: 1\norigins:\n  - { name: a, url: "http://a", math: "/" }\n',
      ['3:33 origins[0].math: unknown key "math"; did you mean "match"?'],
    ],
    ['wrong type', 'version: 1\nstate:\n  dir: 7\n', [/^3:8 state\.dir: Invalid input: expected string/]],
    ['bad size', 'version: 1\nstore: { ramBytes: 256MB }\n', [/^2:20 store\.ramBytes: expected a size like 256MiB/]],
    [
      'bad cron',
      'version: 1\nprefetch: { window: { cron: "0 25 * * *" } }\n',
      [/^2:29 .*cron: "25" does not fit the hour/],
    ],
    ['cron of four fields', 'version: 1\nprefetch: { window: { cron: "0 2 * *" } }\n', [/has 5 fields/]],
    ['no such zone', 'version: 1\nprefetch: { window: { timeZone: Mars/Olympus } }\n', [/not a time zone/]],
    ['pattern without its group', 'version: 1\ncatalogue: { titlePattern: "^/x/" }\n', [/needs a group named title/]],
    ['pattern that is none', 'version: 1\ncatalogue: { titlePattern: "(" }\n', [/^2:28 .*Invalid regular expression/]],
    ['address without port', 'version: 1\nlisten: { http: localhost }\n', [/^2:17 listen\.http: expected "host:port"/]],
    [
      'an address where a prefix belongs',
      'version: 1\nlisten: { exemptPrefixes: [10.0.0.1] }\n',
      [/^2:28 listen\.exemptPrefixes\[0\]: expected a prefix like 100\.64\.0\.0\/10/],
    ],
    ['no connections', 'version: 1\nlisten: { maxConnections: 0 }\n', [/^2:27 listen\.maxConnections: Too small/]],
    [
      'secret in the open',
      'version: 1\nprivacy: { viewerTokenSecret: hunter2 }\n',
      [/a secret itself never stands here/],
    ],
    ['agent: true', 'version: 1\nagent: true\n', [/^2:8 agent: Invalid option: expected one of "on"\|"off"/]],
    ['share above all', 'version: 1\nencode: { cpuShare: 1.5 }\n', [/^2:21 encode\.cpuShare: Too big/]],
    [
      'one port twice',
      'version: 1\nlisten: { http: "0.0.0.0:9464" }\n',
      ['1:1 admin.metrics: port 9464 is already that of listen.http'],
    ],
    [
      'hints that workers cannot give',
      'version: 1\nlisten: { workers: 2 }\nprefetch: { cmsd: true }\n',
      ['3:19 prefetch.cmsd: workers do not know what to tell: set listen.workers to 1'],
    ],
    [
      'an origin behind a shorter match',
      'version: 1\norigins:\n  - { name: a, url: "http://a", match: "/" }\n  - { name: b, url: "http://b", match: "/vod/" }\n',
      [/^4:40 origins\[1\]\.match: never reached: "\/" of origin "a"/],
    ],
    [
      'two origins of one name',
      'version: 1\norigins:\n  - { name: a, url: "http://a", match: "/x" }\n  - { name: a, url: "http://b" }\n',
      [/^4:13 origins\[1\]\.name: the name "a" is already taken/],
    ],
    [
      'a server of an origin twice',
      'version: 1\norigins: [{ name: a, url: "http://a", backups: ["http://b", "http://a"] }]\n',
      ['2:61 origins[0].backups[1]: the server "http://a" is already one of "a"'],
    ],
    [
      'a host with an origin that is none',
      'version: 1\nhosts: [{ names: [x], origins: [man] }]\n',
      ['2:33 hosts[0].origins[0]: no origin has the name "man"'],
    ],
    [
      'two hosts of one name',
      'version: 1\nhosts: [{ names: [x] }, { names: [y, x] }]\n',
      ['2:38 hosts[1].names[1]: the name "x" is already taken'],
    ],
    [
      'a host whose second origin is never reached',
      'version: 1\norigins: [{ name: a, url: "http://a", match: /v/ }, { name: b, url: "http://b" }]\nhosts: [{ names: [x], origins: [b, a] }]\n',
      [/^3:36 hosts\[0\]\.origins\[1\]: never reached: "\/" of origin "b"/],
    ],
    [
      'a host name with a port',
      'version: 1\nhosts: [{ names: ["x:80"] }]\n',
      [/^2:19 hosts\[0\]\.names\[0\]: expected cdn/],
    ],
    [
      'a quota of disk that is no size',
      'version: 1\nhosts: [{ names: [x], quota: { diskBytes: 10GB } }]\n',
      [/^2:43 hosts\[0\]\.quota\.diskBytes: expected a size like 256MiB/],
    ],
    [
      'a quota of disk below nothing',
      'version: 1\nhosts: [{ names: [x], quota: { diskBytes: -1 } }]\n',
      [/^2:43 hosts\[0\]\.quota\.diskBytes: Too small/],
    ],
    [
      'a check without its path',
      'version: 1\norigins: [{ name: a, url: "http://a", health: {} }]\n',
      [/health\.path: missing/],
    ],
    [
      'a window that meets itself',
      'version: 1\nprefetch: { window: { cron: "0 2,4 * * *", minutes: 121 } }\n',
      [/^2:53 prefetch\.window\.minutes: 121 minutes do not fit/],
    ],
    [
      'one store directory twice',
      'version: 1\nstore: { dirs: [{ path: a/b }, { path: ./a//b/ }] }\n',
      [/^2:40 store\.dirs\[1\]\.path: the directory ".\/a\/\/b\/" is already listed/],
    ],
    [
      'less memory than its processes take',
      'version: 1\nlisten: { workers: 4 }\nstore: { maxResidentBytes: 300MiB }\n',
      ['3:28 store.maxResidentBytes: expected at least 5 times 64MiB: the primary and 4 workers share it'],
    ],
    ['YAML that is none', 'version: 1\nnode: { id: a\nstate: {}\n', [/^\d+:\d+ : /]],
    ['a key twice', 'version: 1\nversion: 1\n', [/^2:1 : Map keys must be unique/]],
  ])('%s', (_name, text, expected) => {
    const found = problems(text);
    for (const one of expected) {
      expect(found).toContainEqual(typeof one === 'string' ? one : expect.stringMatching(one));
    }
    expect(found.length).toBeGreaterThan(0);
  });

  test('all are told at once, in the order of their lines, clashes included', () => {
    const found = problems(
      'version: 1\nnodes: {}\norigins:\n  - { name: a, url: "ftp://a" }\nlisten: { http: "127.0.0.1:9464" }\nencode: { vmafCap: 3 }\n',
    );
    expect(found.map((line) => line.replace(/:.*? /, ' ').split(':')[0])).toEqual([
      '1 admin.metrics',
      '2 nodes',
      '4 origins[0].url',
      '6 encode.vmafCap',
    ]);
  });

  test('a file that is not there, a folder, and a huge one are problems with the file named', () => {
    const huge = join(dir, 'huge.yaml');
    writeFileSync(huge, '#'.repeat(2 ** 20 + 1));
    for (const file of [join(dir, 'absent.yaml'), dir, huge]) {
      expect(loadConfig(file)).toMatchObject({ ok: false, problems: [{ file, line: 1, column: 1 }] });
    }
  });

  test('aliases cannot blow up', () => {
    const bomb = `version: 1\na: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
      .split('')
      .map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[i]}`).join(',')}]`)
      .join('\n')}\n`;
    expect(problems(bomb)).toEqual([expect.stringMatching(/alias/i)]);
  });

  test('any text gives a configuration or problems, never an exception', () => {
    const line = fc.constantFrom(...CONTRACT.split('\n'), 'a: [', '- b', '? c', '&x *x', '  window:', '!!js x', '\t');
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(line).map((lines) => lines.join('\n')),
        ),
        (text) => {
          const loaded = parseConfig(text, '/nearcast.yaml');
          expect(loaded.ok || loaded.problems.every((at) => at.line >= 1 && at.column >= 1)).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('JSON Schema for editors', () => {
  test('knows every section and forbids unknown keys', () => {
    const schema = configJsonSchema();
    expect(schema).toMatchObject({ type: 'object', additionalProperties: false, required: ['version'] });
    expect(Object.keys(Object(schema['properties']))).toEqual(
      expect.arrayContaining(['version', 'node', 'listen', 'origins', 'store', 'prefetch', 'privacy', 'agent']),
    );
  });
});
