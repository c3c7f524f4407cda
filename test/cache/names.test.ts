// Names asked for at a real name server over UDP: addresses with their time to live, and who is asked when it knows nothing.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LookupName } from '../../cache/contract.ts';
import { lookupNames } from '../../cache/names.ts';
import { type FakeDns, openFakeDns } from '../fake/dns.ts';

let dns: FakeDns;
let folder: string;
let hostsFile: string;
const system: LookupName = async (name) => {
  if (name.startsWith('none')) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
  return [{ address: '192.0.2.9', family: 4 }];
};
const bySystem = [{ address: '192.0.2.9', family: 4 }];

beforeAll(async () => {
  dns = await openFakeDns();
  folder = await mkdtemp(join(tmpdir(), 'nearcast-hosts-'));
  hostsFile = join(folder, 'hosts');
  await writeFile(
    hostsFile,
    '127.0.0.1 localhost\n192.0.2.7\tOrigin.Local  alias.local # other.local\n#192.0.2.8 off.local\n',
  );
});
afterAll(async () => {
  await dns.close();
  await rm(folder, { recursive: true, force: true });
});

const ask = (name: string, file = hostsFile) => lookupNames({ servers: [dns.server], hostsFile: file, system })(name);

test('both families with their time to live', async () => {
  dns.set('two.test', { addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::5'], ttlSeconds: 77 });
  expect(await ask('two.test')).toEqual([
    { address: '192.0.2.1', family: 4, ttlSeconds: 77 },
    { address: '192.0.2.2', family: 4, ttlSeconds: 77 },
    { address: '2001:db8::5', family: 6, ttlSeconds: 77 },
  ]);
});

test('one family is enough', async () => {
  dns.set('six.test', { addresses: ['2001:db8::6'], ttlSeconds: 5 });
  expect(await ask('six.test')).toEqual([{ address: '2001:db8::6', family: 6, ttlSeconds: 5 }]);
});

test.each(['origin.local', 'ALIAS.local'])('%s is in the hosts file: no name server is asked', async (name) => {
  dns.set(name.toLowerCase(), { addresses: ['192.0.2.66'], ttlSeconds: 5 });
  expect(await ask(name)).toEqual(bySystem);
  expect(dns.asked(name.toLowerCase())).toBe(0);
});

test.each(['other.local', 'off.local'])('%s is only in a comment of it', async (name) => {
  dns.set(name, { addresses: ['192.0.2.66'], ttlSeconds: 5 });
  expect(await ask(name)).toEqual([{ address: '192.0.2.66', family: 4, ttlSeconds: 5 }]);
});

test('without a hosts file name servers are asked', async () => {
  dns.set('origin.local', { addresses: ['192.0.2.66'], ttlSeconds: 5 });
  expect(await ask('origin.local', join(folder, 'missing'))).toEqual([
    { address: '192.0.2.66', family: 4, ttlSeconds: 5 },
  ]);
});

test('what name servers do not know, or have no address for, the system is asked', async () => {
  dns.set('empty.test', { addresses: [], ttlSeconds: 5 });
  expect([await ask('unknown.test'), await ask('empty.test')]).toEqual([bySystem, bySystem]);
  expect([dns.asked('unknown.test'), dns.asked('empty.test')]).toEqual([1, 1]);
});

test('name servers that fail: the system is asked', async () => {
  dns.fail(true);
  expect(await ask('two.test')).toEqual(bySystem);
  dns.fail(false);
});

test('what nobody knows is rejected with the system’s code', async () => {
  await expect(ask('none.test')).rejects.toMatchObject({ code: 'ENOTFOUND' });
});
