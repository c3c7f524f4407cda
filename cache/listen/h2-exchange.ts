// One HTTP/2 stream as the request and the answer that the rest of the cache knows, framing told in HTTP/1.1's terms.
import type { OutgoingHttpHeaders } from 'node:http';
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Fields } from '../rules/fields.ts';
import type { ViewerRequest, ViewerResponse } from './viewer.ts';

/** Fields of one HTTP/1.1 connection; an HTTP/2 message must not have them (RFC 9113 section 8.2.2). */
const CONNECTION_FIELDS = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/**
 * The fields of a request without its pseudo fields. `:authority` becomes Host (RFC 9113 section 8.3.1): an equal Host
 * beside it is one, another one stays a second one, which is malformed. A body without a length is a chunked one.
 */
export function requestFields(raw: readonly string[], hasBody: boolean): string[] {
  const fields: string[] = [];
  let authority: string | undefined;
  let hasLength = false;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? '';
    const value = raw[index + 1] ?? '';
    if (name === ':authority') authority = value;
    else if (name.startsWith(':')) continue;
    else fields.push(name, value);
    if (name === 'content-length') hasLength = true;
  }
  if (hasBody && !hasLength) fields.push('transfer-encoding', 'chunked');
  if (authority === undefined) return fields;
  const host = fields.indexOf('host');
  if (host % 2 === 0 && fields[host + 1] === authority) return fields;
  return ['host', authority, ...fields];
}

/** The body of a stream as a stream of its own, so that whoever gives it up does not end the answer too. */
function bodyOf(stream: ServerHttp2Stream, onBytes: (bytes: number) => void): Readable {
  const body = new Readable({ read: () => stream.resume() });
  body.on('error', () => undefined);
  if (stream.endAfterHeaders) {
    body.push(null);
    return body;
  }
  stream.pause();
  stream.on('data', (chunk: Buffer) => {
    onBytes(chunk.length);
    if (!body.push(chunk)) stream.pause();
  });
  stream.once('end', () => body.push(null));
  stream.once('close', () => {
    if (!stream.readableEnded) body.destroy(new Error('The viewer has left.'));
  });
  return body;
}

/** A stream as it came: its fields by name, and as a list in their order. */
export type StreamHead = { readonly headers: IncomingHttpHeaders; readonly raw: readonly string[] };

/** What a stream asks. `onBytes` hears of its body's bytes as they are read. */
export function openRequest(
  stream: ServerHttp2Stream,
  { headers, raw }: StreamHead,
  socket: Socket,
  onBytes: (bytes: number) => void,
): ViewerRequest {
  const { ':authority': authority, ':method': method, ':path': url, ':scheme': _scheme, ...rest } = headers;
  const isChunked = !stream.endAfterHeaders && rest['content-length'] === undefined;
  return Object.assign(bodyOf(stream, onBytes), {
    ...{ method, url, socket, httpVersion: '2' },
    rawHeaders: requestFields(raw, !stream.endAfterHeaders),
    headers: {
      ...rest,
      ...(authority !== undefined && { host: authority }),
      ...(isChunked && { 'transfer-encoding': 'chunked' }),
    },
  });
}

/** The fields of an interim response; one with more is left out. */
const MAX_INTERIM_BYTES = 8 * 1024;

/** What a stream is answered. */
export class H2Response implements ViewerResponse {
  readonly #stream: ServerHttp2Stream;
  readonly #isHead: boolean;
  #early: Map<string, string> | undefined;
  #isEnded = false;
  #isDestroyed = false;
  #handedBytes = 0;
  statusCode = 200;
  readonly socket = null;

