// Names asked for at the system and at a real name server over UDP, which tells how long the system's answer counts.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LookupName } from '../../cache/contract.ts';
import { lookupNames } from '../../cache/origin/names.ts';
import { type FakeDns, openFakeDns } from '../fake/dns.ts';

let dns: FakeDns;
beforeAll(async () => {
  dns = await openFakeDns();
});
afterAll(() => dns.close());

const four = { address: '192.0.2.1', family: 4 } as const;
const six = { address: '2001:db8::5', family: 6 } as const;
const none: LookupName = async () => {
  throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
};
const ask = (name: string, system: LookupName = async () => [six, four]) =>
  lookupNames({ servers: [dns.server], system })(name);
const within = (ttlSeconds: number) => [six, four].map((each) => ({ ...each, ttlSeconds }));

test('the system says what, in its order, and name servers how long', async () => {
  dns.set('two.test', { addresses: [four.address, six.address], ttlSeconds: 77 });
  expect(await ask('two.test')).toEqual(within(77));
});

test.each([four.address, six.address])('one family is enough: %s', async (address) => {
  dns.set('one.test', { addresses: [address], ttlSeconds: 5 });
  expect(await ask('one.test')).toEqual(within(5));
});

test('what the hosts file says is not what name servers say: it counts half a minute', async () => {
  dns.set('hosts.test', { addresses: ['192.0.2.66'], ttlSeconds: 250 });
  expect(await ask('hosts.test')).toEqual(within(30));
});

test('what name servers do not know, or have no address for, has no time to live', async () => {
  dns.set('empty.test', { addresses: [], ttlSeconds: 5 });
  for (const name of ['unknown.test', 'empty.test']) expect(await ask(name)).toEqual([six, four]);
  expect([dns.asked('unknown.test'), dns.asked('empty.test')]).toEqual([1, 1]);
});

test.each(['fail', 'stay silent'] as const)('name servers that %s hold nothing up', async (how) => {
  dns.set('two.test', { addresses: [four.address], ttlSeconds: 77 });
  dns.be(how);
  expect(await ask('two.test')).toEqual([six, four]);
  dns.be('right');
});

test('what the system does not know is rejected with its code, whoever else knows it', async () => {
  dns.set('two.test', { addresses: [four.address], ttlSeconds: 77 });
  await expect(ask('two.test', none)).rejects.toMatchObject({ code: 'ENOTFOUND' });
});

test('by itself it asks the system', async () => {
  const found = await lookupNames({ servers: [dns.server] })('localhost');
  expect(found.map(({ address }) => address)).toContain(found[0]?.family === 6 ? '::1' : '127.0.0.1');
});
