// A real HTTP origin on loopback that a test controls: what each path answers, when, how wrongly, and who asked.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** What a path answers. Without status 200, without body nothing. */
export type Answer = {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
  /** Leaves Content-Length out: the body is chunked. */
  readonly isChunked?: boolean;
  /** Interim responses before the head: 102, or 103 with fields. */
  readonly interim?: readonly { readonly status: 102 | 103; readonly headers?: Readonly<Record<string, string>> }[];
  /** Resolves before those are sent. */
  readonly interimAfter?: Promise<unknown>;
  /** Resolves before the head is sent. */
  readonly headAfter?: Promise<unknown>;
  /** Before the byte at `offset` is sent, `until` must resolve. Sorted by offset. */
  readonly gates?: readonly { readonly offset: number; readonly until: Promise<unknown> }[];
  /** Sends the body in so many pieces over so long. */
  readonly pace?: { readonly pieces: number; readonly overMs: number };
  /** Destroys the connection after so many body bytes. */
  readonly cutAfterBytes?: number;
  /** Says this length whatever the body. */
  readonly claimedLength?: number;
  /** Takes the request and never answers. */
  readonly isBlackHole?: boolean;
  /** Writes these bytes on the socket instead of any answer, and closes it. */
  readonly raw?: string;
  /** Answers conditional requests with a 304 when If-None-Match has this tag. */
  readonly etag?: string;
  /** Answers single ranges of the body with a 206, or a 416. */
  readonly hasRanges?: boolean;
  /** Says this Content-Range whatever was asked for. */
  readonly contentRange?: string;
};

/** One request that came. */
export type Seen = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
};

/** A running origin. */
export type FakeOrigin = {
  readonly url: string;
  readonly port: number;
  /** Sets what a path (without query) answers from now on. */
  readonly set: (path: string, answer: Answer | ((request: Seen) => Answer)) => void;
  /** Requests for a path so far, in order; for every path without argument. */
  readonly seen: (path?: string) => readonly Seen[];
  /** Body bytes of all answers for a path, as their lengths said. */
  readonly askedBytes: (path: string) => number;
  /** Resolves when a path has been asked so many times. */
  readonly asked: (path: string, times: number) => Promise<void>;
  /** Closes every open connection. */
  readonly dropConnections: () => void;
  readonly close: () => Promise<void>;
};

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function readAll(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

function write(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const done = () => resolve();
    response.once('close', done);
    response.write(bytes, () => {
      response.off('close', done);
      resolve();
    });
  });
}

/** Offsets at which the body stops for a moment. */
function stopsOf(answer: Answer, length: number): readonly { offset: number; until: () => Promise<unknown> }[] {
  const stops = (answer.gates ?? []).map(({ offset, until }) => ({ offset, until: () => until }));
  const { pace } = answer;
  for (let piece = 1; pace !== undefined && piece < pace.pieces; piece += 1) {
    stops.push({
      offset: Math.floor((length * piece) / pace.pieces),
      until: () => wait(pace.overMs / pace.pieces),
    });
  }
  if (answer.cutAfterBytes !== undefined)
    stops.push({ offset: answer.cutAfterBytes, until: () => Promise.resolve('cut') });
  return stops.sort((one, other) => one.offset - other.offset);
}

async function sendBody(response: ServerResponse, answer: Answer, body: Buffer): Promise<void> {
  let sent = 0;
  for (const { offset, until } of stopsOf(answer, body.length)) {
    if (offset > sent) await write(response, body.subarray(sent, offset));
    sent = Math.max(sent, offset);
    if ((await until()) === 'cut') {
      response.socket?.destroy();
      return;
    }
    if (response.destroyed) return;
  }
  response.end(body.subarray(sent));
}

type Ranged = { readonly body: Buffer; readonly status: number; readonly range?: string };

