// Keys of TLS: where certificates are, and what is wrong between them and the addresses.
import { describe, expect, test } from 'vitest';
import { parseConfig, renderEffective } from '../../agent/config.ts';

describe('certificates', () => {
  const load = (text: string) => {
    const loaded = parseConfig(`version: 1\n${text}`, '/etc/nearcast/nearcast.yaml');
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    return loaded;
  };

  test('their paths start at the folder of the file', () => {
    const { config, warnings } = load(
      'listen: { https: "[::]:443" }\ntls: { cert: tls/a.pem, key: /k.pem }\nhosts:\n  - { names: [a.example], certificate: { cert: b.pem, key: c.pem } }\n  - { names: [b.example] }\n',
    );
    expect([config.listen.https, config.tls, warnings]).toEqual([
      { host: '::', port: 443 },
      { cert: '/etc/nearcast/tls/a.pem', key: '/k.pem' },
      [],
    ]);
    expect(config.hosts.map(({ certificate }) => certificate)).toEqual([
      { cert: '/etc/nearcast/b.pem', key: '/etc/nearcast/c.pem' },
      null,
    ]);
    const again = parseConfig(renderEffective(config), '/elsewhere/nearcast.yaml');
    expect(again).toMatchObject({ ok: true, config });
  });

  test('one that nobody can see, and a host without any, are warned of', () => {
    const messages = (text: string) => load(text).warnings.map(({ line, path, message }) => [line, path, message]);
    const unused = 'a certificate is of no use while listen.https is null';
    expect(messages('tls: { cert: a, key: b }\n')).toEqual([[2, 'tls', unused]]);
    expect(messages('hosts: [{ names: [a], certificate: { cert: a, key: b } }]\n')).toEqual([[2, 'hosts', unused]]);
    const both =
      'listen: { https: "[::]:443" }\nhosts:\n  - { names: [a], certificate: { cert: a, key: b } }\n  - names: [b]\n';
    expect(messages(both)).toEqual([[5, 'hosts[1].names', 'without a certificate, as tls is null: no TLS for it']]);
  });
});

test.each<[name: string, text: string, expected: readonly (string | RegExp)[]]>([
  [
    'https without a certificate, on the port of the metrics',
    'version: 1\nlisten: { https: "0.0.0.0:9464" }\n',
    [
      '2:18 listen.https: needs a certificate: set tls, or certificate of a host',
      '2:18 listen.https: port 9464 is already that of admin.metrics',
    ],
  ],
  [
    'https on the port of http',
    'version: 1\nlisten: { http: "[::]:443", https: "0.0.0.0:443" }\ntls: { cert: a, key: b }\n',
    ['2:36 listen.https: port 443 is already that of listen.http'],
  ],
  [
    'a certificate without its key',
    'version: 1\ntls: { cert: a }\nhosts:\n  - { names: [a], certificate: { key: b } }\n',
    [/^2:1 tls\.key: missing/, /^4:\d+ hosts\[0\]\.certificate\.cert: missing/],
  ],
])('%s', (_name, text, expected) => {
  const loaded = parseConfig(text, 'nearcast.yaml');
  const found = loaded.ok ? [] : loaded.problems.map((one) => `${one.line}:${one.column} ${one.path}: ${one.message}`);
  expect(found).toEqual(expected.map((one) => (typeof one === 'string' ? one : expect.stringMatching(one))));
});
