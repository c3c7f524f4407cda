// HTTP/2 frames written by hand over TLS (RFC 9113 section 4.1), for viewers who do what no library would.
import type { TLSSocket } from 'node:tls';
import { shakeHands } from './secure.ts';

/** Frame types and flags (RFC 9113 section 6). */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
/** Flag: the last frame of its stream. */
export const END_STREAM = 1;
/** Flag: the header block ends here. */
export const END_HEADERS = 4;
/** Flag of SETTINGS and PING: an answer. */
export const ACK = 1;

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const HEAD_BYTES = 9;

/** One frame. */
export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A field as a literal that enters no table (RFC 7541 section 6.2.2); texts below 127 bytes. */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}

/** The header block of `GET https://localhost` and a path: indexed fields of the static table, and two literals. */
export function getBlock(path: string): Buffer {
  return Buffer.concat([Buffer.from([0x82, 0x87]), literal(':path', path), literal(':authority', 'localhost')]);
}

/** A request without a body on a stream. */
export function get(stream: number, path: string): Buffer {
  return frame(FRAME.headers, END_STREAM | END_HEADERS, stream, getBlock(path));
}

/** A number of 32 bits, as RST_STREAM and WINDOW_UPDATE have it. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Settings as pairs of identifier and value. */
export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), uint32(value)])));
  return frame(FRAME.settings, 0, 0, payload);
}

/** A connection that speaks frames. */
export type RawH2 = {
  readonly socket: TLSSocket;
  /** How many frames of a type have come. */
  readonly count: (type: number) => number;
  /** The error code of the GOAWAY that came last. */
  readonly goaway: () => number | undefined;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  /** Writes over and over, at the pace that is taken, until the connection is gone; resolves with bytes written. */
  readonly flood: (make: (round: number) => Buffer) => Promise<number>;
};

/** Opens a connection and says hello with these settings. */
export async function openRaw(port: number, hello: Buffer = settings()): Promise<RawH2> {
  const socket = await shakeHands(port);
  const counts = new Map<number, number>();
  let goaway: number | undefined;
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= HEAD_BYTES && rest.length >= HEAD_BYTES + rest.readUIntBE(0, 3)) {
      const length = rest.readUIntBE(0, 3);
      const type = rest.readUInt8(3);
      counts.set(type, (counts.get(type) ?? 0) + 1);
      if (type === FRAME.goaway) goaway = rest.readUInt32BE(HEAD_BYTES + 4);
      rest = rest.subarray(HEAD_BYTES + length);
    }
  });
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.write(Buffer.concat([Buffer.from(PREFACE), hello]));
  return {
    socket,
    count: (type) => counts.get(type) ?? 0,
    goaway: () => goaway,
    closed,
    flood: async (make) => {
      let written = 0;
      for (let round = 0; !socket.destroyed && socket.writable; round += 1) {
        const bytes = make(round);
        written += bytes.length;
        if (socket.write(bytes)) await new Promise(setImmediate);
        else await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
      }
      await closed;
      return written;
    },
  };
}
