// Certificates made for a test: an own authority and what it issues, X.509 version 3 in DER, written by hand (RFC 5280).
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** A certificate with its key, as PEM. */
export type Issued = { readonly cert: string; readonly key: string };

/** When a certificate holds, milliseconds since the epoch; by default from yesterday for a month. */
export type Validity = { readonly from?: number; readonly until?: number };

/** An authority. */
export type Authority = {
  /** Its own certificate, for those who are to trust it. */
  readonly cert: string;
  readonly issue: (names: readonly string[], validity?: Validity) => Issued;
};

const DAY_MS = 24 * 3_600_000;
const COMMON_NAME = '550403';
const ECDSA_SHA256 = '2a8648ce3d040302';
const BASIC_CONSTRAINTS = '551d13';
const KEY_USAGE = '551d0f';
const ALTERNATIVE_NAME = '551d11';

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const long = body.length < 128 ? [] : body.length < 256 ? [0x81] : [0x82, body.length >> 8];
  return Buffer.concat([Buffer.from([tag, ...long, body.length & 0xff]), body]);
}
const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const utf8 = (text: string): Buffer => der(0x0c, Buffer.from(text));
const bits = (bytes: Buffer): Buffer => der(0x03, Buffer.from([0]), bytes);
const nameOf = (text: string): Buffer => sequence(der(0x31, sequence(oid(COMMON_NAME), utf8(text))));
/** UTCTime, which is for years before 2050. */
const timeOf = (at: number): Buffer =>
  der(0x17, Buffer.from(`${new Date(at).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));
const extension = (id: string, value: Buffer): Buffer => sequence(oid(id), der(0x04, value));
const pem = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64').replace(/.{64}/g, '$&\n').trim()}\n-----END CERTIFICATE-----\n`;

type Wanted = { readonly subject: string; readonly key: KeyObject; readonly extensions: readonly Buffer[] } & Validity;

function certificate(wanted: Wanted, issuer: { readonly name: string; readonly key: KeyObject }): string {
  const algorithm = sequence(oid(ECDSA_SHA256));
  const { from = Date.now() - DAY_MS, until = Date.now() + 30 * DAY_MS } = wanted;
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1]), randomBytes(8)),
    algorithm,
    nameOf(issuer.name),
    sequence(timeOf(from), timeOf(until)),
    nameOf(wanted.subject),
    wanted.key.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...wanted.extensions)),
  );
  return pem(sequence(body, algorithm, bits(sign('sha256', body, issuer.key))));
}

/** Makes an authority with a key on P-256. */
export function makeAuthority(name = 'Nearcast test authority'): Authority {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = { name, key: own.privateKey };
  const isAuthority = extension(BASIC_CONSTRAINTS, sequence(der(0x01, Buffer.from([0xff]))));
  const signsCertificates = extension(KEY_USAGE, der(0x03, Buffer.from([1, 0x06])));
  return {
    cert: certificate({ subject: name, key: own.publicKey, extensions: [isAuthority, signsCertificates] }, issuer),
    issue: (names, validity = {}) => {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const alternatives = sequence(...names.map((each) => der(0x82, Buffer.from(each))));
      return {
        cert: certificate(
          {
            subject: names[0] ?? '',
            key: pair.publicKey,
            extensions: [extension(ALTERNATIVE_NAME, alternatives)],
            ...validity,
          },
          issuer,
        ),
        key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    },
  };
}
