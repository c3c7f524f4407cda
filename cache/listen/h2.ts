// HTTP/2 on connections that a TLS handshake has given: streams to the handler, and an end to sessions that misuse it.
import { constants, createServer, type Http2Session, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { ListenLimits, MisuseReason } from '../contract.ts';
import { Allowance } from '../rules/allowance.ts';
import { H2Response, openRequest, type StreamHead } from './h2-exchange.ts';
import { IDLE_TIMEOUT_MS, MAX_REQUEST_HEAD_BYTES, STREAMS_PER_CONNECTION } from './limit.ts';
import type { ViewerRequest, ViewerResponse } from './viewer.ts';

/**
 * Streams that end before their answer does, whoever reset them (CVE-2023-44487, CVE-2025-8671). A player that seeks
 * drops some at once; nghttp2 counts those that the viewer reset in the same way, before they cost anything here.
 */
const RESETS = { burst: 200, perSecond: 33 } as const;
/** PING and SETTINGS frames (CVE-2019-9512, CVE-2019-9515). */
const CONTROL_FRAMES = { burst: 100, perSecond: 10 } as const;
/** Bytes beside requests and their bodies: so many, and more with time and with what was sent, for window updates. */
const SPARE_BYTES = { first: 128 * 1024, perSecond: 1024, perSentByte: 1 / 8 } as const;
/** Invalid frames of one session, however each is answered. */
const INVALID_FRAMES = 32;
/** Header fields of one request. */
const FIELDS_PER_REQUEST = 128;
/** Of one session, in MB: pieces of answers that wait, 1 MiB for each stream, and what nghttp2 holds besides. */
const SESSION_MEMORY = STREAMS_PER_CONNECTION + 32;
/** How long a session that was ended stays for its GOAWAY to be read. */
const LINGER_MS = 1_000;
/** The highest stream id: a GOAWAY with it announces the end and refuses nothing yet (RFC 9113 section 6.8). */
const LAST_STREAM_ID = 2 ** 31 - 1;

/** What HTTP/2 needs. */
export type H2Options = {
  readonly limits: Omit<Required<ListenLimits>, 'exemptPrefixes'>;
  readonly answer: (request: ViewerRequest, response: ViewerResponse) => void;
  /** Hears of each session, or stream, that was ended for its misuse. */
  readonly onMisuse: (reason: MisuseReason) => void;
};

/** HTTP/2 for connections from elsewhere. */
export type H2 = {
  readonly accept: (socket: TLSSocket) => void;
  /** Ends what is late, slow or wasteful; to be called every few seconds. */
  readonly check: () => void;
  /** Announces the end to all viewers; sessions close when their answers have ended. New ones at once, too. */
  readonly drain: () => void;
};

/** An answer under way, and what its viewer has taken since when. */
type Open = {
  readonly response: H2Response;
  readonly stream: ServerHttp2Stream;
  readonly startedMs: number;
  takenBytes: number | undefined;
  sinceMs: number;
};

class Session {
  readonly #socket: TLSSocket;
  readonly #session: Http2Session;
  readonly #options: H2Options;
  readonly #startedMs = performance.now();
  readonly #resets = new Allowance(RESETS, this.#startedMs);
  readonly #control = new Allowance(CONTROL_FRAMES, this.#startedMs);
  readonly #open = new Set<Open>();
  #requests = 0;
  #bodyBytes = 0;
  #idleSinceMs = this.#startedMs;
  #isEnding = false;

  constructor(socket: TLSSocket, session: Http2Session, options: H2Options) {
    this.#socket = socket;
    this.#session = session;
    this.#options = options;
    session.on('ping', () => this.#onControl());
    session.on('remoteSettings', () => this.#onControl());
    session.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith('ERR_HTTP2_') === true) this.#misused('protocol');
    });
  }

  #onControl(): void {
    if (!this.#control.take(performance.now())) this.#misused('control-frames');
  }

  onStream(stream: ServerHttp2Stream, head: StreamHead): void {
    stream.on('error', () => undefined);
    if (this.#isEnding || stream.destroyed) return;
    this.#requests += 1;
    const startedMs = performance.now();
    const request = openRequest(stream, head, this.#socket, (bytes) => {
      this.#bodyBytes += bytes;
    });
    const response = new H2Response(stream, request.method);
    const open: Open = { response, stream, startedMs, takenBytes: undefined, sinceMs: startedMs };
    this.#open.add(open);
    stream.once('close', () => {
      this.#open.delete(open);
      this.#idleSinceMs = performance.now();
      if (!response.writableFinished && !this.#resets.take(this.#idleSinceMs)) this.#misused('resets');
    });
    if (head.headers.expect?.toLowerCase() === '100-continue') stream.additionalHeaders({ ':status': 100 });
    this.#options.answer(request, response);
  }

  check(nowMs: number): void {
    const idleMs = this.#requests === 0 ? this.#options.limits.headTimeoutMs : IDLE_TIMEOUT_MS;
    if (this.#socket.bytesRead > this.#allowedBytes(nowMs)) this.#misused('bytes');
    else if (this.#open.size === 0 && nowMs - this.#idleSinceMs > idleMs) this.#end(constants.NGHTTP2_NO_ERROR);
    for (const open of this.#open) this.#checkStream(open, nowMs);
  }

  /** What the viewer may have sent by now. */
  #allowedBytes(nowMs: number): number {
    const { first, perSecond, perSentByte } = SPARE_BYTES;
    const spare = first + ((nowMs - this.#startedMs) / 1000) * perSecond + this.#socket.bytesWritten * perSentByte;
    // A head is sent compressed, a body in frames of whatever size.
    return spare + this.#requests * MAX_REQUEST_HEAD_BYTES + this.#bodyBytes * 2;
  }

  #checkStream(open: Open, nowMs: number): void {
    const isUnsent = !open.stream.endAfterHeaders && open.stream.state.remoteClose !== 1;
    const isBodyLate = isUnsent && nowMs - open.startedMs > this.#options.limits.requestTimeoutMs;
    const { takenBytes } = open.response;
    if (takenBytes === undefined || takenBytes !== open.takenBytes) {
      open.takenBytes = takenBytes;
      open.sinceMs = nowMs;
    }
    const isSlow = takenBytes !== undefined && nowMs - open.sinceMs > this.#options.limits.pieceTimeoutMs;
    if (!isSlow && !isBodyLate) return;
    this.#options.onMisuse('slow');
    open.stream.close(constants.NGHTTP2_CANCEL);
  }

  #misused(reason: MisuseReason): void {
    if (this.#isEnding) return;
    this.#options.onMisuse(reason);
    this.#end(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  /** Ends the session with all its streams, and the connection whether its GOAWAY is read or not. */
  #end(code: number): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    // With an error, since the code would not be sent without one.
    if (!this.#session.destroyed) this.#session.destroy(new Error('The session was ended.'), code);
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#socket.once('close', () => clearTimeout(timer));
  }

  /** Says that the end comes, and once the viewer has heard it takes no further streams. */
  drain(): void {
    const session = this.#session;
    if (session.destroyed || session.closed) return;
    session.goaway(constants.NGHTTP2_NO_ERROR, LAST_STREAM_ID);
    const close = (): void => {
      clearTimeout(timer);
      if (!session.destroyed) session.close();
    };
    const timer = setTimeout(close, LINGER_MS);
    if (!session.ping(close)) close();
  }
}

/** Opens HTTP/2; nothing is bound. */
export function openH2(options: H2Options): H2 {
  const sessions = new Map<Http2Session, Session>();
  let isDraining = false;
  const server = createServer({
    maxHeaderListPairs: FIELDS_PER_REQUEST,
    maxSessionInvalidFrames: INVALID_FRAMES,
    maxSessionMemory: SESSION_MEMORY,
    streamResetBurst: RESETS.burst,
    streamResetRate: RESETS.perSecond,
    // What an origin repeated goes to the viewer as it came.
    strictSingleValueFields: false,
    settings: { maxConcurrentStreams: STREAMS_PER_CONNECTION, maxHeaderListSize: MAX_REQUEST_HEAD_BYTES },
  });
  server.setTimeout(options.limits.stallTimeoutMs);
  server.on('stream', (stream, headers, _flags, raw) => {
    const session = stream.session === undefined ? undefined : sessions.get(stream.session);
    session?.onStream(stream, { headers, raw });
  });
  return {
    accept: (socket) => {
      server.once('session', (http2) => {
        const session = new Session(socket, http2, options);
        sessions.set(http2, session);
        http2.once('close', () => sessions.delete(http2));
        if (isDraining) session.drain();
      });
      // Gives the session before it returns.
      server.emit('connection', socket);
    },
    check: () => {
      const nowMs = performance.now();
      for (const session of sessions.values()) session.check(nowMs);
    },
    drain: () => {
      isDraining = true;
      for (const session of sessions.values()) session.drain();
    },
  };
}
