// The queue of encodes over the real encoder and ffmpeg, on a clip of a second and a half: done, failed, resumed,
// paused, killed.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Encodes, findFfmpeg, openEncodes, type SubmittedJob } from '../../agent/encodes.ts';
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
let logged: { readonly event: string; readonly fields: Readonly<Record<string, unknown>> }[];
let hear: (event: EncodeEvent) => void;
const open = new Set<Encodes>();
beforeEach(() => {
  count += 1;
  dir = join(root, String(count));
  events = [];
  logged = [];
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
    parallel: 1,
    defaults: { codecs: ['h264'], ladder: {} },
    sourceOf: () => undefined,
    hasRoom: () => hasRoom,
    env: process.env,
    onEvent: (event) => {
      events.push(event);
      hear(event);
    },
    now: () => 5_000,
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
