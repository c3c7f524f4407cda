// Two small HTTP servers: /metrics, /livez and /readyz on TCP for monitoring, and everything that changes or explains
// something on a unix socket that only this user may open.
import { chmod, mkdir, rm } from 'node:fs/promises';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { AgentError } from './errors.ts';

/** What a control call answers. */
export type ControlReply = { readonly status: number; readonly json: unknown };
/** One call of the control socket; `path` may end in `/` to take what follows as `rest`. */
export type ControlCall = {
  readonly method: string;
  readonly path: string;
  readonly answer: (input: ControlInput) => Promise<ControlReply> | ControlReply;
};
/** A control call's arguments. `body` is parsed JSON, undefined when there was none. */
export type ControlInput = { readonly query: URLSearchParams; readonly rest: string; readonly body: unknown };

const MAX_BODY_BYTES = 1024 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
/** The longest that a client waits for the daemon's answer. */
const CLIENT_TIMEOUT_MS = 30_000;

async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    // Without setEncoding an IncomingMessage gives Buffers.
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function sendJson(response: ServerResponse, { status, json }: ControlReply): void {
  const text = `${JSON.stringify(json, undefined, 2)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function parseJson(bytes: Buffer): { readonly value: unknown } | undefined {
  try {
    return { value: bytes.length === 0 ? undefined : JSON.parse(bytes.toString('utf8')) };
  } catch {
    // The caller answers 400.
    return undefined;
  }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // The caller answers 400.
    return undefined;
  }
}

async function answerControl(request: IncomingMessage, calls: readonly ControlCall[]): Promise<ControlReply> {
  const url = new URL(request.url ?? '/', 'http://control');
  const here = calls.filter(({ path }) => (path.endsWith('/') ? url.pathname.startsWith(path) : url.pathname === path));
  const call = here.find(({ method }) => method === request.method);
  if (call === undefined) {
    const known = calls.map(({ method, path }) => `${method} ${path}`);
    return { status: here.length > 0 ? 405 : 404, json: { error: 'no such call', known } };
  }
  const bytes = await readBody(request);
  if (bytes === undefined) return { status: 413, json: { error: `a body of more than ${MAX_BODY_BYTES} bytes` } };
  const body = parseJson(bytes);
  if (body === undefined) return { status: 400, json: { error: 'the body is not JSON' } };
  const rest = call.path.endsWith('/') ? decoded(url.pathname.slice(call.path.length)) : '';
  if (rest === undefined) return { status: 400, json: { error: 'the path is not percent-encoded text' } };
  return call.answer({ query: url.searchParams, rest, body: body.value });
}

function listen(
  server: Server,
  where: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function createLimited(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Server {
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      answer(request, response).catch((error: unknown) => {
        if (!response.headersSent) sendJson(response, { status: 500, json: { error: String(error) } });
        else response.destroy();
      });
    },
  );
  server.maxConnections = 256;
  return server;
}

/** True when something answers on that socket; a file left by a dead process does not. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.setTimeout(1_000, () => socket.destroy());
    socket.once('connect', () => {
      resolve(true);
      socket.destroy();
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
}

/** Opens the control socket, mode 0600. Rejects with AGENT_LISTEN_FAILED when another node has it. */
export async function openControl(
  path: string,
  calls: readonly ControlCall[],
): Promise<{ close: () => Promise<void> }> {
  if (await isAlive(path)) {
    throw new AgentError(
      'AGENT_LISTEN_FAILED',
      `another node answers on ${path}: stop it, or set admin.socket to another path`,
    );
  }
  const server = createLimited(async (request, response) => sendJson(response, await answerControl(request, calls)));
  try {
    await mkdir(dirname(path), { recursive: true });
    await rm(path, { force: true });
    await listen(server, { path });
    await chmod(path, 0o600);
  } catch (cause) {
    throw new AgentError('AGENT_LISTEN_FAILED', `the control socket ${path} cannot be opened: ${String(cause)}`, {
      cause,
    });
  }
  return {
    close: async () => {
      await closeServer(server);
      await rm(path, { force: true });
    },
  };
}

/** What the monitoring listener asks. */
export type Monitored = {
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /** Why the node is not ready, or undefined when it is. */
  readonly unreadiness: () => string | undefined;
};

/** Opens /metrics, /livez and /readyz. Rejects with AGENT_LISTEN_FAILED. Resolves with the port bound. */
export async function openMonitoring(
  { host, port }: { readonly host: string; readonly port: number },
  monitored: Monitored,
): Promise<{ readonly port: number; readonly close: () => Promise<void> }> {
  const server = createLimited(async (request, response) => {
    const [path] = (request.url ?? '/').split('?');
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const reply = (status: number, contentType: string, text: string) => {
      response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(text) });
      response.end(request.method === 'HEAD' ? undefined : text);
    };
    if (!isRead) return reply(405, 'text/plain', 'only GET and HEAD\n');
    if (path === '/metrics') {
      const { contentType, text } = await monitored.metrics();
      return reply(200, contentType, text);
    }
    if (path === '/livez') return reply(200, 'text/plain', 'alive\n');
    if (path === '/readyz') {
      const reason = monitored.unreadiness();
      return reason === undefined ? reply(200, 'text/plain', 'ready\n') : reply(503, 'text/plain', `${reason}\n`);
    }
    return reply(404, 'text/plain', '/metrics, /livez and /readyz are here; control is on the unix socket\n');
  });
  try {
    await listen(server, { host, port });
  } catch (cause) {
    throw new AgentError(
      'AGENT_LISTEN_FAILED',
      `admin.metrics ${host}:${port} cannot be bound (${String(cause)}): choose another port`,
      { cause },
    );
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => closeServer(server),
  };
}

/** Asks a running node. Rejects with AGENT_CONTROL_UNREACHABLE, or AGENT_CONTROL_REFUSED for an answer of 400 or more. */
export async function askControl(
  socketPath: string,
  call: { readonly method: string; readonly path: string; readonly body?: unknown },
): Promise<unknown> {
  const { status, text } = await new Promise<{ readonly status: number; readonly text: string }>((resolve, reject) => {
    const request = httpRequest(
      { socketPath, method: call.method, path: call.path, timeout: CLIENT_TIMEOUT_MS, headers: { host: 'control' } },
      (response) => {
        let answer = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          answer += part;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: answer }));
        response.on('error', reject);
      },
    );
    request.on('timeout', () => request.destroy(new Error(`no answer within ${CLIENT_TIMEOUT_MS / 1000} s`)));
    request.on('error', reject);
    request.end(call.body === undefined ? undefined : JSON.stringify(call.body));
  }).catch((cause: unknown) => {
    const message = `no node answers on ${socketPath} (${cause instanceof Error ? cause.message : String(cause)}): is it running, and is this its socket (--socket)?`;
    throw new AgentError('AGENT_CONTROL_UNREACHABLE', message, { cause, retryable: true });
  });
  if (status >= 400) throw new AgentError('AGENT_CONTROL_REFUSED', `the node refused (${status}): ${text.trim()}`);
  return JSON.parse(text);
}
