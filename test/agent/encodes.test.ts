// The queue of encodes over the real encoder and ffmpeg, on a clip of a second and a half: done, failed, resumed,
// paused, killed.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findFfmpeg } from '../../agent/encoder-process.ts';
import { type Encodes, openEncodes, type SubmittedJob } from '../../agent/encodes.ts';
import type { Pace } from '../../agent/power/power.ts';
import { learn, worthOf } from '../../agent/power/worth.ts';
import { type EncodeEvent, latestSchema } from '../../encoder/contract.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-encodes-'));
const clip = join(root, 'clip.mp4');
beforeAll(async () => {
  const found = await findFfmpeg(process.env);
  if (!found.ok) throw new Error(found.message);
  const source = 'testsrc2=s=160x90:r=24:d=1,format=yuv420p';
  execFileSync(found.path, ['-v', 'error', '-y', '-f', 'lavfi', '-i', source, '-c:v', 'libx264', '-crf', '12', clip]);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
let dir: string;
let events: EncodeEvent[];
/** Whether memory is there for a job. */
let hasRoom = true;
let pace: Pace;
let joules: number | undefined;
/** Views that a title is expected to have; any other: none. */
let views: Readonly<Record<string, number>>;
let now = 5_000;
let logged: { readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[];
let hear: (event: EncodeEvent) => void;
const open = new Set<Encodes>();
beforeEach(() => {
  count += 1;
  dir = join(root, String(count));
  events = [];
  logged = [];
  pace = { pace: 1, reason: 'none', isUrgent: false };
  joules = undefined;
  views = {};
  now = 5_000;
  hear = () => undefined;
});
afterEach(async () => {
  await Promise.all([...open].map((encodes) => encodes.close()));
  open.clear();
});

async function start(): Promise<Encodes> {
  const encodes = await openEncodes({
    workDir: join(dir, 'encode'),
    publishDir: join(dir, 'titles'),
    niceness: 0,
    reservedCores: 0,
    parallel: 1,
    defaults: { codecs: ['h264'], ladder: {} },
    sourceOf: () => undefined,
    hasRoom: () => hasRoom,
    pace: () => pace,
    joules: () => joules,
    worthOf: (id, sourceBytes) => worthOf({ durationSeconds: 3_600, views: views[id] ?? 0, sourceBytes }, learn([])),
    env: process.env,
    onEvent: (event) => {
      events.push(event);
      hear(event);
    },
    now: () => now,
    log: (_level, event, fields = {}) => logged.push({ event, fields }),
  });
  open.add(encodes);
  return encodes;
}

const job = (id: string, input = clip): SubmittedJob => ({
  id,
  input,
  preset: 'ultrafast',
  trials: { crfs: [22, 35], subsample: 5 },
});

/** Resolves with the first event from now on that the test accepts. */
const heard = (isIt: (event: EncodeEvent) => boolean): Promise<EncodeEvent> =>
  new Promise((resolve) => {
    hear = (event) => {
      if (isIt(event)) resolve(event);
    };
  });
const isEnd = ({ event }: EncodeEvent): boolean => event === 'done' || event === 'failed';

const jobFiles = (): readonly string[] => readdirSync(join(dir, 'encode', 'jobs')).sort();
const workFolders = (): readonly string[] => readdirSync(join(dir, 'encode', 'work')).sort();

/** Process ids of encoders below this one. */
function encoders(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const parent = /\) \S (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return Number(parent) === process.pid && command.includes('encoder/main.ts');
      } catch {
        // It ended between the listing and the reading.
        return false;
      }
    })
    .map(Number);
}

function killEncoder(): void {
  for (const pid of encoders()) process.kill(pid, 'SIGKILL');
}

