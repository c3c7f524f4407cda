// A process that stores objects until it is killed: `writer.ts PLAN`, where PLAN is JSON (WriterPlan). It says `waiting`,
// waits for a line `go PATH...` (paths to remove on the way) and then prints a line per event; `stop` ends it in order.
import { mkdir, open as openFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { flushCompileCache } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { open } from '../../cache/cache.ts';
import { chances } from '../fake/chance.ts';
import { naiveFiles, optionsFor } from './looking.ts';
import { type PlannedObject, planObject } from './objects.ts';
import { TICK_MS, type WriterPlan } from './writing.ts';

// The only caller is writing.ts, which makes it from a WriterPlan.
const plan: WriterPlan = JSON.parse(process.argv[2] ?? '{}');
const random = chances(plan.seed);
const say = (line: string): void => void process.stdout.write(`${line}\n`);

let isStopping = false;
let count = 0;
const hasMore = (): boolean => !isStopping && (plan.objects === undefined || count < plan.objects);

function nextObject(): PlannedObject {
  const object = planObject(plan.cycle, count, random);
  count += 1;
  return object;
}

/** Serves what is planned: half with a length, half chunked, in pieces as from afar. */
async function openOrigin(planned: ReadonlyMap<string, PlannedObject>): Promise<string> {
  const server = createServer((request, response) => {
    const object = planned.get(request.url ?? '');
    if (object === undefined) return response.writeHead(404).end();
    const { body, etag } = object;
    const length = body.length % 2 === 0 ? { 'content-length': body.length } : {};
    response.writeHead(200, { etag, 'cache-control': 'max-age=31536000', ...length });
    for (let at = 0; at < body.length; at += 65_536) response.write(body.subarray(at, at + 65_536));
    return response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  // A TCP server's address is an AddressInfo.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function runStore(victims: string[]): Promise<void> {
  const planned = new Map<string, PlannedObject>();
  const origin = await openOrigin(planned);
  const began = performance.now();
  const cache = await open(optionsFor(plan.directory, { origin, ramBytes: 16 * 1024 * 1024 }));
  say(`ready ${performance.now() - began}`);
  setInterval(() => say('tick'), TICK_MS).unref();
  const lane = async (): Promise<void> => {
    while (hasMore()) {
      const object = nextObject();
      const { path } = object;
      planned.set(path, object);
      say(`storing ${path}`);
      // Marked at once; only that it is on disk comes later.
      if (path.startsWith('/hot/')) void cache.purge({ url: path, soft: true });
      const filled = await cache.fill(path, { priority: 'viewer', purpose: 'operator' });
      if (filled.outcome === 'stored') {
        say(`stored ${path}`);
        if (path.startsWith('/object/')) victims.push(path);
      } else say(`not-stored ${path} ${JSON.stringify(filled)}`);
      if (plan.pauseMs !== undefined) await delay(plan.pauseMs);
      if (count % 5 !== 2) continue;
      const [victim] = victims.splice(Math.floor(random() * victims.length), 1);
      if (victim === undefined) continue;
      say(`removing ${victim}`);
      await cache.purge({ url: victim });
      say(`removed ${victim}`);
    }
  };
  await Promise.all(Array.from({ length: plan.lanes }, lane));
  await cache.close(5000);
  say('closed');
}

/** How not to do it: in place, the head first, no checksum. */
async function runNaive(): Promise<void> {
  await mkdir(plan.directory, { recursive: true });
  say('ready 0');
  while (hasMore()) {
    const { path, etag, body } = nextObject();
    const names = naiveFiles(path);
    say(`storing ${path}`);
    await writeFile(join(plan.directory, names.head), JSON.stringify({ path, etag }));
    const file = await openFile(join(plan.directory, names.body), 'w');
    for (let at = 0; at < body.length; at += 65_536) await file.write(body.subarray(at, at + 65_536));
    await file.close();
    say(`stored ${path}`);
    if (plan.pauseMs !== undefined) await delay(plan.pauseMs);
  }
  say('closed');
}

const input = createInterface({ input: process.stdin });
const begun = new Promise<string[]>((resolve) => {
  input.on('line', (line) => {
    const [word, ...paths] = line.split(' ');
    if (word === 'stop') isStopping = true;
    else resolve(paths);
  });
});
// The pool's thread is there from now on, for whoever wants to trace it; the directory may just be being replaced.
await stat(import.meta.dirname);
flushCompileCache(); // Whoever is killed can't do so at its end.
say('waiting');
const victims = await begun;
// A naive store does not survive the loss of its disk; whoever took it away kills it anyhow.
await (plan.discipline === 'naive' ? runNaive().catch(() => undefined) : runStore(victims));
input.close();