/** The answer to a single range, where there is one. */
function ranged(request: Seen, answer: Answer, whole: Buffer): Ranged {
  const match = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '');
  const ifRange = request.headers['if-range'];
  if (answer.hasRanges !== true || match === null || (ifRange !== undefined && ifRange !== answer.etag)) {
    return { body: whole, status: answer.status ?? 200 };
  }
  const [, first = '', last = ''] = match;
  const start = first === '' ? Math.max(0, whole.length - Number(last)) : Number(first);
  const end = first === '' || last === '' ? whole.length : Math.min(whole.length, Number(last) + 1);
  if (start >= whole.length) return { body: Buffer.alloc(0), status: 416, range: `bytes */${whole.length}` };
  const range = answer.contentRange ?? `bytes ${start}-${end - 1}/${whole.length}`;
  return { body: whole.subarray(start, end), status: 206, range };
}

type Tools = { readonly now: () => number; readonly onBody: (bytes: number) => void };

async function respond(request: Seen, response: ServerResponse, answer: Answer, tools: Tools): Promise<void> {
  await answer.interimAfter;
  for (const { status, headers = {} } of answer.interim ?? []) {
    if (status === 102) response.writeProcessing();
    else response.writeEarlyHints({ ...headers });
  }
  await answer.headAfter;
  const { socket } = response;
  if (answer.isBlackHole === true || socket === null) return;
  if (answer.raw !== undefined) {
    socket.end(answer.raw);
    return;
  }
  response.setHeader('date', new Date(tools.now()).toUTCString());
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
  if (answer.etag !== undefined) response.setHeader('etag', answer.etag);
  if (answer.etag !== undefined && request.headers['if-none-match'] === answer.etag) {
    response.writeHead(304).end();
    return;
  }
  const { body, status, range } = ranged(request, answer, Buffer.from(answer.body ?? ''));
  if (range !== undefined) response.setHeader('content-range', range);
  if (answer.isChunked !== true) response.setHeader('content-length', answer.claimedLength ?? body.length);
  response.writeHead(status);
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  response.flushHeaders();
  tools.onBody(body.length);
  await sendBody(response, answer, body);
}

/**
 * Starts an origin, on an ephemeral port of 127.0.0.1 when it is not told where; `now` is its clock. Paths that were not
 * set answer 404.
 */
export async function openFakeOrigin(
  now: () => number = Date.now,
  where: { readonly host: string; readonly port: number } = { host: '127.0.0.1', port: 0 },
): Promise<FakeOrigin> {
  const answers = new Map<string, Answer | ((request: Seen) => Answer)>();
  const seen: Seen[] = [];
  const asked = new Map<string, number>();
  const waiting = new Set<() => void>();
  const sockets = new Set<Socket>();
  const pathOf = (url: string) => url.split('?')[0] ?? url;
  const server = createServer((request, response) => {
    void readAll(request).then(
      (body) => {
        const one = { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body };
        seen.push(one);
        for (const check of [...waiting]) check();
        const answer = answers.get(pathOf(one.url)) ?? { status: 404 };
        const onBody = (bytes: number) => {
          asked.set(pathOf(one.url), (asked.get(pathOf(one.url)) ?? 0) + bytes);
        };
        return respond(one, response, typeof answer === 'function' ? answer(one) : answer, { now, onBody });
      },
      () => response.destroy(),
    );
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(where.port, where.host, resolve));
  // A TCP server's address is an AddressInfo.
  const { port } = server.address() as AddressInfo;
  const count = (path: string) => seen.filter(({ url }) => pathOf(url) === path).length;
  return {
    url: `http://${where.host}:${port}`,
    port,
    set: (path, answer) => {
      answers.set(path, answer);
    },
    seen: (path) => (path === undefined ? seen : seen.filter(({ url }) => pathOf(url) === path)),
    askedBytes: (path) => asked.get(path) ?? 0,
    asked: (path, times) =>
      new Promise((resolve) => {
        const check = () => {
          if (count(path) < times) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    dropConnections: () => {
      for (const socket of sockets) socket.destroy();
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
