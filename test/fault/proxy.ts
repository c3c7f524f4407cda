// A TCP proxy before an origin that plays a thin, long line: so many bytes a second in all, each so much later.
import { connect, createServer, type Socket } from 'node:net';

/** A running line. */
export type Line = { readonly url: string; readonly close: () => Promise<void> };

/** Opens a line to a port of loopback. `bytesPerSecond`: of all answers together. */
export async function openLine(port: number, bytesPerSecond: number, delayMs: number): Promise<Line> {
  const sockets = new Set<Socket>();
  let freeAt = 0;
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.on('data', (bytes) => setTimeout(() => far.write(bytes), delayMs));
    far.on('data', (bytes) => {
      // The next bytes of this connection come after these have left, as a full socket would have it.
      far.pause();
      freeAt = Math.max(freeAt, performance.now()) + (bytes.length / bytesPerSecond) * 1000;
      setTimeout(() => {
        const isTaken = near.write(bytes);
        if (isTaken) far.resume();
        else near.once('drain', () => far.resume());
      }, freeAt - performance.now());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The proxy listens on no port.');
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
