// A name server on loopback over UDP that a test controls: which addresses a name has, for how long, and whether it answers.
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';

/** What is said of a name. */
export type Zone = { readonly addresses: readonly string[]; readonly ttlSeconds: number };

/** A running name server. */
export type FakeDns = {
  /** Its address with its port, as Node's resolver takes it. */
  readonly server: string;
  /** Sets what a name has from now on; undefined: it does not exist. */
  readonly set: (name: string, zone: Zone | undefined) => void;
  /** From now on every question is answered rightly, with SERVFAIL, or not at all. */
  readonly be: (how: 'right' | 'fail' | 'stay silent') => void;
  /** How often a name was asked for its IPv4 addresses. */
  readonly asked: (name: string) => number;
  readonly close: () => Promise<void>;
};

const A = 1;
const AAAA = 28;
const NO_ERROR = 0;
const SERVER_FAILURE = 2;
const NAME_ERROR = 3;

/** The one question of a message (RFC 1035 section 4.1.2): its name, type, and where it ends. */
function questionOf(message: Buffer): { readonly name: string; readonly type: number; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}

function bytesOf(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  // Tests name addresses such as ::1 and fd00::2.
  const [left = '', right = ''] = address.split('::');
  const groups = (text: string) => text.split(':').filter((group) => group !== '');
  const [head, tail] = [groups(left), groups(right)];
  const all = [...head, ...new Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
  return Buffer.concat(all.map((group) => Buffer.from(group.padStart(4, '0'), 'hex')));
}

/** A resource record whose name is that of the question (RFC 1035 sections 4.1.3 and 4.1.4). */
function record(address: string, type: number, ttlSeconds: number): Buffer {
  const bytes = bytesOf(address);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttlSeconds, 6);
  head.writeUInt16BE(bytes.length, 10);
  return Buffer.concat([head, bytes]);
}

/** Opens a name server on a port of its own. */
export async function openFakeDns(): Promise<FakeDns> {
  const zones = new Map<string, Zone>();
  const asked = new Map<string, number>();
  let how: Parameters<FakeDns['be']>[0] = 'right';
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => {
    const { name, type, end } = questionOf(message);
    if (type === A) asked.set(name, (asked.get(name) ?? 0) + 1);
    if (how === 'stay silent') return;
    const isFailing = how === 'fail';
    const zone = zones.get(name);
    const wanted = isFailing ? [] : (zone?.addresses ?? []).filter((each) => isIPv6(each) === (type === AAAA));
    const code = isFailing ? SERVER_FAILURE : zone === undefined ? NAME_ERROR : NO_ERROR;
    const head = Buffer.alloc(12);
    message.copy(head, 0, 0, 2);
    head.writeUInt16BE(0x8180 | code, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(wanted.length, 6);
    const records = wanted.map((each) => record(each, type, zone?.ttlSeconds ?? 0));
    socket.send(Buffer.concat([head, message.subarray(12, end), ...records]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return {
    server: `127.0.0.1:${socket.address().port}`,
    set: (name, zone) => void (zone === undefined ? zones.delete(name) : zones.set(name, zone)),
    be: (next) => {
      how = next;
    },
    asked: (name) => asked.get(name) ?? 0,
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}
