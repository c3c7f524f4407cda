// The tail of a log through everything that happens to logs: written in pieces, renamed, truncated, removed, and more
// than fits.
import { appendFileSync, copyFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { openTail, type Tail } from '../../../agent/telemetry/tail.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-tail-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let count = 0;
let file: string;
let tail: Tail;
let lines: string[];
const logged: string[] = [];
/** A tail that looks only when it is told to. */
const start = async (fromStart = false): Promise<void> => {
  tail = openTail({
    ...{ file, fromStart, pollMs: 3_600_000, log: (_level, event) => logged.push(event) },
    onLines: (some) => void lines.push(...some),
  });
  await tail.poll();
};
beforeEach(() => {
  count += 1;
  file = join(root, `${count}.log`);
  lines = [];
});
afterEach(() => tail.close());

test('gives what is written from now on, whole lines only, in any pieces', async () => {
  writeFileSync(file, 'before\n');
  await start();
  appendFileSync(file, 'one\ntw');
  await tail.poll();
  expect(lines).toEqual(['one']);
  const piece = Buffer.from('o ü\r\n\nthree\n');
  appendFileSync(file, piece.subarray(0, 3));
  await tail.poll();
  appendFileSync(file, piece.subarray(3));
  await tail.poll();
  expect(lines).toEqual(['one', 'two ü', 'three']);
});

test('from the beginning when asked to, and waits for a file that is not there yet', async () => {
  await start(true);
  expect(lines).toEqual([]);
  writeFileSync(file, 'first\n');
  await tail.poll();
  expect(lines).toEqual(['first']);
});

test('a log that is renamed and made anew loses and repeats nothing', async () => {
  writeFileSync(file, '');
  await start();
  appendFileSync(file, 'a\nb\n');
  renameSync(file, `${file}.1`);
  // nginx goes on with the old file until it is sent USR1.
  appendFileSync(`${file}.1`, 'c\n');
  await tail.poll();
  appendFileSync(`${file}.1`, 'd\n');
  writeFileSync(file, 'e\n');
  await tail.poll();
  appendFileSync(file, 'f\n');
  await tail.poll();
  expect(lines).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  expect(tail.stats()).toMatchObject({ lines: 6, rotations: 1 });
});

test('a log that is copied and truncated goes on, also when it is longer than before at the next look', async () => {
  writeFileSync(file, '');
  await start();
  appendFileSync(file, 'a\nb\n');
  await tail.poll();
  copyFileSync(file, `${file}.1`);
  truncateSync(file, 0);
  appendFileSync(file, 'c\n');
  await tail.poll();
  truncateSync(file, 0);
  appendFileSync(file, 'much longer than before\nd\n');
  await tail.poll();
  expect(lines).toEqual(['a', 'b', 'c', 'much longer than before', 'd']);
});

test('a log that is removed is waited for', async () => {
  writeFileSync(file, 'old\n');
  await start();
  rmSync(file);
  await tail.poll();
  await tail.poll();
  writeFileSync(file, 'new\n');
  await tail.poll();
  expect(lines).toEqual(['new']);
});

test('a line without an end is not kept beyond its bound, and costs no other line', async () => {
  writeFileSync(file, '');
  await start();
  for (let piece = 0; piece < 10; piece += 1) {
    appendFileSync(file, 'x'.repeat(50_000));
    await tail.poll();
  }
  appendFileSync(file, `x\nnext\n${'y'.repeat(70_000)}\nlast\n`);
  await tail.poll();
  expect(lines).toEqual(['next', 'last']);
  expect(tail.stats().tooLong).toBe(2);
});

test('bytes that are no UTF-8 and what is no file end nothing', async () => {
  writeFileSync(file, '');
  await start();
  appendFileSync(file, Buffer.from([0x61, 0xff, 0xfe, 0x0a, 0x62, 0x0a]));
  await tail.poll();
  expect(lines).toEqual(['a\uFFFD\uFFFD', 'b']);
  await tail.close();
  file = root;
  await start(true);
  expect(logged).toEqual(['tail.unreadable']);
});
