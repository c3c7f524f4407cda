// A TCP proxy before an origin that plays a thin, long, lossy line: so many bytes a second in all, each so much later,
// and now and then a wait as for a packet that has to be sent again.
import { connect, createServer, type Socket } from 'node:net';

/** A running line. */
export type Line = { readonly url: string; readonly close: () => Promise<void> };

/** What a line is like. */
export type LineQuality = {
  /** Of all answers together. */
  readonly bytesPerSecond: number;
  readonly delayMs: number;
  /** Chance of a piece to be lost and sent again; `random` gives numbers in [0, 1). */
  readonly lossRatio?: number;
  readonly random?: () => number;
};

/** Until a sender notices a loss: Linux's least retransmission timeout. */
const RETRANSMIT_MS = 200;

/** Opens a line to a port of loopback. */
export async function openLine(port: number, quality: LineQuality): Promise<Line> {
  const { bytesPerSecond, delayMs, lossRatio = 0, random = Math.random } = quality;
  const lossMs = () => (random() < lossRatio ? RETRANSMIT_MS : 0);
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
    near.on('data', (bytes) => setTimeout(() => far.write(bytes), delayMs + lossMs()));
    far.on('data', (bytes) => {
      // The next bytes of this connection come after these have left, as a full socket would have it.
      far.pause();
      freeAt = Math.max(freeAt, performance.now()) + (bytes.length / bytesPerSecond) * 1000;
      setTimeout(
        () => {
          const isTaken = near.write(bytes);
          if (isTaken) far.resume();
          else near.once('drain', () => far.resume());
        },
        freeAt + lossMs() - performance.now(),
      );
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
