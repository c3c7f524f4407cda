// Speed and safety of the store: puts with and without syncing, what they hold up, reads from RAM and disk, kills, the
// start over a million rows after a kill, memory at 4 million. `npm run bench:store [-- --cycles 1000]`: a table for people,
// and as its last line one JSON object. Temporary files, 3 GB of them, lie in TMPDIR.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Store } from '../../cache/store/object.ts';
import { openStore } from '../../cache/store/store.ts';
import { bodyOf, drain, MIB, optionsOf, put, responseOf } from '../cache/store/support.ts';
import { crash } from '../fault/crash.ts';
import { median, rounded } from './figures.ts';
import { addRows, rowKey } from './store-rows.ts';

const GIB = 1024 * MIB;
const root = mkdtempSync(join(tmpdir(), 'nearcast-bench-'));

/** Says a figure as soon as it is known. */
function note(what: string, figure: number, unit: string): number {
  const digits = Math.abs(figure) < 100 && !Number.isInteger(figure) ? 2 : 0;
  console.log(`${what.padEnd(46)} ${figure.toFixed(digits).padStart(10)} ${unit}`);
  return figure;
}

async function open(name: string, ramBytes: number, isSynced = true): Promise<Store> {
  const path = join(root, name);
  return await openStore(optionsOf(path, { ramBytes, isSynced, dirs: [{ path, maxBytes: 100 * GIB }] }));
}

/** Seconds that it takes. */
async function timed(run: () => Promise<void> | void): Promise<number> {
  const began = performance.now();
  await run();
  return (performance.now() - began) / 1000;
}

/** Puts of 4 KiB at a steady pace, and how long the loop was held up at most meanwhile: over 15,000 a second. */
async function steady(): Promise<number> {
  const store = await open('steady', 64 * MIB);
  const body = bodyOf('tiny', 4096);
  const [seconds, perTurn] = [4, 75];
  const stalls = monitorEventLoopDelay({ resolution: 1 });
  const began = performance.now();
  let count = 0;
  stalls.enable();
  while (performance.now() - began < seconds * 1000) {
    const due = Math.min(perTurn, Math.floor(((performance.now() - began) / 1000) * 15_000) - count);
    for (let n = 0; n < due; n += 1) {
      const writer = store.write(responseOf(`steady ${count}`, body.length), { isPinned: false, worth: undefined });
      writer?.write(body);
      void writer?.finish();
      count += 1;
    }
    await turn();
  }
  stalls.disable();
  note('puts of 4 KiB at a steady pace', count / seconds, 'per s');
  const longest = note('longest hold-up of the loop meanwhile', stalls.max / 1e6, 'ms');
  note('99.9th percentile of it', stalls.percentile(99.9) / 1e6, 'ms');
  await store.close(60_000);
  return longest;
}

/** Small and large puts until all of them are in the database, synced or not: objects and MiB per second. */
async function fill(name: string, isSynced: boolean): Promise<{ readonly small: number; readonly large: number }> {
  const store = await open(name, 64 * MIB, isSynced);
  const tiny = bodyOf('tiny', 4096);
  const count = 15_000; // 59 MiB: what may wait for the disk, so that none is refused.
  const small = await timed(async () => {
    for (let n = 0; n < count; n += 1) {
      const writer = store.write(responseOf(`tiny ${n}`, tiny.length), { isPinned: false, worth: undefined });
      writer?.write(tiny);
      await writer?.finish();
      if (n % 100 === 0) await turn();
    }
    await store.close(60_000); // Until all of them are there.
  });
  // Without a RAM tier finish() waits until the body is written, which paces the loop as an origin would.
  const again = await open(name, 0, isSynced);
  const body = bodyOf('segment', MIB);
  const segments = 1000; // Long enough that the last batch, which nobody fills beside, weighs little.
  const large = await timed(async () => {
    for (let n = 0; n < segments; n += 1) await put(again, `segment ${n}`, body, { chunkBytes: 262_144 });
    await again.close(60_000);
  });
  const check = await open(name, 0);
  if (check.stats().objects !== count + segments) throw new Error(`only ${check.stats().objects} objects were stored`);
  await check.close(60_000);
  rmSync(join(root, name), { recursive: true, force: true });
  return { small: count / small, large: segments / large };
}

