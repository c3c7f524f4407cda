// This server's own tokens, and the addresses in all of them.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AccessRequest, SigningKey } from '../../../cache/rules/access.ts';
import { checkHmac, signHmac } from '../../../cache/rules/access-hmac.ts';
import { addressBytes, isWithin, prefixOf } from '../../../cache/rules/address.ts';

const NOW_MS = 1_800_000_000_000;
const NOW = NOW_MS / 1000;
const key: SigningKey = { id: 'k1', secret: Buffer.from('0123456789abcdef0123456789abcdef') };
const other: SigningKey = { id: 'k2', secret: Buffer.from('fedcba9876543210fedcba9876543210') };
const request = (over: Partial<AccessRequest> = {}): AccessRequest => ({
  method: 'GET',
  scheme: 'https',
  host: 'cdn.test',
  port: '',
  path: '/titles/film/v0/seg-1.m4s',
  query: '',
  address: addressBytes('203.0.113.7'),
  ...over,
});

describe('HMAC tokens', () => {
  const at = { nowMs: NOW_MS, skewMs: 0 };
  const grant = { paths: ['/titles/film/*'], expiresSeconds: NOW + 60 };

  test('are what is written: a vector by hand', () => {
    const secret = Buffer.from('a secret of 24 characters');
    expect(signHmac({ paths: ['/a/*'], expiresSeconds: 1_800_000_000 }, { id: 'k', secret })).toBe(
      // printf 'kid=k~exp=1800000000~acl=/a/*' | openssl dgst -sha256 -hmac 'a secret of 24 characters'
      'kid=k~exp=1800000000~acl=/a/*~hmac=9d03ddd07286232fe60f1a706c73c1bb7690bdf316b6c9a7c1ef6c66243071ef',
    );
  });

  test.each<[name: string, over: object, asked: Partial<AccessRequest>, denial: string | null]>([
    ['a prefix', {}, {}, null],
    ['the path itself', { paths: ['/titles/film/v0/seg-1.m4s'] }, {}, null],
    ['one of several', { paths: ['/a', '/titles/*', '/b'] }, {}, null],
    ['another path', { paths: ['/titles/other/*'] }, {}, 'TOKEN_PATH'],
    ['a path alone covers nothing below', { paths: ['/titles/film/'] }, {}, 'TOKEN_PATH'],
    ['no path', { paths: [] }, {}, 'TOKEN_PATH'],
    ['ends now', { expiresSeconds: NOW }, {}, 'TOKEN_EXPIRED'],
    ['begins later', { notBeforeSeconds: NOW + 1 }, {}, 'TOKEN_NOT_YET'],
    ['its method', { methods: ['GET', 'HEAD'] }, { method: 'HEAD' }, null],
    ['another method', { methods: ['HEAD'] }, {}, 'TOKEN_METHOD'],
    ['its network', { network: '203.0.113.0/24' }, {}, null],
    ['its address', { network: '203.0.113.7' }, {}, null],
    ['another network', { network: '198.51.100.0/24' }, {}, 'TOKEN_ADDRESS'],
    ['another kind of address', { network: '2001:db8::/32' }, {}, 'TOKEN_ADDRESS'],
    ['an address that is not known', { network: '203.0.113.0/24' }, { address: undefined }, 'TOKEN_ADDRESS'],
    ['a network that is none', { network: 'x' }, {}, 'TOKEN_MALFORMED'],
  ])('%s', (_name, over, asked, denial) => {
    expect(checkHmac(signHmac({ ...grant, ...over }, key), request(asked), [key], at)).toBe(denial);
  });

  test('clocks may be apart as far as they are let', () => {
    const token = signHmac({ ...grant, expiresSeconds: NOW - 29, notBeforeSeconds: NOW - 60 }, key);
    expect(checkHmac(token, request(), [key], at)).toBe('TOKEN_EXPIRED');
    expect(checkHmac(token, request(), [key], { ...at, skewMs: 30_000 })).toBeNull();
  });

  test('keys change by their id; without one every key is tried', () => {
    const token = signHmac(grant, key);
    expect(checkHmac(token, request(), [other, key], at)).toBeNull();
    expect(checkHmac(token, request(), [other], at)).toBe('TOKEN_KEY_UNKNOWN');
    expect(checkHmac(token, request(), [{ ...other, id: 'k1' }], at)).toBe('TOKEN_SIGNATURE');
  });

  const good = signHmac(grant, key);
  test.each([
    ['nothing', '', 'TOKEN_MALFORMED'],
    ['no signature', good.split('~hmac=')[0], 'TOKEN_MALFORMED'],
    ['another end', good.replace(/exp=\d+/, `exp=${NOW + 9_999}`), 'TOKEN_SIGNATURE'],
    ['another path', good.replace('/titles/film/*', '/*'), 'TOKEN_SIGNATURE'],
    ['a field of the sender', `acl=/*~${good}`, 'TOKEN_MALFORMED'],
    ['an unknown field', `x=1~${good}`, 'TOKEN_MALFORMED'],
    ['something behind the signature', `${good}~x=1`, 'TOKEN_MALFORMED'],
    ['a signature in capitals', good.toUpperCase(), 'TOKEN_MALFORMED'],
    ['far too long', `${'x'.repeat(3000)}${good}`, 'TOKEN_MALFORMED'],
  ])('%s is refused', (_name, token, denial) => {
    expect(checkHmac(token ?? '', request(), [key], at)).toBe(denial);
  });

  test('any text, and any change of one character, is refused', () => {
    fc.assert(
      fc.property(fc.string(), (token) => {
        expect(checkHmac(token, request(), [key], at)).not.toBeNull();
      }),
    );
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.constantFrom('0', 'f', '~', '/', '*', '='), (index, char) => {
        const changed = good.slice(0, index) + char + good.slice(index + 1);
        if (changed !== good) expect(checkHmac(changed, request(), [key], at)).not.toBeNull();
      }),
    );
  });
});

