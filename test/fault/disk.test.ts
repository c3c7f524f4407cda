// The daemon on disks that fill up, fail, vanish, hang or lie: every viewer has every byte of the origin's all the while,
// the fault is in one metric and one log line, and the disk is in use again by itself within 30 s of its end.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bodyOf, MIB, temporary } from '../cache/store/support.ts';
import { type Daemon, openDaemon, untilBack } from './daemon.ts';
import { type LoopDisk, loopMissing, openLoopDisk } from './loop.ts';
import { report } from './scale.ts';
import { attach, straceMissing } from './strace.ts';

let directory: ReturnType<typeof temporary>;
let daemon: Daemon | undefined;
const undo: (() => void)[] = [];
beforeEach(() => {
  directory = temporary();
});
afterEach(async () => {
  try {
    await daemon?.stop();
  } finally {
    daemon = undefined;
    for (const each of undo.splice(0).reverse()) each();
    directory.remove();
  }
});

const BACK_MS = 30_000;
const fresh = { 'cache-control': 'max-age=3600' };

/** A path and its bytes at the origin. */
function offer({ origin }: Daemon, path: string, bytes = MIB): Buffer {
  const body = bodyOf(path, bytes);
  origin.set(path, { body, headers: fresh, etag: `"${path}"` });
  return body;
}

/** Asks for each path and holds the answer against the origin's bytes; gives how many were right. */
async function served(node: Daemon, paths: readonly string[]): Promise<number> {
  let right = 0;
  for (const path of paths) {
    const body = bodyOf(path, MIB);
    const got = await node.get(path);
    if (got.status === 200 && !got.isCut && got.body.equals(body)) right += 1;
  }
  return right;
}

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `/${prefix}/${index}`);

/** New objects that lie on disk and are hits there: RAM holds none of this size. */
async function isStoring(node: Daemon, path: string): Promise<boolean> {
  const body = offer(node, path, 4 * MIB);
  const got = await node.get(path);
  expect(got.body.equals(body)).toBe(true);
  const again = await node.get(path);
  expect(again.body.equals(body)).toBe(true);
  return node.origin.seen(path).length === 1;
}

async function untilStoring(node: Daemon, prefix: string): Promise<number> {
  let round = 0;
  return await untilBack(() => {
    round += 1;
    return isStoring(node, `/${prefix}/${round}`);
  }, BACK_MS);
}

function mountTmpfs(path: string, size: string): void {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]);
  undo.push(() => execFileSync('umount', ['-l', path]));
}

const rootMissing = () => (process.getuid?.() === 0 ? undefined : 'mounting needs root');

test('row 9: a disk that is full before its limit: 150 of 150 right, and room that comes back is used', async (context) => {
  const missing = rootMissing();
  if (missing !== undefined) return context.skip(missing);
  const path = join(directory.path, 'small');
  mountTmpfs(path, '32m');
  daemon = await openDaemon({ storePath: path });
  const node = daemon;
  const paths = names('full', 75);
  for (const one of paths) offer(node, one);
  expect(await served(node, [...paths, ...paths])).toBe(150);
  const filesBefore = node.openFiles();
  expect(await node.metric('nearcast_store_errors_total', 'op="write"')).toBeGreaterThan(0);
  expect(await node.line('store.disk.full')).toMatchObject({ disk: path });
  expect([await node.readiness(), await node.metric('nearcast_store_degraded')]).toEqual([200, 1]);
  expect(await served(node, paths.slice(0, 50))).toBe(50);
  expect(node.openFiles()).toBeLessThan(filesBefore + 20);
  execFileSync('mount', ['-o', 'remount,size=600m', path]);
  const backMs = await untilBack(async () => (await node.metric('nearcast_store_degraded')) === 0, BACK_MS);
  report('row 9', { backMs, storingMs: await untilStoring(node, 'after') });
});

test('row 10: a disk that takes bytes and fails to sync them: the copies are dropped, viewers see nothing', async (context) => {
  const missing = rootMissing();
  if (missing !== undefined) return context.skip(missing);
  const host = join(directory.path, 'host');
  const path = join(directory.path, 'thin');
  mountTmpfs(host, '24m');
  execFileSync('truncate', ['-s', '400M', join(host, 'image')]);
  execFileSync('mkfs.ext4', ['-q', '-F', join(host, 'image')]);
  mkdirSync(path);
  try {
    execFileSync('mount', ['-o', 'loop', join(host, 'image'), path], { stdio: 'pipe' });
  } catch (error) {
    return context.skip(`a loop mount of ext4 failed: ${String(error)}`);
  }
  undo.push(() => execFileSync('umount', ['-l', path]));
  daemon = await openDaemon({ storePath: path });
  const node = daemon;
  const paths = names('thin', 60);
  for (const one of paths) offer(node, one);
  expect(await served(node, [...paths, ...paths])).toBe(120);
  await untilBack(async () => (await node.metric('nearcast_store_errors_total')) > 0, BACK_MS);
  expect(await node.line('store.disk.error')).toMatchObject({ disk: path });
  expect([await served(node, paths), await node.readiness()]).toEqual([60, 200]);
});