/** Rounds of both kinds in turn, so that what else the machine does touches both alike. */
async function fills(): Promise<{ readonly small: number; readonly large: number; readonly vsNosync: number }> {
  const rounds: {
    readonly synced: Awaited<ReturnType<typeof fill>>;
    readonly not: Awaited<ReturnType<typeof fill>>;
  }[] = [];
  for (let round = 0; round < 3; round += 1) {
    rounds.push({ synced: await fill(`synced ${round}`, true), not: await fill(`not synced ${round}`, false) });
  }
  const small = median(rounds.map(({ synced }) => synced.small));
  const large = median(rounds.map(({ synced }) => synced.large));
  note('puts of 4 KiB, synced', small, 'per s');
  note('puts of 1 MiB, synced', large, 'MiB/s');
  const smallRatio = note('of the same without syncing, 4 KiB', small / median(rounds.map(({ not }) => not.small)), '');
  const largeRatio = note('of the same without syncing, 1 MiB', large / median(rounds.map(({ not }) => not.large)), '');
  return { small, large, vsNosync: Math.min(smallRatio, largeRatio) };
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

type Opened = {
  readonly readyMs: number;
  readonly countedMs: number;
  readonly hasFound: boolean;
  readonly isRight: boolean;
  readonly objects: number;
  readonly rss: number;
  readonly heap: number;
};

/** Starts a process over a directory; gives its first line. `hold` is killed then, `open` ends by itself. */
async function child(how: 'open' | 'hold', directory: string, key: string): Promise<string> {
  const script = fileURLToPath(new URL('store-child.ts', import.meta.url));
  const process_ = spawn(process.execPath, ['--expose-gc', script, how, directory, key], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(process_, 'close');
  process_.stdout.setEncoding('utf8');
  let said = '';
  process_.stdout.on('data', (text: string) => {
    said += text;
    if (how === 'hold' && said.includes('ready')) process_.kill('SIGKILL');
  });
  await closed;
  return said;
}

async function opened(directory: string, key: string): Promise<Opened> {
  const result: Opened = JSON.parse(await child('open', directory, key));
  if (!result.hasFound) throw new Error(`${key} was not found`);
  return result;
}

/** Rows by direct inserts of what the store itself would write, so that 4 million do not take an hour. */
async function manyRows() {
  const directory = join(root, 'rows');
  const million = 1_000_000;
  note('rows made', million / (await timed(() => addRows(directory, 0, million))), 'per s');
  const ready: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    await child('hold', directory, '');
    const start = await opened(directory, rowKey(round * 300_007 + 77));
    if (!start.isRight) throw new Error('what was stored before the kill is not there');
    ready.push(start.readyMs);
    if (round === 0) note('all rows of a million in memory', start.countedMs, 'ms');
  }
  const readyMs = note('ready over a million rows after a kill, worst', Math.max(...ready), 'ms');
  const empty = await opened(join(root, 'no rows'), '');
  addRows(directory, million, 4 * million);
  const full = await opened(directory, rowKey(3_999_999));
  note('ready over 4 million rows', full.readyMs, 'ms');
  note('all rows of 4 million in memory', full.countedMs, 'ms');
  note('typed arrays and heap per object', (full.heap - empty.heap) / full.objects, 'bytes');
  const perObject = note('process memory per object at 4 million', (full.rss - empty.rss) / full.objects, 'bytes');
  return { readyMs, perObject };
}

/** Half the cycles in each of two directories at once: a cycle mostly waits for its moment. */
async function kills(cycles: number) {
  const halves = [1, 2].map((half) =>
    crash({
      discipline: 'store',
      directory: join(root, `kills ${half}`),
      cycles: Math.ceil(cycles / 2),
      seed: half * 1e6,
    }),
  );
  const reports = await Promise.all(halves);
  let controlWrong = 0;
  for (let seed = 1; seed <= 12 && controlWrong === 0; seed += 1) {
    ({ wrong: controlWrong } = await crash({
      ...{ discipline: 'naive', directory: join(root, `naive ${seed}`), cycles: 10, seed },
    }));
  }
  const sum = (of: (report: (typeof reports)[number]) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  return {
    cycles: note('kill -9 cycles', Math.ceil(cycles / 2) * 2, ''),
    wrong: note(
      'wrong bodies served after them',
      sum(({ wrong }) => wrong),
      '',
    ),
    lost: note(
      'synced objects lost by them',
      sum(({ lost }) => lost),
      '',
    ),
    returned: note(
      'removed objects returned by them',
      sum(({ returned }) => returned),
      '',
    ),
    controlWrong: note('wrong bodies of a naive store, 10 cycles', controlWrong, ''),
  };
}

const { values: given } = parseArgs({ options: { cycles: { type: 'string', default: '200' } } });

try {
  const held = await steady();
  const put = await fills();
  const ram = await ramReads();
  const disk = await diskReads();
  const rowsOf = await manyRows();
  const kill = await kills(Number(given.cycles));
  console.log(
    'Page caches of SQLite: 16 MiB for the writing thread, 8 MiB for look-ups; part of the process memory above.',
  );
  console.log(
    JSON.stringify({
      ...{ kill_cycles: kill.cycles, kill_wrong_bytes: kill.wrong, kill_lost: kill.lost, kill_returned: kill.returned },
      ...{ fill_vs_nosync: rounded(put.vsNosync, 2), ready_ms_1m: Math.round(rowsOf.readyMs) },
      ...{ bytes_per_object: rounded(rowsOf.perObject, 2), control_wrong_bytes: kill.controlWrong },
      ...{
        longest_hold_up_ms: rounded(held, 2),
        puts_per_s: Math.round(put.small),
        put_mib_per_s: Math.round(put.large),
      },
      ...{ ram_reads_per_s: Math.round(ram), disk_verified_mb_per_s: Math.round(disk.megabytes) },
      disk_range64k_per_s: Math.round(disk.ranges),
    }),
  );
} finally {
  rmSync(root, { recursive: true, force: true });
}
