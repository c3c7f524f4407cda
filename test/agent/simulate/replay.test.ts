// Replays of logs: the same hits as the simulator's, what fills and samples change, and the page and command around them.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { afterAll, describe, expect, test } from 'vitest';
import { main } from '../../../agent/main.ts';
import { readLog } from '../../../agent/simulate/read-log.ts';
import { footprintOf, monthlyP95, POLICIES, replay, runsOf } from '../../../agent/simulate/replay.ts';
import {
  EDGE_WORKLOAD,
  makeTitles,
  makeViews,
  requestsOfViews,
  withoutFollowUps,
} from '../../../agent/simulate/workload.ts';
import { lru } from '../../../cache/rules/eviction/lru.ts';
import { simulate } from '../../../cache/rules/eviction/simulate.ts';

const directory = mkdtempSync(join(tmpdir(), 'nearcast-replay-'));
afterAll(() => rmSync(directory, { recursive: true }));

const WORKLOAD = withoutFollowUps({ ...EDGE_WORKLOAD, days: 6, titles: 400, viewsPerDay: 400 });
const titles = makeTitles(WORKLOAD);
const edge = requestsOfViews(WORKLOAD, titles, makeViews(WORKLOAD, titles));
const trace = [...edge.objects].map((object, at) => `${edge.at[at]} ${object} ${edge.bytes[at]}`).join('\n');
const read = (bounds?: { requests: number; objects: number }) =>
  readLog([{ name: 'trace', open: () => Readable.from([Buffer.from(trace)]) }], bounds === undefined ? {} : { bounds });
const plain = { policy: 'lru', prefetch: 'none', fillHour: 4 } as const;

describe('a replay', () => {
  test('hits what the simulator hits, and adds up to the bytes of its misses', async () => {
    const log = await read();
    const capacityBytes = footprintOf(log) * 0.1;
    const { byteHitRatio, requestHitRatio, originBytes, bins } = replay(log, { ...plain, capacityBytes });
    const outcome = simulate({ policy: lru(), capacityBytes }, edge);
    expect(byteHitRatio).toBeCloseTo(1 - outcome.byteMissRatio, 10);
    expect(requestHitRatio).toBeCloseTo(1 - outcome.requestMissRatio, 10);
    expect(bins.reduce((sum, bytes) => sum + bytes, 0)).toBeCloseTo(originBytes, -1);
  });

  test('of a sample is near that of all', async () => {
    const all = await read();
    const some = await read({ requests: 1e9, objects: 2500 });
    expect(some.sampleRatio).toBeLessThanOrEqual(0.5);
    expect(Math.abs(footprintOf(some) / footprintOf(all) - 1)).toBeLessThan(0.05);
    const capacityBytes = footprintOf(all) * 0.1;
    for (const policy of ['lru', 's3fifo', 'belady']) {
      const [exact, near] = [all, some].map((log) => replay(log, { ...plain, policy, capacityBytes }));
      expect(Math.abs((near?.originBytes ?? 0) / (exact?.originBytes ?? 1) - 1)).toBeLessThan(0.05);
    }
  });

  test('nobody without prefetch beats the oracle; a fill that knows tomorrow does', async () => {
    const log = await read();
    const capacityBytes = footprintOf(log) * 0.25;
    const of = (policy: string, prefetch: 'none' | 'popularity' | 'oracle' = 'none') =>
      replay(log, { ...plain, policy, prefetch, capacityBytes });
    const bound = of('belady').byteHitRatio;
    for (const policy of Object.keys(POLICIES)) expect(of(policy).byteHitRatio).toBeLessThanOrEqual(bound);
    const foretold = of('lru', 'oracle');
    expect(foretold.byteHitRatio).toBeGreaterThan(of('lru').byteHitRatio + 0.02);
    expect(foretold.prefetchedBytes).toBeGreaterThan(0);
    const popular = of('lru', 'popularity');
    expect(popular.byteHitRatio).toBeGreaterThan(of('lru').byteHitRatio - 0.01);
    expect(popular.prefetchedBytes).toBeLessThan(foretold.prefetchedBytes);
  });

  test('a fill by popularity knows nothing of what comes after it', async () => {
    const log = await read();
    const cut = log.requests.at.findIndex((at) => at >= 3 * 86_400 + 5 * 3600);
    // Another future: the same requests, of the objects in reverse.
    const { objects, bytes, at, count } = log.requests;
    const other = objects.map((object, index) => (index < cut ? object : count - 1 - object));
    const changed = { ...log, requests: { objects: other, bytes, at, count } };
    const run = { ...plain, prefetch: 'popularity', capacityBytes: footprintOf(log) * 0.1 } as const;
    const [one, two] = [log, changed].map((each) => replay(each, run).bins.slice(0, (3 * 86_400 + 5 * 3600) / 300));
    expect(one).toEqual(two);
  });

  test('an object of a log is as large as the most that was sent of it', async () => {
    const csv = ['time,url,bytes', '0,/a,10', '1,/a,100', '2,/b,50', '3,/a,40', '4,/b,50'].join('\n');
    const log = await readLog([{ name: 'csv', open: () => Readable.from([Buffer.from(csv)]) }]);
    expect(footprintOf(log)).toBe(150);
    expect(replay(log, { ...plain, capacityBytes: 150 })).toMatchObject({ originBytes: 150, byteHitRatio: 190 / 250 });
    expect(replay(log, { ...plain, capacityBytes: 120 })).toMatchObject({ originBytes: 300, byteHitRatio: 100 / 250 });
  });

  test('months are billed apart', () => {
    const first = Date.UTC(2026, 0, 31, 23, 0) / 1000;
    // An hour of January at 300 bytes a bin, ten hours of February: nothing but six bins above the 95th percentile.
    const bins = Float64Array.from({ length: 12 + 120 }, (_, at) => (at < 12 ? 300 : at < 18 ? 9000 : 0));
    expect(monthlyP95(bins, first)).toBeCloseTo((12 * 8 + 120 * 0) / 132, 10);
    expect(monthlyP95(new Float64Array(0), first)).toBe(0);
  });

  test('the oracle and no prefetch are always beside what is asked for', () => {
    const runs = runsOf({ policies: ['s3fifo'], sizes: [5, 9], prefetches: ['popularity'], fillHour: 4 });
    expect(runs.map(({ policy, prefetch, capacityBytes }) => [policy, prefetch, capacityBytes])).toEqual(
      [5, 9].flatMap((size) => [
        ['s3fifo', 'none', size],
        ['s3fifo', 'popularity', size],
        ['belady', 'none', size],
      ]),
    );
  });
});

