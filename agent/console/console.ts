// The demo page as routes of the viewer listener: a few static files, read once at start, and hls.js beside them.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Route, RouteReply, RouteRequest } from '../../cache/cache.ts';
import { AgentError } from '../errors.ts';

/** No script, style, frame or connection from anywhere but this node; hls.js plays through a blob URL. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "media-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HTML = 'text/html; charset=utf-8';
const SCRIPT = 'text/javascript; charset=utf-8';
/** Our own files change with the node: asked again each time, answered 304. */
const REVALIDATE = 'no-cache';
const FILES = [
  { path: '/', file: './index.html', type: HTML, cacheControl: REVALIDATE },
  ...['page.css', 'titles.css', 'panel.css', 'player.css'].map((name) => ({
    path: `/.nearcast/page/${name}`,
    file: `./${name}`,
    type: 'text/css; charset=utf-8',
    cacheControl: REVALIDATE,
  })),
  { path: '/.nearcast/page/icon.svg', file: './icon.svg', type: 'image/svg+xml', cacheControl: REVALIDATE },
  ...['page.js', 'cards.js', 'events.js', 'panel.js', 'player.js', 'preview.js'].map((name) => ({
    path: `/.nearcast/page/${name}`,
    file: `./${name}`,
    type: SCRIPT,
    cacheControl: REVALIDATE,
  })),
  {
    path: '/.nearcast/page/hls.js',
    file: '../../node_modules/hls.js/dist/hls.min.mjs',
    type: SCRIPT,
    cacheControl: 'public, max-age=86400',
  },
] as const;

/**
 * One exact route per file of the page: `/` and /.nearcast/page/*. Throws AgentError AGENT_PAGE_UNREADABLE when a file
 * is missing, which is a broken installation.
 */
export function consoleRoutes(): readonly Route[] {
  return FILES.map(({ path, file, type, cacheControl }) => {
    const body = readPageFile(file);
    const zipped = gzipSync(body);
    const hash = createHash('sha256').update(body).digest('base64url').slice(0, 22);
    const headers = {
      'content-type': type,
      'cache-control': cacheControl,
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'same-origin',
      vary: 'accept-encoding',
    };
    const plain: RouteReply = { status: 200, headers: { ...headers, etag: `"${hash}"` }, body };
    const packed: RouteReply = {
      status: 200,
      headers: { ...headers, etag: `"${hash}-gzip"`, 'content-encoding': 'gzip' },
      body: zipped,
    };
    const answer = (request: RouteRequest) => choose(request, acceptsGzip(request) ? packed : plain);
    return { prefix: path, methods: ['GET', 'HEAD'], deadlineMs: 1000, maxBodyBytes: 0, answer };
  });
}

function choose(request: RouteRequest, reply: RouteReply): RouteReply {
  const { etag = '', ...headers } = reply.headers ?? {};
  const known = (request.headers['if-none-match'] ?? '').split(',').map((one) => one.trim().replace(/^W\//, ''));
  return known.includes(etag) ? { status: 304, headers: { ...headers, etag } } : reply;
}

function acceptsGzip(request: RouteRequest): boolean {
  const codings = (request.headers['accept-encoding'] ?? '').split(',').map((one) => one.trim().toLowerCase());
  return codings.some((one) => /^gzip(;\s*q=(1|0\.\d*[1-9]).*)?$/.test(one));
}

function readPageFile(file: string): Buffer {
  const path = fileURLToPath(new URL(file, import.meta.url));
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new AgentError(
      'AGENT_PAGE_UNREADABLE',
      `The page's file ${path} cannot be read; install again with npm ci.`,
      {
        cause,
      },
    );
  }
}