/** The file below a store in which these bytes lie. */
function fileOf(root: string, body: Buffer): string {
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const file = join(root, name);
    try {
      if (readFileSync(file).equals(body)) return file;
    } catch {
      // A directory, or a file that has just been removed.
    }
  }
  throw new Error('the body lies in no file of its own');
}

test('row 11: one file that cannot be read: fetched again, counted; the others are hits', async (context) => {
  const missing = straceMissing();
  if (missing !== undefined) return context.skip(missing);
  daemon = await openDaemon({ settings: { store: { ramBytes: 0, dirs: [{ path: 'store', maxBytes: '256MiB' }] } } });
  const node = daemon;
  const paths = names('read', 4);
  for (const one of paths) offer(node, one);
  expect(await served(node, paths)).toBe(4);
  const [bad = '', ...good] = paths;
  const store = join(node.directory, 'store');
  await untilBack(async () => (await served(node, paths)) === 4 && node.origin.seen().length === 4, BACK_MS);
  const file = fileOf(store, bodyOf(bad, MIB));
  const args = ['-P', file, '-e', 'trace=pread64,read', '-e', 'inject=pread64,read:error=EIO', '-o', '/dev/null'];
  const tracer = await attach(node.pid, args, { follow: true });
  expect(await served(node, [bad])).toBe(1);
  await tracer.detach();
  expect(await served(node, [...good, bad, ...good])).toBe(7);
  expect(node.origin.seen(bad)).toHaveLength(2);
  for (const one of good) expect(node.origin.seen(one)).toHaveLength(1);
  expect(await node.metric('nearcast_store_errors_total', 'op="read"')).toBe(1);
  expect(await node.line('store.disk.error')).toMatchObject({ op: 'read', code: 'EIO' });
});

test('row 12: a file system that is gone: RAM alone, still ready; mounted again, in use again', async (context) => {
  const missing = loopMissing(directory.path);
  if (missing !== undefined) return context.skip(missing);
  const disk: LoopDisk = openLoopDisk(directory.path, 600);
  undo.push(disk.remove);
  const path = join(disk.path, 'store');
  mkdirSync(path);
  daemon = await openDaemon({ storePath: path });
  const node = daemon;
  const paths = names('gone', 40);
  for (const one of paths) offer(node, one);
  expect(await served(node, [...paths, ...paths])).toBe(80);
  disk.cutPower();
  expect(await served(node, [...paths, ...paths])).toBe(80);
  expect(await node.line('store.disk.out')).toMatchObject({ disk: path });
  expect([await node.readiness(), await node.metric('nearcast_store_degraded')]).toEqual([200, 1]);
  expect(await served(node, paths)).toBe(40);
  disk.restore({ isLazy: true });
  mkdirSync(path, { recursive: true });
  const backMs = await untilBack(async () => (await node.metric('nearcast_store_degraded')) === 0, BACK_MS);
  await node.line('store.disk.back');
  report('row 12', { backMs, storingMs: await untilStoring(node, 'after') });
});

test('row 12: every write and sync fails: the disk is taken out, and comes back when they work', async (context) => {
  const missing = straceMissing();
  if (missing !== undefined) return context.skip(missing);
  daemon = await openDaemon();
  const node = daemon;
  const paths = names('eio', 30);
  for (const one of paths) offer(node, one);
  const calls = 'pwrite64,fsync,fdatasync';
  const args = ['-e', `trace=${calls}`, '-e', `inject=${calls}:error=EIO`, '-o', '/dev/null'];
  const tracer = await attach(node.pid, args, { follow: true });
  expect(await served(node, [...paths, ...paths])).toBe(60);
  await untilBack(async () => (await node.metric('nearcast_store_degraded')) === 1, BACK_MS);
  expect([await served(node, paths), await node.readiness()]).toEqual([30, 200]);
  await node.line('store.disk.out');
  await tracer.detach();
  const backMs = await untilBack(async () => (await node.metric('nearcast_store_degraded')) === 0, BACK_MS);
  report('row 12, EIO', { backMs, storingMs: await untilStoring(node, 'after') });
});

test('row 14: writes that say they took 100 bytes and took none: no byte of them is served', async (context) => {
  const missing = straceMissing();
  if (missing !== undefined) return context.skip(missing);
  daemon = await openDaemon({ settings: { store: { ramBytes: 0, dirs: [{ path: 'store', maxBytes: '256MiB' }] } } });
  const node = daemon;
  const paths = names('short', 12);
  for (const one of paths) offer(node, one);
  const args = ['-e', 'trace=pwrite64', '-e', 'inject=pwrite64:retval=100:when=2+3', '-o', '/dev/null'];
  const tracer = await attach(node.pid, args, { follow: true });
  expect(await served(node, [...paths, ...paths])).toBe(24);
  await tracer.detach();
  expect(await served(node, [...paths, ...paths])).toBe(24);
  await untilBack(async () => (await node.metric('nearcast_store_degraded')) === 0, BACK_MS);
  report('row 14', { storingMs: await untilStoring(node, 'after') });
});
