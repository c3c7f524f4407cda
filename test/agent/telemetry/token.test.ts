// Viewer tokens: the RFC's own example, and every way in which one can be wrong.
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { verifyViewerToken } from '../../../agent/telemetry/token.ts';

const NOW = 1_795_000_000_000;
const secret = Buffer.from('a shared secret of the publisher');
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function sign(header: unknown, payload: unknown, key: Uint8Array = secret): string {
  const signed = `${part(header)}.${part(payload)}`;
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}

const header = { alg: 'HS256', typ: 'JWT' };
const payload = { sub: 'ann', exp: NOW / 1000 + 60 };

describe('a viewer token', () => {
  test('names its viewer until it expires', () => {
    expect(verifyViewerToken(sign(header, payload), secret, NOW)).toEqual({ subject: 'ann', isExpired: false });
    expect(verifyViewerToken(sign(header, payload), secret, NOW + 60_000)).toEqual({ subject: 'ann', isExpired: true });
    expect(verifyViewerToken(sign(header, { sub: 'ann' }), secret, NOW)).toEqual({ subject: 'ann', isExpired: true });
  });

  test('is checked as RFC 7515 appendix A.1 says: its example has a good signature and no subject', () => {
    const key = Buffer.from(
      'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow',
      'base64url',
    );
    const example =
      'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
    expect(verifyViewerToken(example, key, NOW)).toBeUndefined();
    const mac = createHmac('sha256', key)
      .update(example.slice(0, example.lastIndexOf('.')))
      .digest('base64url');
    expect(mac).toBe(example.split('.')[2]);
  });

  test.each<[name: string, token: string]>([
    ['another key', sign(header, payload, Buffer.from('x'))],
    ['no algorithm', sign({ alg: 'none' }, payload)],
    ['another algorithm', sign({ alg: 'HS512' }, payload)],
    ['no signature', `${part({ alg: 'none' })}.${part(payload)}.`],
    ['a part too many', `${sign(header, payload)}.x`],
    ['an empty subject', sign(header, { ...payload, sub: '' })],
    ['a subject that is no text', sign(header, { ...payload, sub: 7 })],
    ['a time that has not come', sign(header, { ...payload, nbf: NOW / 1000 + 1 })],
    [
      'a payload that is no JSON',
      (() => {
        const signed = `${part(header)}.${Buffer.from('{').toString('base64url')}`;
        return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
      })(),
    ],
    ['a changed payload', sign(header, payload).replace(part(payload), part({ ...payload, sub: 'bob' }))],
    ['too many characters', sign(header, { ...payload, pad: 'x'.repeat(2000) })],
    ['none at all', ''],
  ])('with %s is refused', (_name, token) => {
    expect(verifyViewerToken(token, secret, NOW)).toBeUndefined();
  });

  test('any text is refused and never an exception', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(verifyViewerToken(text, secret, NOW)).toBeUndefined();
      }),
    );
  });
});
