// A lean HTTP load: keep-alive connections, one request at a time on each, answers counted by their Content-Length.
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** What one run of load did. */
export type Load = { readonly requests: number; readonly seconds: number; readonly bytes: number };

/** What to ask for, and how long. `fields`: further header lines, each with its CRLF. */
export type LoadOptions = {
  readonly path: string;
  readonly fields: string;
  readonly connections: number;
  readonly forMs: number;
  readonly isTls?: boolean;
};

/** Received bytes are looked at and forgotten: every connection may use the same buffer. */
const BUFFER = Buffer.allocUnsafe(512 * 1024);
const HEAD_END = Buffer.from('\r\n\r\n');

/** Length of an answer's head and body; undefined while the head is not whole. Throws for anything but 200 and 206. */
export function readHead(bytes: Buffer): { readonly headBytes: number; readonly bodyBytes: number } | undefined {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const head = bytes.toString('latin1', 0, end);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length === undefined || !/^HTTP\/1\.1 20[06] /.test(head)) throw new Error(`unexpected answer: ${head}`);
  return { headBytes: end + HEAD_END.length, bodyBytes: Number(length) };
}

/** Asks over and over on one connection; `count` hears of each whole answer. Resolves when `isOver`. */
function ask(port: number, options: LoadOptions, isOver: () => boolean, count: (bytes: number) => void): Promise<void> {
  const request = `GET ${options.path} HTTP/1.1\r\nHost: bench.example\r\n${options.fields}\r\n`;
  return new Promise((resolve, reject) => {
    let pending = Buffer.alloc(0);
    let missing = 0;
    let size = 0;
    const receive = (bytes: Buffer): void => {
      let body = bytes.length;
      if (missing === 0) {
        const seen = pending.length === 0 ? bytes : Buffer.concat([pending, bytes]);
        const head = readHead(seen);
        if (head === undefined) {
          pending = Buffer.from(seen);
          return;
        }
        pending = Buffer.alloc(0);
        body = seen.length - head.headBytes;
        size = head.bodyBytes;
        missing = size;
      }
      missing -= body;
      if (missing > 0) return;
      count(size);
      if (isOver()) {
        socket.destroy();
        resolve();
      } else socket.write(request);
    };
    const take = (bytes: Buffer): void => {
      try {
        receive(bytes);
      } catch (error) {
        socket.destroy();
        reject(error);
      }
    };
    const socket = open(port, options.isTls === true, take);
    socket.on('error', reject);
    socket.on('close', () => (isOver() ? resolve() : reject(new Error('the server closed a connection'))));
    socket.write(request);
  });
}

function open(port: number, isTls: boolean, take: (bytes: Buffer) => void): Socket {
  if (isTls) return connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }).on('data', take);
  const onread = {
    buffer: BUFFER,
    callback: (size: number) => {
      take(BUFFER.subarray(0, size));
      return true;
    },
  };
  return connect({ port, host: '127.0.0.1', noDelay: true, onread });
}

/** Loads a server for so many milliseconds over so many connections. Rejects on any answer but 200 and 206. */
export async function load(port: number, options: LoadOptions): Promise<Load> {
  let requests = 0;
  let bytes = 0;
  const startedMs = performance.now();
  const isOver = () => performance.now() - startedMs >= options.forMs;
  const one = () =>
    ask(port, options, isOver, (size) => {
      requests += 1;
      bytes += size;
    });
  await Promise.all(Array.from({ length: options.connections }, one));
  return { requests, bytes, seconds: (performance.now() - startedMs) / 1000 };
}

/** CPU seconds that a process and its descendants have used so far (Linux, 100 ticks a second). */
export function cpuSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const own = (Number(fields[11]) + Number(fields[12])) / 100;
    const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
    return children.reduce((sum, child) => sum + cpuSeconds(child), own);
  } catch {
    return 0; // The process has ended in the meantime: it uses no more.
  }
}
