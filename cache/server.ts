// The viewer listener: node:http with limits, requests that don't parse, and a drain.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Listen, Log } from './contract.ts';
import { CacheError } from './errors.ts';
import {
  CONNECTIONS_PER_ADDRESS,
  type ConnectionLimit,
  HEAD_TIMEOUT_MS,
  IDLE_TIMEOUT_MS,
  MAX_REQUEST_HEAD_BYTES,
  openConnectionLimit,
  REQUEST_TIMEOUT_MS,
  STALL_TIMEOUT_MS,
} from './limit.ts';

/** How often Node looks for requests that are late. */
const TIMEOUT_CHECK_MS = 2_000;

/** What a listener needs. */
export type ServerOptions = {
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
  /** Hears of each request that did not parse. */
  readonly onMalformed: () => void;
  readonly log: Log;
};

/** A listener. */
export type Server = {
  /** Rejects with CACHE_LISTEN_FAILED. */
  readonly listen: (where: Listen) => Promise<{ readonly port: number }>;
  readonly connections: () => number;
  /** Takes no more connections, lets answers in flight end for at most `drainMs`, then cuts them. */
  readonly close: (drainMs: number) => Promise<void>;
};

function admit(socket: Socket, limit: ConnectionLimit): void {
  const address = socket.remoteAddress ?? '';
  if (!limit.enter(address)) {
    socket.destroy();
    return;
  }
  socket.setNoDelay(true);
  socket.once('close', () => limit.leave(address));
}

/** Opens the listener of a cache; nothing is bound before listen(). */
export function openServer(options: ServerOptions): Server {
  const limit = openConnectionLimit(CONNECTIONS_PER_ADDRESS);
  let isDraining = false;
  let isListening = false;
  const server = createServer(
    {
      // The handler refuses a missing Host, so that it is counted.
      requireHostHeader: false,
      maxHeaderSize: MAX_REQUEST_HEAD_BYTES,
      headersTimeout: HEAD_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    },
    (request, response) => {
      response.sendDate = false;
      if (isDraining) response.shouldKeepAlive = false;
      options.handle(request, response);
    },
  );
  server.timeout = STALL_TIMEOUT_MS;
  server.on('connection', (socket) => admit(socket, limit));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET') socket.destroy();
    // A refusal is already on its way out and ends this connection.
    if (!socket.writable) return;
    options.onMalformed();
    const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
    const status = isLate ? '408 Request Timeout' : '400 Bad Request';
    socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`, () => socket.destroy());
  });
  // Out of descriptors: this accept failed, those that are open go on, and the next accept may work.
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (isListening) options.log('warn', 'listen.accept-failed', { code: error.code });
  });

  return {
    listen: (where) =>
      new Promise((resolve, reject) => {
        const fail = (error: NodeJS.ErrnoException) =>
          reject(
            new CacheError('CACHE_LISTEN_FAILED', `Cannot listen on ${where.host}:${where.port} (${error.code}).`, {
              cause: error,
            }),
          );
        server.once('error', fail);
        server.listen(where.port, where.host, () => {
          server.off('error', fail);
          isListening = true;
          // A TCP server's address is an AddressInfo; only pipes have a string.
          resolve({ port: (server.address() as AddressInfo).port });
        });
      }),
    connections: () => limit.count(),
    close: async (drainMs) => {
      isDraining = true;
      if (!isListening) return;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const deadline = setTimeout(() => server.closeAllConnections(), drainMs);
      await closed;
      clearTimeout(deadline);
    },
  };
}
