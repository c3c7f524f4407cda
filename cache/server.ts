// The viewer listener: node:http with limits, viewers turned away when there are too many, and a drain.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Listen, ListenLimits, Log, ShedReason } from './contract.ts';
import { CacheError } from './errors.ts';
import {
  DEFAULT_LIMITS,
  IDLE_TIMEOUT_MS,
  MAX_REQUEST_HEAD_BYTES,
  openConnectionLimit,
  REQUEST_TIMEOUT_MS,
  REQUESTS_PER_CONNECTION,
  RETRY_AFTER_SECONDS,
} from './limit.ts';

/** How often late requests and slow readers are looked for, at most. */
const TIMEOUT_CHECK_MS = 2_000;
/** How long a connection that was turned away stays for its answer to be read. */
const LINGER_MS = 1_000;
const TURNED_AWAY = `HTTP/1.1 503 Service Unavailable\r\nretry-after: ${RETRY_AFTER_SECONDS}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`;

/** What a listener needs. */
export type ServerOptions = {
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
  readonly limits: ListenLimits;
  /** Hears of each request that did not parse. */
  readonly onMalformed: () => void;
  /** Hears of each viewer who was turned away. */
  readonly onShed: (reason: ShedReason) => void;
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

/** A connection that was let in: its requests without an answer yet, and what its viewer has taken since when. */
type Connection = { openRequests: number; isLast: boolean; takenBytes: number; sinceMs: number };

/** Admits connections and requests within the limits, and turns away the rest. */
class Gate {
  readonly #limits: Required<ListenLimits>;
  readonly #onShed: ServerOptions['onShed'];
  readonly #addresses;
  readonly #connections = new Map<Socket, Connection>();
  #openRequests = 0;
  #lingering = 0;

  constructor(limits: Required<ListenLimits>, onShed: ServerOptions['onShed']) {
    this.#limits = limits;
    this.#onShed = onShed;
    this.#addresses = openConnectionLimit(limits);
  }

  get connections(): number {
    return this.#addresses.count();
  }

  /** Takes a connection in, or turns it away at once. */
  connect(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const entrance = this.#addresses.enter(address);
    if (entrance !== 'admitted') {
      this.#onShed(entrance);
      if (entrance === 'connections' && this.#lingering < this.#limits.maxLingering) this.#turnAway(socket);
      else socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    const connection = { openRequests: 0, isLast: false, takenBytes: 0, sinceMs: performance.now() };
    this.#connections.set(socket, connection);
    socket.once('close', () => {
      this.#addresses.leave(address);
      this.#connections.delete(socket);
      // Answers that waited behind others on this connection never close by themselves.
      this.#openRequests -= connection.openRequests;
      connection.openRequests = 0;
    });
  }

  /** Answers without waiting for a request, and stays a moment: closing over unread bytes would reset the answer away. */
  #turnAway(socket: Socket): void {
    this.#lingering += 1;
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#lingering -= 1;
    });
    socket.once('error', () => socket.destroy());
    socket.end(TURNED_AWAY);
  }

  /** Whether a request may go on; one that may not is answered here. */
  admits(request: IncomingMessage, response: ServerResponse): boolean {
    const connection = this.#connections.get(request.socket);
    // What comes on a connection that was turned away has had its answer; what follows the last request is none.
    if (connection === undefined || connection.isLast) return false;
    const isTooMany = this.#openRequests >= this.#limits.maxRequests;
    if (isTooMany || connection.openRequests >= REQUESTS_PER_CONNECTION) {
      this.#onShed('requests');
      const after = String(RETRY_AFTER_SECONDS);
      response.writeHead(503, { 'retry-after': after, 'content-length': 0, 'cache-control': 'no-store' }).end();
      return false;
    }
    this.#openRequests += 1;
    connection.openRequests += 1;
    return true;
  }

  /** To be called when an admitted request is being answered, or has been. */
  afterAnswer(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) return;
    // Nothing after an answer that ends its connection is taken for a request (RFC 9112 section 9.6).
    if (!response.shouldKeepAlive) connection.isLast = true;
    if (response.writableFinished) this.#end(connection);
    else response.once('close', () => this.#end(connection));
  }

  #end(connection: Connection): void {
    // The connection's own end has counted those that were still open.
    if (connection.openRequests === 0) return;
    connection.openRequests -= 1;
    this.#openRequests -= 1;
  }

  /** Cuts the viewers who take too long for what has been handed to their connection. */
  cutSlowReaders(): void {
    const nowMs = performance.now();
    for (const [socket, connection] of this.#connections) {
      const takenBytes = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength === 0 || takenBytes !== connection.takenBytes) {
        connection.takenBytes = takenBytes;
        connection.sinceMs = nowMs;
      } else if (nowMs - connection.sinceMs > this.#limits.pieceTimeoutMs) socket.destroy();
    }
  }
}

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

/** Opens the listener of a cache; nothing is bound before listen(). Throws CACHE_OPTIONS_INVALID for limits that are none. */
export function openServer(options: ServerOptions): Server {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const gate = new Gate(limits, options.onShed);
  const checkMs = Math.min(TIMEOUT_CHECK_MS, limits.headTimeoutMs / 2, limits.pieceTimeoutMs / 2);
  let isDraining = false;
  let isListening = false;
  let slowReaders: NodeJS.Timeout | undefined;
  const server = createServer(
    {
      // The handler refuses a missing Host, so that it is counted.
      requireHostHeader: false,
      maxHeaderSize: MAX_REQUEST_HEAD_BYTES,
      headersTimeout: limits.headTimeoutMs,
      requestTimeout: Math.max(REQUEST_TIMEOUT_MS, limits.headTimeoutMs),
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      connectionsCheckingInterval: checkMs,
    },
    (request, response) => {
      response.sendDate = false;
      if (isDraining) response.shouldKeepAlive = false;
      if (!gate.admits(request, response)) return;
      options.handle(request, response);
      gate.afterAnswer(request, response);
    },
  );
  server.timeout = limits.stallTimeoutMs;
  server.on('connection', (socket) => gate.connect(socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
    answerUnparsed(error, socket, options.onMalformed),
  );
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
          slowReaders = setInterval(() => gate.cutSlowReaders(), checkMs);
          // A TCP server's address is an AddressInfo; only pipes have a string.
          resolve({ port: (server.address() as AddressInfo).port });
        });
      }),
    connections: () => gate.connections,
    close: async (drainMs) => {
      isDraining = true;
      if (!isListening) return;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const deadline = setTimeout(() => server.closeAllConnections(), drainMs);
      await closed;
      clearTimeout(deadline);
      clearInterval(slowReaders);
    },
  };
}
