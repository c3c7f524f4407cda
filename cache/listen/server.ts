// The viewer listener: HTTP/1.1 on plain connections, HTTP/1.1 and HTTP/2 on TLS, within limits, and a drain.
import { createServer } from 'node:http';
import type { Server as NetServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { Listen, ListenLimits, Log, MisuseReason, ShedReason } from '../contract.ts';
import { Connections } from './connections.ts';
import { openH2 } from './h2.ts';
import {
  DEFAULT_LIMITS,
  IDLE_TIMEOUT_MS,
  MAX_REQUEST_HEAD_BYTES,
  REQUESTS_PER_CONNECTION,
  STREAMS_PER_CONNECTION,
} from './limit.ts';
import { closed, listen } from './listener.ts';
import { watchOverload } from './overload.ts';
import type { Tls, TlsOptions } from './tls.ts';
import type { ViewerRequest, ViewerResponse } from './viewer.ts';

/** How often late requests and slow readers are looked for, at most. */
const TIMEOUT_CHECK_MS = 2_000;

/** What a listener needs. */
export type ServerOptions = {
  readonly handle: (request: ViewerRequest, response: ViewerResponse) => void;
  readonly limits: ListenLimits;
  /** Other processes accept from the same socket. */
  readonly isShared: boolean;
  /** Hears of each request that did not parse. */
  readonly onMalformed: () => void;
  /** Hears of each viewer who was turned away. */
  readonly onShed: (reason: ShedReason) => void;
  /** Hears of each misuse of HTTP/2. */
  readonly onMisuse: (reason: MisuseReason) => void;
  /** Opens the TLS side; absent: there is none. */
  readonly openTls?: (tools: Pick<TlsOptions, 'onSocket' | 'handshakeTimeoutMs'>) => Promise<Tls>;
  readonly log: Log;
};

/** A listener. */
export type Server = {
  /** Plain, and with TLS where a second address is given. Rejects with CACHE_LISTEN_FAILED. */
  readonly listen: (plain: Listen, secure?: Listen) => Promise<{ readonly port: number; readonly securePort?: number }>;
  readonly connections: () => number;
  /** The TLS side, if there is one. */
  readonly tls: Tls | undefined;
  /** Checks other limits, which hold once the result is called. Throws CACHE_OPTIONS_INVALID. */
  readonly prepareLimits: (limits: ListenLimits) => () => void;
  /** Takes no more connections, lets answers in flight end for at most `drainMs`, then cuts them. */
  readonly close: (drainMs: number) => Promise<void>;
};

/** Answers what Node could not read as a request, or not in time, and closes. */
function answerUnparsed(error: NodeJS.ErrnoException, socket: Duplex, onMalformed: () => void): void {
  if (error.code === 'ECONNRESET') socket.destroy();
  // A refusal is already on its way out and ends this connection.
  if (!socket.writable) return;
  onMalformed();
  const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const status = isLate ? '408 Request Timeout' : '400 Bad Request';
  socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`, () => socket.destroy());
}

/** Out of descriptors: this accept failed, those that are open go on, and the next accept may work. */
function logAccept(error: NodeJS.ErrnoException, log: Log): void {
  log('warn', 'listen.accept-failed', { code: error.code });
}

/** Who is turned away is not set up for TLS or HTTP, which would cost more than the answer; the others are handed over. */
function admitFirst(server: NetServer, enter: (socket: Socket, serve: () => void) => void): void {
  const [serve] = server.listeners('connection');
  if (serve === undefined) throw new TypeError('a server that serves nobody');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => enter(socket, () => Reflect.apply(serve, server, [socket])));
}

function admitPlain(plain: NetServer, connections: Connections): void {
  admitFirst(plain, (socket, serve) => {
    const begin = (): void => {
      serve();
      connections.track(socket, REQUESTS_PER_CONNECTION);
    };
    // Of TLS: counted when it was accepted.
    if (socket instanceof TLSSocket) begin();
    else connections.enter(socket, true, begin);
  });
}

/** The connections to the TLS port that were let in, those that still shake hands among them. */
function admitSecure(server: NetServer | undefined, connections: Connections): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  if (server === undefined) return sockets;
  admitFirst(server, (socket, serve) =>
    connections.enter(socket, false, () => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      serve();
    }),
  );
  return sockets;
}

/**
 * Opens the listener of a cache; nothing is bound before listen(). Rejects with CACHE_OPTIONS_INVALID for limits that are
 * none, and with what opening the TLS side rejects with.
 */
export async function openServer(options: ServerOptions): Promise<Server> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const overload = watchOverload(limits.overloadDelayMs);
  const connections = new Connections(limits, options.onShed, overload);
  const checkMs = Math.min(TIMEOUT_CHECK_MS, limits.headTimeoutMs / 2, limits.pieceTimeoutMs / 2);
  let isDraining = false;
  let checks: NodeJS.Timeout | undefined;
  const answer = (request: ViewerRequest, response: ViewerResponse): void => {
    if (isDraining) response.shouldKeepAlive = false;
    if (!connections.admits(request, response)) return;
    options.handle(request, response);
    connections.afterAnswer(request, response);
  };
  const plain = openPlain(options, { ...limits, checkMs, answer });
  admitPlain(plain, connections);
  const h2 = openH2({ limits, answer, onMisuse: options.onMisuse });
  const tls = await options.openTls?.({
    handshakeTimeoutMs: limits.headTimeoutMs,
    onSocket: (socket) => {
      if (socket.alpnProtocol !== 'h2') return plain.emit('connection', socket);
      connections.track(socket, STREAMS_PER_CONNECTION);
      return h2.accept(socket);
    },
  });
  const secure = admitSecure(tls?.server, connections);
  const servers: NetServer[] = tls === undefined ? [plain] : [plain, tls.server];
  const bind = async (server: NetServer, where: Listen): Promise<number> => {
    const { port, others } = await listen(server, where, options.isShared);
    servers.push(...others);
    for (const each of [server, ...others]) each.on('error', (error) => logAccept(error, options.log));
    return port;
  };

  return {
    listen: async (where, secureWhere) => {
      const port = await bind(plain, where);
      checks = setInterval(() => {
        connections.cutSlowReaders();
        h2.check();
      }, checkMs);
      if (tls === undefined || secureWhere === undefined) return { port };
      const securePort = await bind(tls.server, secureWhere);
      return { port, securePort };
    },
    connections: () => connections.count,
    tls,
    prepareLimits: (next) => connections.prepareLimits({ ...DEFAULT_LIMITS, ...next }),
    close: async (drainMs) => {
      overload.close();
      isDraining = true;
      const all = Promise.all(servers.filter(({ listening }) => listening).map(closed));
      plain.closeIdleConnections();
      h2.drain();
      const deadline = setTimeout(() => {
        plain.closeAllConnections();
        for (const socket of secure) socket.destroy();
      }, drainMs);
      await all;
      clearTimeout(deadline);
      clearInterval(checks);
      tls?.close();
    },
  };
}

/** The HTTP/1.1 server, which listens for plain connections and is handed others. */
function openPlain(
  options: ServerOptions,
  how: Required<ListenLimits> & { readonly checkMs: number; readonly answer: ServerOptions['handle'] },
): ReturnType<typeof createServer> {
  const server = createServer(
    {
      // The handler refuses a missing Host, so that it is counted.
      requireHostHeader: false,
      // Requests without a body have ended when they come: no stream events for them.
      optimizeEmptyRequests: true,
      maxHeaderSize: MAX_REQUEST_HEAD_BYTES,
      headersTimeout: how.headTimeoutMs,
      requestTimeout: Math.max(how.requestTimeoutMs, how.headTimeoutMs),
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      connectionsCheckingInterval: how.checkMs,
    },
    (request, response) => {
      response.sendDate = false;
      how.answer(request, response);
    },
  );
  server.timeout = how.stallTimeoutMs;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
    answerUnparsed(error, socket, options.onMalformed),
  );
  return server;
}
