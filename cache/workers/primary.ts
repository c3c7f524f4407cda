// The primary as a worker sees it: its origins and its routes, both over one unix socket.
import { Agent, request as httpRequest } from 'node:http';
import type { OriginOptions, Route, RouteReply, RouteRequest } from '../contract.ts';
import { Connections, Conversation, DEFAULT_TIMEOUT_MS, lineOver } from '../origin/conversation.ts';
import type { OriginTools } from '../origin/exchange.ts';
import type { OpenOrigin } from '../origin/origin.ts';
import type { Resolver } from '../origin/resolver.ts';
import { fromPrimary, REMOTE_FIELD, type WorkerOptions } from './tier.ts';

/** Connections of one worker to the primary for one origin; more requests wait for one. */
const CONNECTIONS = 256;
/** What the primary may take beyond the origin's own deadlines, for its own are the ones that should be heard. */
const MARGIN_MS = 5_000;
/** Never looked up: connections go to the socket. */
const PRIMARY_URL = 'http://nearcast.internal';

/** Where the primary listens, and how an origin of a worker is opened there. */
export type PrimaryTools = { readonly socketPath: string; readonly tools: OriginTools; readonly resolver: Resolver };

/** An origin of a worker. The primary retries, fails over and judges; here is only the way to it. */
export function openPrimaryOrigin(options: OriginOptions, { socketPath, tools, resolver }: PrimaryTools): OpenOrigin {
  const { name, match, firstByteTimeoutMs = DEFAULT_TIMEOUT_MS, idleTimeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const firstByteMs = firstByteTimeoutMs + MARGIN_MS;
  const patient: OriginOptions = {
    ...{ name, match, url: PRIMARY_URL, firstByteTimeoutMs: firstByteMs, idleTimeoutMs: idleTimeoutMs + MARGIN_MS },
    ...{ maxConnections: CONNECTIONS, minimumBytesPerSecond: 0 },
  };
  const connections = new Connections(patient, new URL(PRIMARY_URL), resolver, socketPath);
  const rest = { name, prefix: '', tools, mayRepeat: () => true };
  const line = lineOver(patient, connections, rest);
  let requests = 0;
  return {
    name,
    match,
    fetch: (request, sink) => {
      requests += 1;
      const conversation = new Conversation(
        request,
        {
          onInterim: (interim) => sink.onInterim?.(interim),
          onHead: (head) => sink.onHead({ ...head, headers: fromPrimary(head.headers) }),
          onBytes: sink.onBytes,
          onEnd: sink.onEnd,
          onError: (error) => {
            tools.onFailure();
            sink.onError(error);
          },
          onAbort: () => undefined,
        },
        line,
        { firstByteMs },
      );
      conversation.begin();
      return conversation;
    },
    stats: () => {
      const server = { server: 'primary', isUp: true, breaker: 'closed', requests, failures: 0 } as const;
      return { origin: name, retries: { repeat: 0, failover: 0, resume: 0, denied: 0 }, servers: [server] };
    },
    retire: () => connections.retire(),
    close: () => connections.destroy(),
  };
}

function answer(agent: Agent, socketPath: string, request: RouteRequest): Promise<RouteReply> {
  const { method, path, query, headers, body, remoteHash, signal } = request;
  const resource = query.size === 0 ? path : `${path}?${query}`;
  return new Promise((resolve, reject) => {
    const sent = { ...headers, 'content-length': String(body.length), [REMOTE_FIELD]: remoteHash };
    const options = { agent, socketPath, path: resource, method, headers: sent, signal };
    const asked = httpRequest(options, (response) => {
      const chunks: Buffer[] = [];
      const fields: Record<string, string> = {};
      for (const [name, value] of Object.entries(response.headers)) {
        const isOfHop = name === 'connection' || name === 'keep-alive' || name === 'content-length';
        if (value !== undefined && !isOfHop) fields[name] = typeof value === 'string' ? value : value.join(', ');
      }
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 502, headers: fields, body: Buffer.concat(chunks) });
      });
    });
    asked.once('error', reject);
    asked.end(body);
  });
}

/** The primary's routes for a worker: read here, within their limits, and answered there. */
export function openPrimaryRoutes(routes: WorkerOptions['routes'], socketPath: string): readonly Route[] {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  return routes.map((route) => ({ ...route, answer: (request) => answer(agent, socketPath, request) }));
}
