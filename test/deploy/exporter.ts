// A small HTTP server that answers like a node and its host: recorded metrics whose counters grow with every scrape.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** By how much a counter grows between two scrapes, of its first value. */
const GROWTH_RATIO = 0.001;

/** The text after `scrapes` scrapes: counters and histograms grown, gauges as they were. */
export function grown(text: string, scrapes: number): string {
  let isGrowing = false;
  return text
    .split('\n')
    .map((line) => {
      const [, type] = /^# TYPE \S+ (\w+)$/.exec(line) ?? [];
      if (type !== undefined) isGrowing = type === 'counter' || type === 'histogram';
      const [, series, value] = /^([a-z]\S*(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
      if (!isGrowing || series === undefined) return line;
      return `${series} ${Number(value) * (1 + GROWTH_RATIO * scrapes)}`;
    })
    .join('\n');
}

/** A running exporter; `target` is its host:port. */
export type Exporter = { readonly target: string; readonly close: () => Promise<void> };

/** Serves each text of `pages` under its path, on a free port of loopback. */
export async function openExporter(pages: Readonly<Record<string, string>>): Promise<Exporter> {
  const scrapes = new Map<string, number>();
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    const page = pages[path];
    if (page === undefined) {
      response.writeHead(404).end();
      return;
    }
    const count = scrapes.get(path) ?? 0;
    scrapes.set(path, count + 1);
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(grown(page, count));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A TCP server that listens has an AddressInfo.
  const { port } = server.address() as AddressInfo;
  return {
    target: `127.0.0.1:${port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