  constructor(stream: ServerHttp2Stream, method: string | undefined) {
    this.#stream = stream;
    this.#isHead = method === 'HEAD';
    stream.once('finish', () => this.#endUnread());
  }

  /** One answer never ends the connection of others, whoever wishes it. */
  get shouldKeepAlive(): boolean {
    return true;
  }

  set shouldKeepAlive(_isKept: boolean) {
    // Ends nothing here.
  }

  get headersSent(): boolean {
    return this.#stream.headersSent;
  }

  get destroyed(): boolean {
    return this.#isDestroyed || this.#stream.destroyed || this.#stream.closed;
  }

  get writableEnded(): boolean {
    return this.#isEnded;
  }

  get writableFinished(): boolean {
    // A stream that answers HEAD has ended its own writing before there is an answer.
    const isReset = (this.#stream.rstCode ?? 0) !== constants.NGHTTP2_NO_ERROR;
    return this.#isEnded && this.#stream.writableFinished && !isReset;
  }

  /** Bytes of the body that the connection has taken; undefined while none are waiting for it. */
  get takenBytes(): number | undefined {
    const waiting = this.#stream.writableLength;
    return waiting === 0 ? undefined : this.#handedBytes - waiting;
  }

  setHeader(name: string, value: number | string): this {
    this.#early ??= new Map();
    this.#early.set(name.toLowerCase(), String(value));
    return this;
  }

  writeInterim(status: number, fields: Fields): void {
    if (this.destroyed || this.headersSent) return;
    const given: Record<string, string[]> = {};
    let bytes = 0;
    for (const [name, value] of fields) {
      bytes += name.length + value.length;
      if (CONNECTION_FIELDS.has(name)) continue;
      given[name] = [...(given[name] ?? []), value];
    }
    // It waits in memory for a viewer who does not read.
    if (bytes <= MAX_INTERIM_BYTES) this.#stream.additionalHeaders({ ...given, ':status': status });
  }

  writeHead(status: number, headers: OutgoingHttpHeaders | string[] = []): this {
    if (this.destroyed) return this;
    this.statusCode = status;
    const flat: string[] = [':status', String(status)];
    const isGiven = Array.isArray(headers)
      ? (name: string) => headers.some((each, index) => index % 2 === 0 && each.toLowerCase() === name)
      : (name: string) => Object.keys(headers).some((each) => each.toLowerCase() === name);
    for (const [name, value] of this.#early ?? []) if (!isGiven(name)) flat.push(name, value);
    const add = (name: string, value: string): void => {
      const lower = name.toLowerCase();
      if (!CONNECTION_FIELDS.has(lower)) flat.push(lower, value);
    };
    if (Array.isArray(headers)) {
      for (let index = 0; index + 1 < headers.length; index += 2) add(headers[index] ?? '', headers[index + 1] ?? '');
    } else {
      for (const [name, value] of Object.entries(headers)) {
        for (const each of Array.isArray(value) ? value : [value]) if (each !== undefined) add(name, String(each));
      }
    }
    this.#stream.respond(flat);
    return this;
  }

  flushHeaders(): void {
    if (!this.headersSent) this.writeHead(this.statusCode);
  }

  write(chunk: Uint8Array | string, how: BufferEncoding | ((error?: Error | null) => void) = 'utf8'): boolean {
    if (this.#isEnded || this.destroyed) return false;
    this.flushHeaders();
    const encoding = typeof how === 'string' ? how : 'utf8';
    this.#handedBytes += typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : chunk.length;
    return typeof how === 'string' ? this.#stream.write(chunk, how) : this.#stream.write(chunk, how);
  }

  end(chunk?: Uint8Array | string, encoding?: BufferEncoding): this {
    if (this.#isEnded || this.destroyed) return this;
    // HEAD has no body, whoever gives one.
    if (chunk !== undefined && !this.#isHead) this.write(chunk, encoding);
    else this.flushHeaders();
    this.#isEnded = true;
    this.#stream.end();
    return this;
  }

  /** A reset tells the viewer that the answer is not whole. */
  destroy(): this {
    this.#isDestroyed = true;
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return this;
  }

  on(event: string, listener: () => void): this {
    this.#stream.on(event, listener);
    return this;
  }

  once(event: string, listener: () => void): this {
    this.#stream.once(event, listener);
    return this;
  }

  off(event: string, listener: () => void): this {
    this.#stream.off(event, listener);
    return this;
  }

  /** What remains of a body that nobody wants is not asked for any more (RFC 9113 section 8.1). */
  #endUnread(): void {
    if (this.#isEnded && !this.#stream.closed && this.#stream.state.remoteClose !== 1) {
      this.#stream.close(constants.NGHTTP2_NO_ERROR);
    }
  }
}
