// The p99 of hits between two readings of a histogram, and the processor's load between two readings of /proc/stat.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newHistogram, observe } from '../../../agent/histogram.ts';
import { hitP99, p99Between } from '../../../agent/power/latency.ts';
import { openLoad, parseStat } from '../../../agent/power/load.ts';

describe('the p99 of hits', () => {
  test('lies within the bucket of the slowest hundredth', () => {
    const hits = newHistogram();
    const p99 = hitP99();
    expect(p99(hits)).toBeUndefined();
    for (let count = 0; count < 980; count += 1) observe(hits, 0.0004);
    for (let count = 0; count < 20; count += 1) observe(hits, 0.009);
    expect(p99(hits)).toBeGreaterThan(0.005);
    expect(p99(hits)).toBeUndefined();
    for (let count = 0; count < 1_000; count += 1) observe(hits, 0.0004);
    // What came before the last look no longer counts.
    expect(p99(hits)).toBeLessThanOrEqual(0.0005);
  });

  test('of too few waits for more, and then counts all of them', () => {
    const hits = newHistogram();
    const p99 = hitP99();
    p99(hits);
    for (let count = 0; count < 150; count += 1) observe(hits, 0.04);
    expect(p99(hits)).toBeUndefined();
    for (let count = 0; count < 50; count += 1) observe(hits, 0.04);
    expect(p99(hits)).toBeGreaterThan(0.025);
  });

  test('beyond every bucket is the last bound', () => {
    const hits = newHistogram();
    for (let count = 0; count < 300; count += 1) observe(hits, 1_000);
    expect(p99Between([], hits.counts)).toBe(10);
  });
});

describe('the load', () => {
  test.each([
    ['cpu  100 50 20 800 10 1 2 3 0 0', { foreground: 123, all: 986 }],
    ['cpu 1 2 3 4 5', { foreground: 4, all: 15 }],
    ['cpu0 1 2 3 4 5 6 7', undefined],
    ['', undefined],
    ['cpu ', undefined],
  ])('of %j', (text, ticks) => expect(parseStat(text)).toEqual(ticks));

  test('is of work at normal priority since the last look; niced work is not in it', async () => {
    const proc = mkdtempSync(join(tmpdir(), 'nearcast-proc-'));
    const load = openLoad(proc);
    expect(await load.foregroundRatio()).toBe(0);
    writeFileSync(join(proc, 'stat'), 'cpu  100 0 0 900 0 0 0 0\ncpu0 1\n');
    expect(await load.foregroundRatio()).toBe(0);
    writeFileSync(join(proc, 'stat'), 'cpu  125 75 0 900 0 0 0 0\ncpu0 1\n');
    expect(await load.foregroundRatio()).toBe(0.25);
    expect(await load.foregroundRatio()).toBe(0);
    rmSync(proc, { recursive: true });
    expect(await load.foregroundRatio()).toBe(0);
  });
});