describe('nearcast replay', () => {
  const file = join(directory, 'edge.tr');
  writeFileSync(file, trace);
  const run = async (...args: string[]) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const { signal } = new AbortController();
    const code = await main(['replay', ...args], { stdout, stderr, env: {}, cwd: directory, signal });
    return { code, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') };
  };

  test('prints a table, a page and JSON', async () => {
    const html = join(directory, 'page.html');
    const { code, stdout, stderr } = await run('edge.tr', '--size', '10%,1GiB', '--html', 'page.html');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^trace: \d+ requests over 6\.0 days/);
    expect(stdout.split('\n').filter((line) => /^(10%|1GiB) +(lru|s3fifo|oracle \(belady\)) /.test(line))).toHaveLength(
      6,
    );
    const page = readFileSync(html, 'utf8');
    expect(page.match(/<svg /g)).toHaveLength(3);
    expect(page).not.toMatch(/https?:|<script|NaN|Infinity|undefined/);
    const json = JSON.parse((await run('edge.tr', '--json', '--policy', 'sieve', '--size', '10%')).stdout);
    expect(json).toMatchObject({ version: 1, format: 'trace', sampleRatio: 1, lines: { malformed: 0 } });
    expect(json.results).toHaveLength(2);
    expect(json.results[0]).toMatchObject({ policy: 'sieve', prefetch: 'none', size: '10%' });
  });

  test.each([
    [[], /name at least one LOG/],
    [['edge.tr', '--policy', 'lru,fifo'], /--policy knows lru, .* not "fifo"/],
    [['edge.tr', '--prefetch', 'all'], /--prefetch knows none, popularity, oracle, not "all"/],
    [['edge.tr', '--size', '0%'], /--size takes sizes like 10GiB/],
    [['edge.tr', '--size', '101%'], /--size takes/],
    [['edge.tr', '--size', 'large'], /not "large"/],
    [['edge.tr', '--fill-hour', '24'], /--fill-hour takes an hour/],
    [['edge.tr', '--colour'], /--colour/],
  ])('%s is wrong usage', async (args, stderr) => {
    expect(await run(...args)).toEqual({ code: 64, stdout: '', stderr: expect.stringMatching(stderr) });
  });

  test('says what it cannot read or write', async () => {
    expect(await run('nowhere.log')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/nowhere\.log cannot be read/),
    });
    const unwritable = await run('edge.tr', '--size', '1%', '--html', 'no/such/page.html');
    expect(unwritable).toMatchObject({ code: 78, stderr: expect.stringMatching(/page\.html cannot be written/) });
    expect(existsSync(join(directory, 'no'))).toBe(false);
  });

  test('stops between runs when it is told to', async () => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const signal = AbortSignal.abort();
    expect(await main(['replay', 'edge.tr'], { stdout, stderr, env: {}, cwd: directory, signal })).toBe(1);
    expect(stdout.read()).toBeNull();
  });
});
