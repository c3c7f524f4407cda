// Purges that a publisher asks for over the viewer listener, for one host and with that host's token: PURGE on a URL, or
// POST /.nearcast/purge with a selector in JSON.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Log } from '../contract.ts';
import type { PurgeResult, PurgeSelector } from '../contract-rights.ts';
import { CacheError } from '../errors.ts';
import type { ViewerRequest, ViewerResponse } from '../listen/viewer.ts';
import { Allowance } from '../rules/allowance.ts';
import { isGroupName, isTagName } from '../rules/tags.ts';

/** Path of the call; PURGE works on every other. */
const PATH = '/.nearcast/purge';
/** Tokens of PURGE's own field, after the method's name: `soft`, `prefix`. */
const FIELD = 'nearcast-purge';
const MAX_BODY_BYTES = 8192;
const BODY_MS = 10_000;
/** A purge that takes longer is answered with 202 and goes on. */
const WAIT_MS = 30_000;
const SHORTEST_TOKEN_BYTES = 16;
/** Purges that a host may ask for at once, and a second. Each walks its objects in slices behind viewers. */
const BURST = 100;
const PER_SECOND = 20;

/** What a host's purges need. */
export type PurgeDeskOptions = {
  readonly tokens: readonly Uint8Array[];
  readonly purge: (selector: PurgeSelector) => Promise<PurgeResult>;
  readonly now: () => number;
  readonly log: Log;
};

/** Answers a purge of one host. `name`: the host's name in the request, `resource` its target. */
export type PurgeDesk = (
  exchange: { readonly request: ViewerRequest; readonly response: ViewerResponse },
  asked: { readonly name: string; readonly resource: string },
) => void;

/** Whether a request asks for a purge, allowed or not. */
export function isPurgeRequest({ method }: ViewerRequest, resource: string): boolean {
  return method === 'PURGE' || (method === 'POST' && resource.split('?', 1)[0] === PATH);
}

type Reply = { readonly status: number; readonly json: unknown; readonly headers?: Readonly<Record<string, string>> };

const refused = (status: number, code: string, message: string, headers = {}): Reply => ({
  status,
  headers,
  json: { code, message },
});
const NO_TOKEN = refused(401, 'PURGE_UNAUTHORIZED', "A purge needs this host's token: Authorization: Bearer TOKEN", {
  'www-authenticate': 'Bearer realm="purge"',
});
const TOO_MANY = refused(429, 'PURGE_RATE', `At most ${PER_SECOND} purges a second`, { 'retry-after': '1' });

function send({ response }: { readonly response: ViewerResponse }, { status, json, headers }: Reply): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(`${JSON.stringify(json)}\n`);
  const type = { 'content-type': 'application/json', 'cache-control': 'no-store', 'content-length': body.length };
  response.writeHead(status, { ...type, ...headers });
  response.end(body);
}

const digest = (text: string | Uint8Array): Buffer => createHash('sha256').update(text).digest();

function openTokens(tokens: readonly Uint8Array[]): (request: ViewerRequest) => boolean {
  if (tokens.some((token) => token.length < SHORTEST_TOKEN_BYTES))
    throw new CacheError('CACHE_OPTIONS_INVALID', `A purge token has at least ${SHORTEST_TOKEN_BYTES} bytes.`);
  const known = tokens.map(digest);
  return ({ headers }) => {
    const given = digest(/^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1] ?? '');
    let isKnown = false;
    for (const each of known) if (timingSafeEqual(each, given)) isKnown = true;
    return isKnown;
  };
}

/** The JSON of a body; undefined when it is none, too large or too late. */
async function readJson(request: ViewerRequest): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(() => request.destroy(), BODY_MS);
  try {
    for await (const chunk of request) {
      // Without setEncoding it gives Buffers.
      const bytes = chunk as Buffer;
      size += bytes.length;
      if (size > MAX_BODY_BYTES) return undefined;
      chunks.push(bytes);
    }
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    // Cut off, or no JSON: the caller answers 400.
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** A URL of this host, by path or whole; undefined for any other. */
function ownUrl(text: string, name: string): string | undefined {
  if (text.startsWith('/')) return `https://${name}${text}`;
  const own = new RegExp(`^https?://${name.replace(/[^\w-]/g, '\\$&')}(:\\d+)?(?=/)`, 'i').exec(text);
  return own === null ? undefined : `https://${name}${text.slice(own[0].length)}`;
}

/** The selector of a JSON body, for this host only; undefined when there is none. */
function selectorOf(body: unknown, name: string): PurgeSelector | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const text = (key: string): string | undefined => {
    const value: unknown = Object.hasOwn(body, key) ? Reflect.get(body, key) : undefined;
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const soft = Object.hasOwn(body, 'soft') && Reflect.get(body, 'soft') === true;
  const [url, prefix, tag, group] = ['url', 'prefix', 'tag', 'group'].map(text);
  if ([url, prefix, tag, group].filter((each) => each !== undefined).length !== 1) return undefined;
  const own = ownUrl(url ?? prefix ?? '', name);
  if (own !== undefined) return url === undefined ? { prefix: own, soft } : { url: own, soft };
  if (tag !== undefined && isTagName(tag)) return { tag, host: name, soft };
  return group !== undefined && isGroupName(group) ? { group, host: name, soft } : undefined;
}

async function selectorFor(
  request: ViewerRequest,
  { name, resource }: { readonly name: string; readonly resource: string },
): Promise<PurgeSelector | undefined> {
  // Without a name there would be no host whose objects they are.
  if (name === '') return undefined;
  if (request.method !== 'PURGE') return selectorOf(await readJson(request), name);
  const words = String(request.headers[FIELD] ?? '').split(/[\s,]+/);
  const url = ownUrl(resource, name);
  if (url === undefined) return undefined;
  const soft = words.includes('soft');
  return words.includes('prefix') ? { prefix: url, soft } : { url, soft };
}

/** Opens the purges of one host. Throws CACHE_OPTIONS_INVALID for tokens that are too short. */
export function openPurgeDesk({ tokens, purge, now, log }: PurgeDeskOptions): PurgeDesk {
  const isAllowed = openTokens(tokens);
  const allowance = new Allowance({ burst: BURST, perSecond: PER_SECOND }, now());

  const reply = async (request: ViewerRequest, asked: Parameters<PurgeDesk>[1]): Promise<Reply> => {
    const selector = await selectorFor(request, asked);
    if (selector === undefined)
      return refused(400, 'PURGE_INVALID', 'Takes one of url, prefix, tag and group of this host, and soft.');
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), WAIT_MS);
    const done = await Promise.race([purge(selector), late.promise]);
    clearTimeout(timer);
    const { soft, ...what } = selector;
    log('info', 'purge.asked', { ...what, soft, ...done });
    return done === undefined
      ? { status: 202, json: { isDone: false } }
      : { status: 200, json: { isDone: true, ...done } };
  };

  return (exchange, asked) => {
    const { request } = exchange;
    if (!isAllowed(request) || !allowance.take(now())) {
      // The body is left unread, so nothing may follow on this connection.
      exchange.response.shouldKeepAlive = false;
      send(exchange, isAllowed(request) ? TOO_MANY : NO_TOKEN);
      return;
    }
    reply(request, asked).then(
      (answer) => send(exchange, answer),
      (error: unknown) => {
        log('error', 'purge.failed', { error: String(error) });
        send(exchange, refused(500, 'PURGE_FAILED', "The purge failed: see the node's log"));
      },
    );
  };
}
