// A lean HTTP load: keep-alive connections, one request at a time on each, answers counted by their Content-Length.
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';

/** What one run of load did. */
export type Load = { readonly requests: number; readonly seconds: number; readonly bytes: number };

/** Asks over and over on one connection; `count` hears of each whole answer. Resolves when `isOver`. */
function ask(socket: Socket, request: string, isOver: () => boolean, count: (bytes: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let head = '';
    let missing = 0;
    let size = 0;
    const next = () => {
      if (isOver()) {
        socket.destroy();
        resolve();
      } else socket.write(request);
    };
    socket.on('error', reject);
    socket.on('close', () => (isOver() ? resolve() : reject(new Error('the server closed a connection'))));
    socket.on('data', (bytes) => {
      let body = bytes.length;
      if (missing === 0) {
        head += bytes.toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        const length = /\r\ncontent-length: *(\d+)/i.exec(head.slice(0, end))?.[1];
        if (length === undefined || !/^HTTP\/1\.1 20[06] /.test(head)) {
          reject(new Error(`unexpected answer: ${head.slice(0, 200)}`));
          socket.destroy();
          return;
        }
        body = head.length - end - 4;
        size = Number(length);
        missing = size;
        head = '';
      }
      missing -= body;
      if (missing > 0) return;
      count(size);
      next();
    });
    next();
  });
}

/** Loads a server for so many milliseconds over so many connections. Rejects on any answer but 200 and 206. */
export async function load(
  port: number,
  options: { readonly path: string; readonly fields: string; readonly connections: number; readonly forMs: number },
): Promise<Load> {
  const request = `GET ${options.path} HTTP/1.1\r\nHost: bench.example\r\n${options.fields}\r\n`;
  let requests = 0;
  let bytes = 0;
  const startedMs = performance.now();
  const isOver = () => performance.now() - startedMs >= options.forMs;
  const one = () =>
    ask(connect(port, '127.0.0.1').setNoDelay(true), request, isOver, (size) => {
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
