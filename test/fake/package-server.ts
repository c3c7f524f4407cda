// Serves folders over HTTP as an origin does, byte ranges too, and keeps what was asked for.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.mpd': 'application/dash+xml',
  '.mp4': 'video/mp4',
  '.m4s': 'video/iso.segment',
  '.vtt': 'text/vtt',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript',
  '.html': 'text/html',
};

/** A running server; `asked` holds paths in the order in which they came, with their range if they had one. */
export type PackageServer = { readonly url: string; readonly asked: string[]; readonly close: () => Promise<void> };

/** What is answered beside files; undefined: look for a file. */
type Answerer = (
  url: URL,
) => Promise<{ readonly status: number; readonly headers: object; readonly body: string | Buffer } | undefined>;

/** Serves `folders`: a path that begins with `/NAME/` is looked for in the folder of that name; `/` is an empty page. */
export async function servePackage(
  folders: Readonly<Record<string, string>>,
  beside: Answerer = async () => undefined,
): Promise<PackageServer> {
  const asked: string[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://x');
    const path = normalize(url.pathname);
    const { range } = request.headers;
    asked.push(range === undefined ? path : `${path} ${range}`);
    const own = await beside(url);
    if (own !== undefined) return void response.writeHead(own.status, { ...own.headers }).end(own.body);
    const [, name = '', ...rest] = path.split('/');
    if (name === '') return void response.setHeader('content-type', 'text/html').end('<!doctype html><video></video>');
    const file = join(folders[name] ?? '/nowhere', ...rest);
    const found = await stat(file).catch(() => undefined);
    if (found === undefined) return void response.writeHead(404).end();
    response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream');
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
    const start = Number(first ?? 0);
    const end = last === undefined || last === '' ? found.size - 1 : Math.min(Number(last), found.size - 1);
    response.setHeader('content-length', end - start + 1);
    if (first !== undefined) response.setHeader('content-range', `bytes ${start}-${end}/${found.size}`);
    response.writeHead(first === undefined ? 200 : 206);
    createReadStream(file, { start, end }).pipe(response);
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A TCP listener has an address of this shape.
  const { port } = server.address() as AddressInfo;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${port}/`, asked, close };
}