describe('a job', () => {
  test('waits while the queue is paused or memory is short, then publishes, and its file and work folder are gone', async () => {
    const encodes = await start();
    encodes.setPaused(true);
    expect(await encodes.submit(job('clip'))).toBe(true);
    expect(await encodes.submit(job('clip'))).toBe(false);
    expect(encodes.list()).toEqual([{ id: 'clip', name: 'clip', state: 'queued', step: 'queued', progressRatio: 0 }]);
    expect(encodes.counts.started).toBe(0);
    expect(encoders()).toEqual([]);
    expect(jobFiles()).toEqual(['clip.json']);

    hasRoom = false;
    encodes.setPaused(false);
    expect([encodes.counts.started, encoders()]).toEqual([0, []]);
    hasRoom = true;
    const ended = heard(isEnd);
    encodes.setPaused(false);
    expect(await ended).toMatchObject({ event: 'done', id: 'clip', published: true });
    expect(encodes.list()).toMatchObject([{ state: 'done', progressRatio: 1 }]);
    expect(encodes.counts).toMatchObject({ started: 1, done: 1, failed: 0, lastSuccessSeconds: 5 });
    expect(encodes.counts.cpuSeconds).toBeGreaterThan(0);
    expect(jobFiles()).toEqual([]);
    expect(workFolders()).toEqual([]);
    const folder = join(dir, 'titles', 'clip');
    const { hash } = latestSchema.parse(JSON.parse(readFileSync(join(folder, 'latest.json'), 'utf8')));
    expect(existsSync(join(folder, hash, 'title.json'))).toBe(true);
    const ratios = events.map(({ progressRatio }) => progressRatio);
    expect(ratios).toEqual([...ratios].sort((one, other) => one - other));
  });

  test('on a corrupt input fails with its code, keeps its file aside, and does not hold up the next', async () => {
    const broken = join(root, 'broken.mp4');
    writeFileSync(broken, readFileSync(clip).subarray(0, 3_000));
    const encodes = await start();
    encodes.setPaused(true);
    await encodes.submit(job('broken', broken));
    await encodes.submit(job('missing', join(root, 'nowhere.mp4')));
    const last = heard(({ event, id }) => event === 'failed' && id === 'missing');
    encodes.setPaused(false);
    await last;
    expect(encodes.list()).toMatchObject([
      { id: 'broken', state: 'failed', failure: { code: 'ENCODER_INPUT_CORRUPT' } },
      { id: 'missing', state: 'failed', failure: { code: 'ENCODER_INPUT_MISSING' } },
    ]);
    expect(encodes.counts).toMatchObject({ started: 2, done: 0, failed: 2 });
    expect(jobFiles()).toEqual(['broken.json.failed', 'missing.json.failed']);
    expect(existsSync(join(dir, 'titles', 'broken'))).toBe(false);
  });

  test('that the contract refuses is rejected and leaves nothing', async () => {
    const encodes = await start();
    await expect(encodes.submit(job('../up'))).rejects.toThrow();
    expect(encodes.list()).toEqual([]);
    expect(jobFiles()).toEqual([]);
  });

  test('whose file cannot be written is rejected and not run', async () => {
    const encodes = await start();
    rmSync(join(dir, 'encode', 'jobs'), { recursive: true });
    await expect(encodes.submit(job('clip'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(encodes.list()).toEqual([]);
    expect(encodes.counts.started).toBe(0);
  });
});

describe('jobs that wait', () => {
  const idsOf = (encodes: Encodes) => encodes.plan().map(({ id, waitsFor }) => [id, waitsFor]);

  test('run in the order of what they save for each CPU-hour, those with a deadline before them', async () => {
    const encodes = await start();
    encodes.setPaused(true);
    views = { low: 1, high: 100, middle: 10 };
    for (const id of ['none', 'low', 'high', 'middle']) await encodes.submit(job(id));
    await encodes.submit({ ...job('later'), deadlineSeconds: 7_200 });
    await encodes.submit({ ...job('soon'), deadlineSeconds: 3_600 });
    const order = ['soon', 'later', 'high', 'middle', 'low', 'none'];
    expect(idsOf(encodes)).toEqual(order.map((id) => [id, 'operator']));
    expect(encodes.plan()[0]).toMatchObject({ dueAt: 3_605_000, isForced: true });
    views = { none: 1_000 };
    expect(idsOf(encodes)[2]).toEqual(['none', 'operator']);
    // The order and the deadlines outlive a restart.
    await encodes.close();
    now += 60_000;
    hasRoom = false;
    const again = await start();
    hasRoom = true;
    pace = { pace: 0, reason: 'heat', isUrgent: true };
    expect(idsOf(again).slice(0, 3)).toEqual([
      ['soon', 'power'],
      ['later', 'power'],
      ['none', 'power'],
    ]);
    expect(again.plan()[0]?.dueAt).toBe(3_605_000);
  });

  test('until they pay do not begin before that, and are passed by others', async () => {
    const encodes = await start();
    await encodes.submit(job('rare'), { when: 'pays', sourceBytes: 1e9 });
    expect(idsOf(encodes)).toEqual([['rare', 'worth']]);
    expect(encodes.plan()[0]).toMatchObject({
      isForced: false,
      worth: { pays: false, savedBytes: 0, sourceBytes: 1e9 },
    });
    expect(encodes.counts.started).toBe(0);
    await encodes.close();

    const again = await start();
    expect(idsOf(again)).toEqual([['rare', 'worth']]);
    const ended = heard(isEnd);
    views = { rare: 1_000 };
    again.nextPace();
    expect(await ended).toMatchObject({ event: 'done', id: 'rare' });
  });

  test('without a said size cost what their file has', async () => {
    const encodes = await start();
    encodes.setPaused(true);
    await encodes.submit(job('sized'), { when: 'pays' });
    await encodes.submit(job('gone', join(root, 'nowhere')), { when: 'pays' });
    expect(encodes.plan().map(({ id, worth }) => [id, worth.sourceBytes])).toEqual([
      ['sized', readFileSync(clip).length],
      ['gone', 0],
    ]);
  });
});

describe('the pace', () => {
  test('of 0 begins nothing; of a running job it is told, with the energy that it took', async () => {
    pace = { pace: 0, reason: 'heat', isUrgent: true };
    joules = 1_000;
    const encodes = await start();
    await encodes.submit(job('paced'));
    expect(encodes.counts.started).toBe(0);
    pace = { pace: 1, reason: 'none', isUrgent: false };
    const shot = heard(({ event }) => event === 'shot');
    encodes.nextPace();
    await shot;
    pace = { pace: 0, reason: 'heat', isUrgent: true };
    joules = 1_250;
    encodes.nextPace();
    await heard(({ event }) => event === 'pace');
    expect(encodes.list()).toMatchObject([{ state: 'running', step: 'paused' }]);
    expect(encodes.plan()).toMatchObject([{ id: 'paced', waitsFor: undefined }]);
    pace = { pace: 0.8, reason: 'heat', isUrgent: false };
    encodes.nextPace();
    joules = 1_300;
    expect(await heard(isEnd)).toMatchObject({ event: 'done' });
    expect(encodes.list()).toMatchObject([{ state: 'done', joules: 300 }]);
    expect(encodes.counts.joules).toBe(300);
    const paces = events.flatMap((event) => (event.event === 'pace' ? [event.pace] : []));
    expect(paces).toEqual([0, 0.8]);
    const folder = join(dir, 'titles', 'paced');
    const { hash } = latestSchema.parse(JSON.parse(readFileSync(join(folder, 'latest.json'), 'utf8')));
    expect(readFileSync(join(folder, hash, 'title.json'), 'utf8')).toContain('"joules":250');
  });

  test('of an operator pauses the running job, too, and close() ends it though it is paused', async () => {
    const encodes = await start();
    const shot = heard(({ event }) => event === 'probe');
    await encodes.submit(job('held'));
    await shot;
    encodes.setPaused(true);
    await heard(({ event }) => event === 'pace');
    await encodes.close();
    expect(encoders()).toEqual([]);
    expect(jobFiles()).toEqual(['held.json']);
  });
});

describe('an encoder', () => {
  test('stopped by close() midway is taken up by the next run, and trials measured are not measured again', async () => {
    const first = await start();
    const trial = heard(({ event }) => event === 'trial');
    await first.submit(job('jobs'));
    await trial;
    await first.close();
    expect(encoders()).toEqual([]);
    expect(events.some(isEnd)).toBe(false);
    expect(jobFiles()).toEqual(['jobs.json']);
    expect(workFolders()).toEqual(['jobs']);

    events = [];
    const ended = heard(isEnd);
    await start();
    expect(await ended).toMatchObject({ event: 'done', published: true });
    expect(events).toContainEqual(expect.objectContaining({ event: 'trial', resumed: true }));
    expect(jobFiles()).toEqual([]);
  });

  test('killed once is run again; killed twice, the job has failed and everybody is told', async () => {
    const encodes = await start();
    await encodes.submit(job('once'));
    await heard(({ event }) => event === 'probe').then(killEncoder);
    expect(await heard(isEnd)).toMatchObject({ event: 'done', id: 'once' });
    expect(logged).toContainEqual({ event: 'encode.retried', fields: { id: 'once', code: 'ENCODER_DIED' } });
    expect(encodes.counts).toMatchObject({ started: 2, done: 1, failed: 0 });

    await encodes.submit(job('twice'));
    await heard(({ event }) => event === 'probe').then(killEncoder);
    await heard(({ event }) => event === 'probe').then(killEncoder);
    expect(await heard(isEnd)).toMatchObject({ event: 'failed', id: 'twice', code: 'ENCODER_DIED' });
    expect(encodes.counts).toMatchObject({ started: 4, failed: 1 });
    expect(jobFiles()).toEqual(['twice.json.failed']);
  });
});

describe('the job folder', () => {
  test('with a file that is no job names it and goes on', async () => {
    await (await start()).close();
    writeFileSync(join(dir, 'encode', 'jobs', 'bad.json'), '{"version":1}');
    const encodes = await start();
    expect(encodes.list()).toEqual([]);
    expect(logged).toMatchObject([{ event: 'encode.job-unreadable', fields: { file: 'bad.json' } }]);
  });

  test('that cannot be made is an unusable directory', async () => {
    writeFileSync(dir, '');
    await expect(start()).rejects.toMatchObject({ code: 'AGENT_DIRECTORY_UNUSABLE', exitCode: 78 });
  });
});
