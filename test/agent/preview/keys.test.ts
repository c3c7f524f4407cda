// Keys that move to another playlist: URIs and IVs that came from their place are written out.
import { expect, test } from 'vitest';
import { keyFormatOf, movableKey } from '../../../agent/preview/keys.ts';

const resolve = (uri: string) => (uri.startsWith('skd:') ? undefined : `/f/${uri}`);
const IV = 'IV=0x0000000000000000000000000000002a';

test.each([
  ['a relative URI', 'METHOD=AES-128,URI="k",IV=0x1', 'METHOD=AES-128,URI="/f/k",IV=0x1'],
  ['the IV of AES-128', 'METHOD=AES-128,URI="k"', `METHOD=AES-128,URI="/f/k",${IV}`],
  ['and of SAMPLE-AES', 'METHOD=SAMPLE-AES,URI="k"', `METHOD=SAMPLE-AES,URI="/f/k",${IV}`],
  [
    'of format identity by name',
    'METHOD=AES-128,URI="k",KEYFORMAT="identity"',
    `METHOD=AES-128,URI="/f/k",KEYFORMAT="identity",${IV}`,
  ],
  [
    'not of another format',
    'METHOD=SAMPLE-AES,URI="skd://k",KEYFORMAT="x"',
    'METHOD=SAMPLE-AES,URI="skd://k",KEYFORMAT="x"',
  ],
  ['not of counter mode', 'METHOD=SAMPLE-AES-CTR,URI="k"', 'METHOD=SAMPLE-AES-CTR,URI="/f/k"'],
  ['a URI inside another value stays', 'METHOD=X,KEYFORMAT="a,URI=",URI="k"', 'METHOD=X,KEYFORMAT="a,URI=",URI="/f/k"'],
])('%s', (_name, list, expected) => {
  expect(movableKey(list, 42, resolve)).toBe(expected);
});

test('an init segment is given no IV: its key must name one itself', () => {
  expect(movableKey('METHOD=AES-128,URI="k"', undefined, resolve)).toBe('METHOD=AES-128,URI="/f/k"');
});

test.each([
  ['METHOD=AES-128', 'identity'],
  ['METHOD=AES-128,KEYFORMAT="x,y"', 'x,y'],
])('the format of %s', (list, format) => {
  expect(keyFormatOf(list)).toBe(format);
});
