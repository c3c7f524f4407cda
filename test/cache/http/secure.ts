// Viewers over TLS for tests: certificate files of an own authority, handshakes, and requests over HTTP/2.
import { mkdtemp, rename, writeFile } from 'node:fs/promises';
import {
  type ClientHttp2Session,
  connect as connectH2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { CertificateFiles } from '../../../cache/contract.ts';
import { type Authority, type Issued, makeAuthority } from '../../fake/certificates.ts';

/** One authority for all tests of a file. */
export const authority: Authority = makeAuthority();

/** Writes a pair as files of a new folder. */
export async function filesOf(issued: Issued): Promise<CertificateFiles> {
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-tls-'));
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  await putFiles(files, issued);
  return files;
}

/** Puts another pair in the place of files, each at once. */
export async function putFiles(files: CertificateFiles, issued: Issued): Promise<void> {
  for (const name of ['cert', 'key'] as const) {
    await writeFile(`${files[name]}.new`, issued[name]);
    await rename(`${files[name]}.new`, files[name]);
  }
}

/** A handshake on loopback; resolves once it is done. */
export function shakeHands(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { port, host: '127.0.0.1', ca: authority.cert, servername: 'localhost', ALPNProtocols: ['h2'], ...options },
      () => resolve(socket),
    );
    socket.once('error', reject);
  });
}

/** An HTTP/2 session; resolves once it is connected. */
export function openSession(port: number, options: ConnectionOptions = {}): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const tls = { ca: authority.cert, servername: 'localhost', ...options };
    const session = connectH2(`https://127.0.0.1:${port}`, tls, () => resolve(session));
    session.once('error', reject);
  });
}

/** An answer over HTTP/2; `reset`: the code that ended the stream, 0 for a whole answer. */
export type GotH2 = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly reset: number;
};

/** Asks for a path, or with more fields, over a session; resolves when the stream has closed, however. */
export function ask(
  session: ClientHttp2Session,
  path: string,
  headers: OutgoingHttpHeaders = {},
  body?: string,
): Promise<GotH2> {
  return new Promise((resolve) => {
    const stream = session.request({ ':path': path, ...headers }, { endStream: body === undefined });
    const chunks: Buffer[] = [];
    let got: IncomingHttpHeaders = {};
    stream.on('response', (fields) => {
      got = fields;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => undefined);
    stream.once('close', () =>
      resolve({
        status: Number(got[':status'] ?? 0),
        headers: got,
        body: Buffer.concat(chunks),
        reset: stream.rstCode,
      }),
    );
    if (body !== undefined) stream.end(body);
  });
}
