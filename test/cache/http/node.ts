// A whole cache on loopback for tests: a real origin, a real store in a temporary directory, real HTTP from outside.
import { mkdtemp, rm } from 'node:fs/promises';
import { type ClientRequest, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from '../../../cache/cache.ts';
import type { Cache, CacheOptions, OriginOptions, ServedRecord } from '../../../cache/contract.ts';
import { type FakeOrigin, openFakeOrigin } from '../../fake/origin.ts';

/** A response as a viewer got it. `isCut`: the connection ended before the body did. */
export type Got = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly isCut: boolean;
  readonly firstByteMs: number;
};

/** A cache under test, its clock, and what it recorded. */
export type TestNode = {
  readonly cache: Cache;
  readonly origin: FakeOrigin;
  readonly port: number;
  /** Of TLS; 0 without a certificate. */
  readonly securePort: number;
  readonly served: readonly ServedRecord[];
  /** The store's directory. */
  readonly directory: string;
  /** Moves the cache's clock. */
  readonly passSeconds: (seconds: number) => void;
  readonly get: (path: string, headers?: Record<string, string>, method?: string, body?: string) => Promise<Got>;
  /** Starts a request and gives it and its response once the head is there. */
  readonly start: (
    path: string,
    headers?: Record<string, string>,
  ) => Promise<{ request: ClientRequest; response: IncomingMessage }>;
  /** Sends bytes on a new connection; resolves with all that came until it closed. */
  readonly raw: (bytes: string) => Promise<string>;
  /** Resolves when so many requests have been recorded. */
  readonly recorded: (count: number) => Promise<void>;
  readonly close: () => Promise<void>;
};

/** What a test may set. */
export type NodeSetup = Partial<Omit<CacheOptions, 'origins' | 'rules' | 'store'>> & {
  readonly ramBytes?: number;
  /** 0: memory alone. */
  readonly diskBytes?: number;
  readonly origin?: Partial<OriginOptions>;
  readonly moreOrigins?: readonly OriginOptions[];
  /** The cache's clock only moves by passSeconds(), so that nothing falls due by itself on a busy machine. */
  readonly isClockStill?: boolean;
  readonly rules?: Partial<CacheOptions['rules']>;
};

/** Reads a response to its end, however it ends. */
export function readResponse(response: IncomingMessage): Promise<{ body: Buffer; isCut: boolean }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.once('error', () => undefined);
    response.once('close', () => resolve({ body: Buffer.concat(chunks), isCut: !response.complete }));
  });
}

/** One request on a connection of its own, its answer read to its end, however it ends. Rejects without an answer. */
export function getFrom(
  port: number,
  path: string,
  options: { headers?: Record<string, string>; method?: string; body?: string },
): Promise<Got> {
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const { method = 'GET', body } = options;
    const length = body === undefined ? {} : { 'content-length': String(body.length) };
    const headers = { ...length, ...options.headers };
    const request = httpRequest({ port, path, method, headers, host: '127.0.0.1', agent: false }, (response) => {
      const firstByteMs = performance.now() - startedMs;
      void readResponse(response).then((read) =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, firstByteMs, ...read }),
      );
    });
    request.once('error', reject);
    request.end(body);
  });
}

function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.once('error', reject);
    socket.once('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}

/** The machine's clock, or one that stands still, moved by passSeconds(). */
function openClock(isStill: boolean): Pick<TestNode, 'passSeconds'> & { readonly now: () => number } {
  let shiftMs = 0;
  const startedAt = Date.now();
  return {
    now: () => (isStill ? startedAt : Date.now()) + shiftMs,
    passSeconds: (seconds) => {
      shiftMs += seconds * 1000;
    },
  };
}

/** Opens a cache in front of a fresh origin. */
export async function openNode(setup: NodeSetup = {}): Promise<TestNode> {
  const path = await mkdtemp(join(tmpdir(), 'nearcast-http-'));
  const served: ServedRecord[] = [];
  const waiting = new Set<() => void>();
  const { now, passSeconds } = openClock(setup.isClockStill ?? false);
  const origin = await openFakeOrigin(now);
  const {
    origin: originSetup,
    moreOrigins = [],
    isClockStill: _isClockStill,
    rules,
    onServed,
    ramBytes = 64 * 1024 * 1024,
    diskBytes = 512 * 1024 * 1024,
    ...rest
  } = setup;
  const cache = await open({
    store: { ramBytes, dirs: diskBytes === 0 ? [] : [{ path, maxBytes: diskBytes }], required: true },
    nodeId: 'edge-test',
    now,
    log: () => undefined,
    ...rest,
    // The client's own work is on the same event loop.
    limits: { overloadDelayMs: 0, ...rest.limits },
    origins: [{ name: 'main', url: origin.url, match: '/', ...originSetup }, ...moreOrigins],
    rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control', ...rules },
    onServed: (record) => {
      served.push(record);
      for (const check of [...waiting]) check();
      onServed?.(record);
    },
  });
  const anyPort = { host: '127.0.0.1', port: 0 };
  const { port, securePort = 0 } = await cache.serve(anyPort, anyPort);
  return {
    ...{ cache, origin, port, securePort, served, directory: path, passSeconds },
    get: (target, headers, method, body) =>
      getFrom(port, target, {
        ...(headers && { headers }),
        ...(method && { method }),
        ...(body !== undefined && { body }),
      }),
    start: (target, headers = {}) =>
      new Promise((resolve, reject) => {
        const request = httpRequest({ port, path: target, headers, host: '127.0.0.1', agent: false }, (response) =>
          resolve({ request, response }),
        );
        request.once('error', reject);
        request.end();
      }),
    raw: (bytes) => raw(port, bytes),
    recorded: (count) =>
      new Promise((resolve) => {
        const check = () => {
          if (served.length >= count && waiting.delete(check)) resolve();
        };
        waiting.add(check);
        check();
      }),
    close: async () => {
      await cache.close(0);
      await origin.close();
      await rm(path, { recursive: true, force: true });
    },
  };
}