describe('addresses', () => {
  test.each<[text: string, bytes: string | undefined]>([
    ['203.0.113.7', 'cb007107'],
    ['::ffff:203.0.113.7', 'cb007107'],
    ['::', '0'.repeat(32)],
    ['2001:db8::1', '20010db8000000000000000000000001'],
    ['2001:db8:0:0:0:0:203.0.113.7', '20010db80000000000000000cb007107'],
    ['fe80::1%eth0', 'fe800000000000000000000000000001'],
    ['1.2.3', undefined],
    ['1.2.3.256', undefined],
    ['01.2.3.4', undefined],
    ['1::2::3', undefined],
    ['1:2:3:4:5:6:7', undefined],
    ['1:2:3:4:5:6:7::8', undefined],
    ['::12345', undefined],
    ['', undefined],
  ])('%s', (text, bytes) => {
    const found = addressBytes(text);
    expect(found === undefined ? undefined : Buffer.from(found).toString('hex')).toBe(bytes);
  });

  test('prefixes, to the bit', () => {
    const inside = (address: string, prefix: string) => {
      const [bytes, parsed] = [addressBytes(address), prefixOf(prefix)];
      return bytes !== undefined && parsed !== undefined && isWithin(bytes, parsed.bytes, parsed.bits);
    };
    expect(inside('10.1.2.3', '10.1.2.0/23')).toBe(true);
    expect(inside('10.1.4.3', '10.1.2.0/23')).toBe(false);
    expect(inside('10.1.2.3', '0.0.0.0/0')).toBe(true);
    expect(inside('2001:db8:8000::', '2001:db8:8000::/33')).toBe(true);
    expect(inside('2001:db8::', '2001:db8:8000::/33')).toBe(false);
    expect(['10.0.0.0/33', '10.0.0.0/x', '10.0.0.0/8/8', 'x/8'].map(prefixOf)).toEqual(new Array(4).fill(undefined));
  });
});
