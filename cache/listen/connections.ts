// Viewer connections and the requests on them: admitted within the limits, turned away above them, slow readers cut.
import type { Socket } from 'node:net';
import type { ListenLimits, ShedReason } from '../contract.ts';
import { openConnectionLimit, RETRY_AFTER_SECONDS } from './limit.ts';
import type { OverloadWatch } from './overload.ts';
import type { ViewerRequest, ViewerResponse } from './viewer.ts';

/** How long a connection that was turned away stays for its answer to be read. */
const LINGER_MS = 1_000;
/** What pieceTimeoutMs is for. */
const TIMED_BYTES = 1024 * 1024;
const TURNED_AWAY = Buffer.from(
  `HTTP/1.1 503 Service Unavailable\r\nretry-after: ${RETRY_AFTER_SECONDS}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
);

/** A connection that was let in: its requests without an answer yet, and what its viewer has taken since when. */
type Connection = {
  readonly maxOpenRequests: number;
  openRequests: number;
  /** Has had no answer yet. */
  isNew: boolean;
  isLast: boolean;
  takenBytes: number;
  sinceMs: number;
};

/** How many times the piece's time a viewer has for so much: of a write only its end is seen. */
const pieces = (bytes: number): number => Math.max(1, bytes / TIMED_BYTES);

/** Admits connections and requests within the limits, and turns away the rest. */
export class Connections {
  readonly #onShed: (reason: ShedReason) => void;
  readonly #addresses;
  readonly #entrance: Omit<OverloadWatch, 'close'>;
  readonly #connections = new Map<Socket, Connection>();
  #limits: Required<ListenLimits>;
  #openRequests = 0;
  #lingering = 0;

  /** Throws CACHE_OPTIONS_INVALID for limits that are none. */
  constructor(
    limits: Required<ListenLimits>,
    onShed: (reason: ShedReason) => void,
    entrance: Omit<OverloadWatch, 'close'>,
  ) {
    this.#entrance = entrance;
    this.#limits = limits;
    this.#onShed = onShed;
    this.#addresses = openConnectionLimit(limits);
  }

  /** Connections that were let in and are open, those that still shake hands among them. */
  get count(): number {
    return this.#addresses.count();
  }

  /** Checks other limits, which hold once the result is called; who is inside stays. Throws CACHE_OPTIONS_INVALID. */
  prepareLimits(limits: Required<ListenLimits>): () => void {
    const use = this.#addresses.prepareLimits(limits);
    return () => {
      use();
      this.#limits = limits;
    };
  }

  /**
   * Counts a connection that was accepted and hands it to `serve`, at once or when there is room, or turns it away: with an
   * answer where plain text can be read.
   */
  enter(socket: Socket, isPlain: boolean, serve: () => void): void {
    const waitMs = this.#entrance.waitMs();
    if (waitMs === undefined) {
      this.#shed(socket, isPlain, 'overload');
      return;
    }
    const address = socket.remoteAddress ?? '';
    const entrance = this.#addresses.enter(address);
    if (entrance !== 'admitted') {
      this.#shed(socket, isPlain, entrance);
      return;
    }
    socket.setNoDelay(true);
    socket.once('close', () => this.#addresses.leave(address));
    if (waitMs === 0) {
      serve();
      return;
    }
    const onError = () => socket.destroy();
    socket.once('error', onError);
    setTimeout(() => {
      socket.off('error', onError);
      if (!socket.destroyed) serve();
    }, waitMs);
  }

  #shed(socket: Socket, isPlain: boolean, reason: ShedReason): void {
    this.#onShed(reason);
    if (isPlain && reason !== 'address' && this.#lingering < this.#limits.maxLingering) this.#turnAway(socket);
    else socket.destroy();
  }

  /** Keeps account of the requests on a connection that was let in, at most so many without an answer. */
  track(socket: Socket, maxOpenRequests: number): void {
    const sinceMs = performance.now();
    const connection = { maxOpenRequests, openRequests: 0, isNew: true, isLast: false, takenBytes: 0, sinceMs };
    this.#connections.set(socket, connection);
    socket.once('close', () => {
      this.#connections.delete(socket);
      // Answers that waited behind others on this connection never close by themselves.
      this.#openRequests -= connection.openRequests;
      connection.openRequests = 0;
      this.#serve(connection);
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
    // Whatever he asks for is read and forgotten.
    socket.resume();
  }

  /** Whether a request may go on; one that may not is answered here. */
  admits(request: ViewerRequest, response: ViewerResponse): boolean {
    const connection = this.#connections.get(request.socket);
    // What comes on a connection that was turned away has had its answer; what follows the last request is none.
    if (connection === undefined || connection.isLast) return false;
    const isTooMany = this.#openRequests >= this.#limits.maxRequests;
    if (isTooMany || connection.openRequests >= connection.maxOpenRequests) {
      this.#onShed('requests');
      const after = String(RETRY_AFTER_SECONDS);
      response.writeHead(503, { 'retry-after': after, 'content-length': 0, 'cache-control': 'no-store' });
      response.end();
      return false;
    }
    this.#openRequests += 1;
    connection.openRequests += 1;
    return true;
  }

  /** To be called when an admitted request is being answered, or has been. */
  afterAnswer(request: ViewerRequest, response: ViewerResponse): void {
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
    this.#serve(connection);
  }

  #serve(connection: Connection): void {
    if (connection.isNew) this.#entrance.served();
    connection.isNew = false;
  }

  /** Cuts the viewers who take too long for what has been handed to their connection. */
  cutSlowReaders(): void {
    const nowMs = performance.now();
    for (const [socket, connection] of this.#connections) {
      const takenBytes = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength === 0 || takenBytes !== connection.takenBytes) {
        connection.takenBytes = takenBytes;
        connection.sinceMs = nowMs;
      } else if (nowMs - connection.sinceMs > this.#limits.pieceTimeoutMs * pieces(socket.writableLength))
        socket.destroy();
    }
  }
}
