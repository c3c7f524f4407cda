// One port with several listening sockets: Node accepts one connection of each in a turn of its loop (libuv pull request
// 3696), so with a single one the kernel's queue overflows and viewers wait unseen as soon as turns take long.
import { type AddressInfo, createServer, type Server as NetServer } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { Listen } from '../contract.ts';
import { CacheError } from '../errors.ts';

/** Connections that a turn of the loop can accept. At 10 ms a turn, 3,200 a second: our bench turns away 2,000 a second. */
const SOCKETS = 32;

function bind(server: NetServer, where: Listen & { readonly reusePort: boolean }): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) =>
      reject(
        new CacheError('CACHE_LISTEN_FAILED', `Cannot listen on ${where.host}:${where.port} (${error.code}).`, {
          cause: error,
        }),
      );
    server.once('error', fail);
    server.listen(where, () => {
      server.off('error', fail);
      // A TCP server's address is an AddressInfo; only pipes have a string.
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Resolves when a server has closed with all its connections; at once when it never listened. */
export function closed(server: NetServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

/** A port that is bound, and the sockets beside the server's own, each of which hands it what it accepts. */
export type Bound = { readonly port: number; readonly others: readonly NetServer[] };

/**
 * Binds an address; `isShared`: with one socket, which the processes of a cluster share. Rejects with CACHE_LISTEN_FAILED,
 * also when another process listens there already.
 */
export async function listen(server: NetServer, where: Listen, isShared: boolean): Promise<Bound> {
  if (isShared || process.platform !== 'linux')
    return { port: await bind(server, { ...where, reusePort: false }), others: [] };
  // A port of which another process of this user has a part could be bound as well: only a socket for itself is refused.
  if (where.port !== 0) {
    const probe = createServer();
    await bind(probe, { ...where, reusePort: false });
    await closed(probe);
  }
  const port = await bind(server, { ...where, reusePort: true });
  const others: NetServer[] = [];
  try {
    while (others.length < SOCKETS - 1) {
      // As node:http itself: who has sent his request and closed his side still gets an answer.
      const allowHalfOpen = !(server instanceof TlsServer);
      const other = createServer({ allowHalfOpen }, (socket) => server.emit('connection', socket));
      await bind(other, { host: where.host, port, reusePort: true });
      others.push(other);
    }
  } catch (error) {
    await Promise.all([server, ...others].map(closed));
    throw error;
  }
  return { port, others };
}
