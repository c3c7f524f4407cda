// The caller's own paths on the viewer listener: matched by prefix, body read within a limit, answered by a deadline.
import type { Log, Route, RouteReply } from './contract.ts';
import type { ViewerRequest, ViewerResponse } from './listen/viewer.ts';
import type { Counters } from './stats.ts';

/** The route of a path: the longest prefix that matches; one without a last slash matches only itself. */
export function routeFor(routes: readonly Route[], path: string): Route | undefined {
  let found: Route | undefined;
  for (const route of routes) {
    const isMatch =
      route.prefix.endsWith('/') && route.prefix !== '/' ? path.startsWith(route.prefix) : path === route.prefix;
    if (isMatch && (found === undefined || route.prefix.length > found.prefix.length)) found = route;
  }
  return found;
}

/** What routes need of the cache. */
export type RouteTools = {
  readonly counters: Counters;
  readonly log: Log;
  readonly remoteHash: (request: ViewerRequest) => string;
};

/** The body, or undefined when it is larger than allowed. Rejects when the viewer leaves or the signal aborts. */
function readBody(request: ViewerRequest, limit: number, signal: AbortSignal): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const declared = Number(request.headers['content-length'] ?? 0);
    if (declared > limit) return resolve(undefined);
    // Without a body it has no events.
    if (request.readableEnded) return resolve(Buffer.alloc(0));
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) resolve(undefined);
      else chunks.push(chunk);
    });
    request.once('end', () => resolve(Buffer.concat(chunks)));
    request.once('error', reject);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function send(request: ViewerRequest, response: ViewerResponse, reply: RouteReply): void {
  if (response.headersSent || response.destroyed) return;
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body;
  const isBodiless = reply.status === 204 || reply.status === 304;
  response.writeHead(reply.status, {
    ...reply.headers,
    ...(!isBodiless && { 'content-length': String(body?.length ?? 0) }),
  });
  response.end(request.method === 'HEAD' || isBodiless ? undefined : body);
}

function sendText(
  request: ViewerRequest,
  response: ViewerResponse,
  status: number,
  more?: Record<string, string>,
): void {
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store', ...more };
  send(request, response, { status, headers, body: `${status}\n` });
}

/** Refuses a body unread: the rest of it must not be taken for the next request. */
function refuseBody(request: ViewerRequest, response: ViewerResponse): void {
  sendText(request, response, 413, { connection: 'close' });
  request.resume();
}

/** Answers one request by its route; never rejects. */
export async function answerRoute(
  route: Route,
  exchange: { readonly request: ViewerRequest; readonly response: ViewerResponse; readonly url: string },
  tools: RouteTools,
): Promise<void> {
  const { request, response, url } = exchange;
  const method = request.method ?? 'GET';
  const isAllowed = route.methods.includes(method) || (method === 'HEAD' && route.methods.includes('GET'));
  if (!isAllowed) return sendText(request, response, 405, { allow: route.methods.join(', ') });
  const abort = new AbortController();
  const deadline = setTimeout(() => abort.abort(new Error('deadline')), route.deadlineMs);
  response.once('close', () => abort.abort(new Error('viewer left')));
  const late = new Promise<'late'>((resolve) => {
    abort.signal.addEventListener('abort', () => resolve('late'), { once: true });
  });
  try {
    const body = await readBody(request, route.maxBodyBytes, abort.signal);
    if (body === undefined) return refuseBody(request, response);
    const question = url.indexOf('?');
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(request.headers)) {
      if (value !== undefined) headers[name] = typeof value === 'string' ? value : value.join(', ');
    }
    const answer = route.answer({
      method,
      path: question < 0 ? url : url.slice(0, question),
      query: new URLSearchParams(question < 0 ? '' : url.slice(question + 1)),
      headers,
      body,
      remoteHash: tools.remoteHash(request),
      signal: abort.signal,
    });
    const reply = await Promise.race([answer, late]);
    if (reply !== 'late') return send(request, response, reply);
    fail(504);
  } catch (error) {
    fail(abort.signal.aborted ? 504 : 500, error);
  } finally {
    clearTimeout(deadline);
  }

  function fail(status: number, error?: unknown): void {
    if (response.destroyed) return;
    tools.counters.routeErrors += 1;
    tools.log('warn', 'route.failed', {
      route: route.prefix,
      status,
      error: error === undefined ? 'late' : String(error),
    });
    sendText(request, response, status, { connection: 'close' });
  }
}
