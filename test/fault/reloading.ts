// A node as a process whose configuration is reloaded over and over while viewers ask on connections that they keep, over
// HTTP/1.1, over TLS and over HTTP/2.
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import { join } from 'node:path';
import { member } from '../../agent/config-check.ts';
import { askControl } from '../../agent/control.ts';
import { ask, authority, filesOf, openSession, putFiles } from '../cache/http/secure.ts';
import { start } from '../e2e/process.ts';
import { openFakeOrigin } from '../fake/origin.ts';

/** What was asked and what of it failed; `connections`: how many the viewers needed. */
export type ReloadReport = {
  readonly reloads: number;
  readonly requests: number;
  readonly failures: readonly string[];
  readonly connections: number;
};

const BODY = Buffer.alloc(20_000, 'a body ');

/** One GET on a kept connection; resolves with undefined, or with what is wrong with the answer. */
function getKept(
  ask: (done: Parameters<typeof request>[2]) => ReturnType<typeof request>,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const sent = ask((response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', (error) => resolve(String(error)));
      response.once('end', () => {
        const isGood = response.statusCode === 200 && Buffer.concat(chunks).equals(BODY);
        resolve(isGood ? undefined : `status ${response.statusCode}`);
      });
    });
    sent.once('error', (error) => resolve(String(error)));
    sent.end();
  });
}

/** Viewers who ask over and over, two plain, two over TLS and one over HTTP/2, until they are stopped. */
async function openViewers(ports: { readonly plain: number; readonly secure: number }) {
  const failures: string[] = [];
  const sockets = new Set<unknown>();
  let [requests, isOver] = [0, false];
  const loop = async (once: (path: string) => Promise<string | undefined>): Promise<void> => {
    for (let round = 0; !isOver; round += 1) {
      const failure = await once(round % 2 === 0 ? '/kept' : '/passed');
      requests += 1;
      if (failure !== undefined) failures.push(failure);
    }
  };
  const note = (sent: ReturnType<typeof request>): ReturnType<typeof request> =>
    sent.once('socket', (used) => sockets.add(used));
  const options = { host: '127.0.0.1', servername: 'localhost', ca: authority.cert };
  const plain = [1, 2].map(() => new Agent({ keepAlive: true, maxSockets: 1 }));
  const secure = [1, 2].map(() => new SecureAgent({ keepAlive: true, maxSockets: 1 }));
  const session = await openSession(ports.secure);
  const loops = [
    ...plain.map((agent) =>
      loop((path) => getKept((done) => note(request({ ...options, port: ports.plain, path, agent }, done)))),
    ),
    ...secure.map((agent) =>
      loop((path) => getKept((done) => note(secureRequest({ ...options, port: ports.secure, path, agent }, done)))),
    ),
    loop(async (path) => {
      const got = await ask(session, path);
      return got.status === 200 && got.body.equals(BODY) ? undefined : `HTTP/2 ${got.status} ${got.reset}`;
    }),
  ];
  return {
    stop: async () => {
      isOver = true;
      await Promise.all(loops);
      const connections = sockets.size + (session.destroyed ? 2 : 1);
      session.destroy();
      for (const agent of [...plain, ...secure]) agent.destroy();
      return { requests, failures, connections };
    },
  };
}

/** Reloads a node in a folder so many times under load. */
export async function reloadUnderLoad(folder: string, reloads: number): Promise<ReloadReport> {
  const origin = await openFakeOrigin(Date.now);
  origin.set('/kept', { body: BODY, headers: { 'cache-control': 'max-age=600' } });
  origin.set('/passed', { body: BODY, headers: { 'cache-control': 'no-store' } });
  const tls = await filesOf(authority.issue(['localhost']));
  const file = join(folder, 'nearcast.yaml');
  const socket = join(folder, 'nearcast.sock');
  const write = (round: number): void => {
    const origins = [{ name: 'main', url: origin.url, match: '/', idleTimeoutMs: 5000 + (round % 3) }];
    const addresses = { http: '127.0.0.1:0', https: '127.0.0.1:0' };
    const listen = { ...addresses, maxRequests: 1000 + (round % 2), exemptPrefixes: ['127.0.0.0/8'] };
    const admin = { metrics: '127.0.0.1:0', socket };
    const rest = { agent: 'off', store: { dirs: [] }, admin, state: { dir: folder } };
    writeFileSync(file, JSON.stringify({ version: 1, listen, tls, origins, hosts: [{ names: ['*'] }], ...rest }));
  };
  write(0);
  const node = start(['run', '--config', file]);
  try {
    const ready = await node.line(({ event }) => event === 'node.ready');
    const viewers = await openViewers({ plain: Number(ready['port']), secure: Number(ready['securePort']) });
    const refused: string[] = [];
    for (let round = 1; round <= reloads; round += 1) {
      write(round);
      if (round % 10 === 0) await putFiles(tls, authority.issue(['localhost']));
      const answer = await askControl(socket, { method: 'POST', path: '/reload' });
      if (member(answer, 'isApplied') !== true) refused.push(JSON.stringify(answer));
    }
    const { requests, failures, connections } = await viewers.stop();
    return { reloads, requests, failures: [...refused, ...failures], connections };
  } finally {
    node.child.kill('SIGTERM');
    await node.ended;
    await origin.close();
  }
}
