// Speed of the store: puts, reads from RAM, verified reads from disk, and the start over 100,000 rows.
// `npm run bench:store`: a table for people, and as its last line one JSON object. Temporary files lie in TMPDIR.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Store } from '../../cache/store/object.ts';
import { openStore } from '../../cache/store/store.ts';
import { bodyOf, drain, MIB, optionsOf, put, responseOf } from '../cache/store/support.ts';

const GIB = 1024 * MIB;
const root = mkdtempSync(join(tmpdir(), 'nearcast-bench-'));
const rows: { readonly what: string; readonly figure: number; readonly unit: string }[] = [];

function note(what: string, figure: number, unit: string): number {
  rows.push({ what, figure, unit });
  return figure;
}

async function open(name: string, ramBytes: number): Promise<Store> {
  const path = join(root, name);
  return await openStore(optionsOf(path, { ramBytes, dirs: [{ path, maxBytes: 100 * GIB }] }));
}

/** Seconds that it takes. */
async function timed(run: () => Promise<void> | void): Promise<number> {
  const began = performance.now();
  await run();
  return (performance.now() - began) / 1000;
}

async function puts(): Promise<{ readonly small: number; readonly large: number }> {
  const store = await open('puts', 64 * MIB);
  const tiny = bodyOf('tiny', 4096);
  const count = 5000;
  const small = await timed(async () => {
    for (let n = 0; n < count; n += 1) {
      const writer = store.write(responseOf(`tiny ${n}`, tiny.length), { isPinned: false, worth: undefined });
      writer?.write(tiny);
      await writer?.finish();
      if (n % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await store.close(60_000); // Until all of them survive a power cut.
  });
  // Without a RAM tier finish() waits until the body is written, which paces the loop as an origin would.
  const again = await open('puts', 0);
  const body = bodyOf('segment', MIB);
  const segments = 200;
  const large = await timed(async () => {
    for (let n = 0; n < segments; n += 1) await put(again, `segment ${n}`, body, { chunkBytes: 262_144 });
    await again.close(60_000);
  });
  const check = await open('puts', 0);
  if (check.stats().objects !== count + segments) throw new Error(`only ${check.stats().objects} objects were stored`);
  await check.close(60_000);
  return {
    small: note('puts of 4 KiB, synced', count / small, 'per s'),
    large: note('puts of 1 MiB, synced', segments / large, 'MiB/s'),
  };
}

async function ramReads(): Promise<number> {
  const store = await open('ram', 256 * MIB);
  const keys = Array.from({ length: 64 }, (_, n) => `key ${n}`);
  for (const key of keys) await put(store, key, bodyOf(key, MIB));
  const count = 200_000;
  const seconds = await timed(() => {
    for (let n = 0; n < count; n += 1) {
      const [object] = store.find(keys[n % keys.length] ?? '');
      if (object === undefined || store.read(object, { start: 0, end: object.lengthBytes }).tier !== 'memory') {
        throw new Error('not in RAM');
      }
      store.touch(object);
    }
  });
  await store.close(60_000);
  return note('find + read + touch in RAM', count / seconds, 'per s');
}

/** From the page cache: the cost of reading and verifying, not of the disk. */
async function diskReads(): Promise<{ readonly megabytes: number; readonly ranges: number }> {
  const store = await open('disk', 0);
  const writer = store.write(responseOf('long', 64 * MIB), { isPinned: false, worth: undefined });
  for (let n = 0; n < 64; n += 1) {
    writer?.write(bodyOf(`long ${n}`, MIB));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const object = await writer?.finish();
  if (object === undefined) throw new Error('the disk could not keep up with 50 MiB/s; run it on an idle machine');
  const rounds = 8;
  const whole = async (): Promise<void> =>
    void (await drain(store.read(object, { start: 0, end: object.lengthBytes })));
  await whole();
  const seconds = await timed(async () => {
    for (let n = 0; n < rounds; n += 1) {
      const reader = store.read(object, { start: 0, end: object.lengthBytes });
      if (reader.tier === 'disk') while ((await reader.next()) !== undefined);
    }
  });
  const count = 500;
  const ranges = await timed(async () => {
    for (let n = 0; n < count; n += 1) {
      const start = (n % 64) * MIB + 300_000;
      await drain(store.read(object, { start, end: start + 65_536 }));
    }
  });
  await store.close(60_000);
  return {
    megabytes: note('verified reads of 64 MiB', (rounds * 64 * 1.048576) / seconds, 'MB/s'),
    ranges: note('verified ranges of 64 KiB', count / ranges, 'per s'),
  };
}

async function start(): Promise<{ readonly ready: number; readonly perFind: number }> {
  const count = 100_000;
  const store = await open('rows', 16 * MIB);
  const body = Buffer.from('x');
  for (let n = 0; n < count; n += 1) {
    const writer = store.write(responseOf(`origin/titles/t${n % 100}/segment-${n}.m4s`, 1), {
      isPinned: false,
      worth: undefined,
    });
    writer?.write(body);
    await writer?.finish();
    if (n % 1000 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await store.close(120_000);
  let again: Store | undefined;
  const ready = await timed(async () => {
    again = await open('rows', 16 * MIB);
  });
  if (again?.stats().objects !== count) throw new Error(`${again?.stats().objects} of ${count} rows are there`);
  const opened = again;
  const finds = await timed(() => {
    for (let n = 0; n < count; n += 10) opened.find(`origin/titles/t${n % 100}/segment-${n}.m4s`);
  });
  await opened.close(60_000);
  return {
    ready: note('ready over 100,000 rows', ready * 1000, 'ms'),
    perFind: note('first find of a row', (finds * 1e6) / (count / 10), 'us'),
  };
}

try {
  const put = await puts();
  const ram = await ramReads();
  const disk = await diskReads();
  const opened = await start();
  for (const { what, figure, unit } of rows)
    console.log(`${what.padEnd(30)} ${figure.toFixed(0).padStart(10)} ${unit}`);
  const round = (figure: number): number => Math.round(figure);
  console.log(
    JSON.stringify({
      puts_per_s: round(put.small),
      put_mib_per_s: round(put.large),
      ram_reads_per_s: round(ram),
      disk_verified_mb_per_s: round(disk.megabytes),
      disk_range64k_per_s: round(disk.ranges),
      ready_ms_100k: round(opened.ready),
      first_find_us: round(opened.perFind),
    }),
  );
} finally {
  rmSync(root, { recursive: true, force: true });
}
