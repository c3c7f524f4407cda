// TLS at the listener: protocols and groups, certificates by name, their renewal while viewers are served, and limits.
import { unlink, writeFile } from 'node:fs/promises';
import { connect as connectPlain } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import type { CertificateFiles } from '../../../cache/contract.ts';
import { type Certificates, openCertificates } from '../../../cache/listen/certificates.ts';
import { TLS_SETTINGS } from '../../../cache/listen/tls.ts';
import { makeAuthority } from '../../fake/certificates.ts';
import { until } from '../until.ts';
import { openNode, type TestNode } from './node.ts';
import { authority, filesOf, putFiles, shakeHands } from './secure.ts';

const DAY_MS = 24 * 3_600_000;
let node: TestNode | undefined;
const sockets: TLSSocket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await node?.close();
  node = undefined;
});

const nameOf = (socket: TLSSocket): string | undefined => socket.getPeerCertificate().subjectaltname;
const shake: typeof shakeHands = async (...args) => {
  const socket = await shakeHands(...args);
  sockets.push(socket);
  return socket;
};

describe('handshakes', () => {
  test('the hybrid group is taken from whoever knows it, X25519 and P-256 from others, nothing else', async () => {
    node = await openNode({ certificate: await filesOf(authority.issue(['localhost'])) });
    const { securePort } = node;
    const groupOf = async (ecdhCurve: string) =>
      Reflect.get((await shake(securePort, { ecdhCurve })).getEphemeralKeyInfo() ?? {}, 'name');
    expect(await groupOf('X25519:X25519MLKEM768')).toBe('X25519MLKEM768');
    expect(await groupOf('X25519')).toBe('X25519');
    expect(await groupOf('P-256')).toBe('prime256v1');
    await expect(groupOf('P-384')).rejects.toThrow();
    expect(node.cache.stats().handshakeFailures).toBe(1);
  });

  test('TLS 1.2 and 1.3, AES-128 first, ChaCha20 for whoever has it first; h2 before http/1.1; nothing older', async () => {
    node = await openNode({ certificate: await filesOf(authority.issue(['localhost'])) });
    const { securePort } = node;
    const modern = await shake(securePort, { ALPNProtocols: ['http/1.1', 'h2'] });
    expect([modern.getProtocol(), modern.getCipher().name, modern.alpnProtocol]).toEqual([
      ...['TLSv1.3', 'TLS_AES_128_GCM_SHA256', 'h2'],
    ]);
    const older = await shake(securePort, { maxVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'] });
    expect([older.getProtocol(), older.getCipher().name, older.alpnProtocol]).toEqual([
      ...['TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256', 'http/1.1'],
    ]);
    const ciphers = 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';
    expect((await shake(securePort, { ciphers })).getCipher().name).toBe('TLS_CHACHA20_POLY1305_SHA256');
    await expect(shake(securePort, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' })).rejects.toThrow();
    await expect(shake(securePort, { ALPNProtocols: ['spdy/3'] })).rejects.toThrow();
  });

  test('a session is resumed by its ticket, also after the certificate has changed', async () => {
    const files = await filesOf(authority.issue(['localhost']));
    node = await openNode({ certificate: files });
    const { securePort, cache } = node;
    const first = await shake(securePort, { ALPNProtocols: ['http/1.1'] });
    const session = await new Promise<Buffer>((resolve) => first.once('session', resolve));
    const options = { session, ALPNProtocols: ['http/1.1'] };
    expect((await shake(securePort, options)).isSessionReused()).toBe(true);
    await cache.reload({ ...reloadable(node), certificate: await filesOf(authority.issue(['localhost'])) });
    expect((await shake(securePort, options)).isSessionReused()).toBe(true);
  });

  test('HTTP/1.1 over TLS: kept alive, malformed refused, drained', async () => {
    node = await openNode({ certificate: await filesOf(authority.issue(['localhost'])) });
    const { securePort, origin, cache } = node;
    origin.set('/a', { body: 'ok', headers: { 'cache-control': 'max-age=60' } });
    const socket = await shake(securePort, { ALPNProtocols: [] });
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    const request = 'GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n';
    socket.write(request);
    await until(() => text.endsWith('ok'));
    socket.write(request);
    await until(() => text.match(/HTTP\/1\.1 200/g)?.length === 2 && text.endsWith('ok'));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write('GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n');
    await closed;
    expect(text).toMatch(/HTTP\/1\.1 400 /);
    const idle = await shake(securePort, { ALPNProtocols: ['http/1.1'] });
    idle.write(request);
    await new Promise((resolve) => idle.once('data', resolve));
    const gone = new Promise((resolve) => idle.once('close', resolve));
    await cache.close(60_000);
    await gone;
  });

  test('who does not shake hands in time is cut and counted; who sends no TLS at once', async () => {
    const limits = { headTimeoutMs: 200 };
    node = await openNode({ certificate: await filesOf(authority.issue(['localhost'])), limits });
    const { securePort, cache } = node;
    const silent = connectPlain(securePort, '127.0.0.1');
    const plain = connectPlain(securePort, '127.0.0.1', () => plain.write('GET / HTTP/1.1\r\n\r\n'));
    for (const socket of [silent, plain]) socket.on('error', () => undefined).resume();
    await Promise.all([silent, plain].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    await until(() => cache.stats().openConnections === 0);
    expect(cache.stats().handshakeFailures).toBe(2);
  });

  test('who has to wait while newcomers are limited shakes hands afterwards, with what he had sent before', async () => {
    // Every turn is late.
    node = await openNode({
      certificate: await filesOf(authority.issue(['localhost'])),
      limits: { overloadDelayMs: 0.001 },
    });
    const { securePort, cache } = node;
    const crowd = () => Promise.allSettled(Array.from({ length: 30 }, () => shake(securePort)));
    while (cache.stats().shed.overload === 0) await crowd();
    const groups = [await crowd(), await crowd()];
    const inside = groups.flat().filter(({ status }) => status === 'fulfilled');
    // More than the eight who find room at once.
    expect(inside.length).toBeGreaterThan(8);
    expect(cache.stats().handshakeFailures).toBe(0);
  });
});

/** What a reload that changes nothing is told. */
function reloadable({ origin }: TestNode) {
  return {
    origins: [{ name: 'main', url: origin.url, match: '/' }],
    rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' },
  };
}

describe('certificates by name', () => {
  test('the exact name, else the longest wildcard, else the default; none for other names without a default', async () => {
    const [a, wild, fallback] = await Promise.all(
      ['a.example', '*.example', 'localhost'].map((name) => filesOf(authority.issue([name]))),
    );
    const hosts = [
      { names: ['a.example'], certificate: a ?? null },
      { names: ['*.example'], certificate: wild ?? null },
      { names: ['bare.other'] },
    ];
    node = await openNode({ hosts, certificate: fallback ?? null });
    const asked = async (servername: string) =>
      nameOf(await shake(node?.securePort ?? 0, { servername, checkServerIdentity: () => undefined }));
    expect(await asked('a.example')).toBe('DNS:a.example');
    expect(await asked('A.EXAMPLE')).toBe('DNS:a.example');
    expect(await asked('b.example')).toBe('DNS:*.example');
    expect(await asked('bare.other')).toBe('DNS:localhost');
    expect(await asked('')).toBe('DNS:localhost');
    expect(node.cache.stats().certificates.expiresAt.map(({ host }) => host)).toEqual([
      'a.example',
      '*.example',
      'default',
    ]);
    await node.cache.reload({ ...reloadable(node), hosts: hosts.slice(0, 1) });
    expect(await asked('a.example')).toBe('DNS:a.example');
    await expect(asked('b.example')).rejects.toThrow();
  });

  test('a reload to a certificate that cannot be used is refused whole', async () => {
    const files = await filesOf(authority.issue(['localhost']));
    node = await openNode({ certificate: files });
    const certificate = { ...files, key: `${files.key}.gone` };
    const refused = node.cache.reload({ ...reloadable(node), origins: [], certificate });
    await expect(refused).rejects.toMatchObject({ code: 'CACHE_CERTIFICATE_UNUSABLE' });
    expect(nameOf(await shake(node.securePort))).toBe('DNS:localhost');
  });
});

describe('files', () => {
  const logged: { event: string; fields: unknown }[] = [];
  let certificates: Certificates | undefined;
  afterEach(() => {
    certificates?.close();
    logged.length = 0;
  });
  const load = async (files: CertificateFiles, names: readonly string[] = [], now = Date.now) => {
    const hosts = names.length === 0 ? [] : [{ names, certificate: files }];
    const choice = names.length === 0 ? { certificate: files } : { hosts };
    const log = (_level: string, event: string, fields?: unknown) => void logged.push({ event, fields });
    certificates = await openCertificates(choice, { settings: TLS_SETTINGS, now, log }, () => undefined);
    return certificates;
  };

  const other = makeAuthority('another');
  test.each<[string, (files: CertificateFiles) => Promise<unknown>, RegExp]>([
    ['no certificate file', ({ cert }) => unlink(cert), /^cert .*cannot be read \(ENOENT\)/],
    ['no key file', ({ key }) => unlink(key), /^key .*cannot be read \(ENOENT\)/],
    ['no certificate in it', ({ cert }) => writeFile(cert, 'nothing'), /^cert .*no certificate in PEM/],
    ['no key in it', ({ key }) => writeFile(key, 'nothing'), /^key .*no private key in PEM/],
    ['a large file', ({ cert }) => writeFile(cert, Buffer.alloc(300_000)), /^cert .*cannot be read/],
    ["another's key", ({ key }) => writeFile(key, other.issue(['a']).key), /^key .*does not belong to/],
  ])('%s: refused, with the file named and not a byte of it', async (_name, spoil, message) => {
    const files = await filesOf(authority.issue(['localhost']));
    await spoil(files);
    const error: unknown = await load(files).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'CACHE_CERTIFICATE_UNUSABLE', message: expect.stringMatching(message) });
    expect(String(error)).not.toMatch(/PRIVATE|nothing/);
  });

  test('an expired one is used and shouted about, one that ends soon warned of, as one that lacks a name', async () => {
    const until = Date.now() - DAY_MS;
    await load(await filesOf(authority.issue(['a.example'], { from: until - DAY_MS, until })), [
      'a.example',
      'b.example',
    ]);
    certificates?.close();
    await load(await filesOf(authority.issue(['*.example.com'], { until: Date.now() + 13 * DAY_MS })), [
      '*.example.com',
      '*',
    ]);
    expect(logged).toEqual([
      { event: 'certificate.expired', fields: { host: 'a.example', days: -2 } },
      { event: 'certificate.lacks-names', fields: { host: 'a.example', names: ['b.example'] } },
      { event: 'certificate.expires-soon', fields: { host: '*.example.com', days: 12 } },
    ]);
  });

  test('changed files are taken; a pair that is half there, expired or not yet valid is not, until it is mended', async () => {
    const files = await filesOf(authority.issue(['old.example']));
    const opened = await load(files);
    const inUse = () => opened.fallback().cert?.toString();
    const first = inUse();
    await opened.poll();
    expect([inUse() === first, opened.stats().reloads]).toEqual([true, 0]);
    const next = authority.issue(['new.example']);
    await putFiles(files, { cert: next.cert, key: authority.issue(['x']).key });
    await opened.poll();
    await opened.poll();
    expect([inUse() === first, opened.stats().failures]).toEqual([true, 1]);
    await putFiles(files, next);
    await opened.poll();
    expect([inUse(), opened.stats().reloads]).toEqual([next.cert, 1]);
    await putFiles(
      files,
      authority.issue(['new.example'], { from: Date.now() - 2 * DAY_MS, until: Date.now() - DAY_MS }),
    );
    await opened.poll();
    await putFiles(files, authority.issue(['new.example'], { from: Date.now() + DAY_MS }));
    await opened.poll();
    await unlink(files.key);
    await opened.poll();
    await opened.poll();
    expect([inUse(), opened.stats().reloads, opened.stats().failures]).toEqual([next.cert, 1, 4]);
    const failed = logged.filter(({ event }) => event === 'certificate.reload-failed');
    expect(failed).toHaveLength(4);
    expect(JSON.stringify(logged)).not.toMatch(/PRIVATE|BEGIN/);
  });

  test('renewal reaches viewers without a restart: by itself, for the default and for a host', async () => {
    const fallback = await filesOf(authority.issue(['localhost']));
    const own = await filesOf(authority.issue(['a.example']));
    const renewed = authority.issue(['localhost', 'renewed.example']);
    const renewedOwn = authority.issue(['a.example', 'renewed.example']);
    node = await openNode({
      certificate: fallback,
      hosts: [{ names: ['a.example'], certificate: own }],
      certificatePollMs: 20,
    });
    const { securePort, cache } = node;
    const before = await shake(securePort);
    await putFiles(fallback, renewed);
    await putFiles(own, renewedOwn);
    await until(() => cache.stats().certificates.reloads === 2);
    expect(nameOf(await shake(securePort))).toBe('DNS:localhost, DNS:renewed.example');
    const options = { servername: 'a.example' };
    expect(nameOf(await shake(securePort, options))).toBe('DNS:a.example, DNS:renewed.example');
    expect(before.destroyed).toBe(false);
  });
});
