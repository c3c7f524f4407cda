// The program under control of its parent, on a clip of a second: paused and resumed, let go of, hurried by a deadline.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type EncodeControl,
  type EncodeEvent,
  type EncodeJobInput,
  EXIT,
  encodeEventSchema,
  titleSchema,
} from '../../../encoder/contract.ts';
import { findTool, make, makeFolder } from '../clips.ts';

const main = fileURLToPath(new URL('../../../encoder/main.ts', import.meta.url));
const { folder, remove } = makeFolder();
const clip = join(folder, 'clip.mp4');
beforeAll(async () => {
  const picture = ['testsrc2=s=320x180:r=25:d=0.8', 'mandelbrot=s=320x180:r=25,trim=end_frame=16'];
  const inputs = picture.flatMap((source) => ['-f', 'lavfi', '-i', source]);
  const join2 = ['-filter_complex', '[0:v][1:v]concat=n=2,format=yuv420p'];
  make(await findTool(), [...inputs, ...join2, '-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '10', clip]);
});
afterAll(remove);

const jobOf = (id: string, more: Partial<EncodeJobInput> = {}): EncodeJobInput => ({
  ...{ version: 1, id, input: clip, outDir: join(folder, `${id}.out`), preset: 'ultrafast' },
  ladder: { heights: [144], minimumStep: 1 },
  trials: { crfs: [24, 38] },
  search: { grid: 'full' },
  budget: { parallel: 1 },
  ...more,
});

type Running = {
  readonly child: ChildProcess;
  readonly say: (line: EncodeControl | string) => void;
  readonly letGo: () => void;
  readonly events: readonly EncodeEvent[];
  readonly ended: Promise<{ code: number | null; stderr: string }>;
};

function start(job: EncodeJobInput, onEvent: (event: EncodeEvent, running: Running) => void): Running {
  const child = spawn(process.execPath, [main, '-', '--control']);
  const events: EncodeEvent[] = [];
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  const say = (line: EncodeControl | string): void =>
    void child.stdin.write(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`);
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, stderr })),
  );
  const running: Running = { child, say, letGo: () => child.stdin.end(), events, ended };
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = encodeEventSchema.parse(JSON.parse(line));
    events.push(event);
    onEvent(event, running);
  });
  child.stdin.on('error', () => undefined);
  say(JSON.stringify(job));
  return running;
}

/** Kernel states of the processes below one, such as R, S or T (stopped). */
function childStates(pid: number | undefined): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const [, state = '', parent] = /\) (\S) (\d+) /.exec(readFileSync(`/proc/${name}/stat`, 'utf8')) ?? [];
        return Number(parent) === pid && state !== 'Z' ? [state] : [];
      } catch {
        // It ended between the listing and the reading.
        return [];
      }
    });
}

describe('a running encode', () => {
  test('pauses and goes on as its parent says, and writes down the energy that it was told', async () => {
    let statesWhilePaused: readonly string[] | undefined;
    const { ended, events } = start(jobOf('paused'), (event, { say, child }) => {
      if (event.event === 'shot' && event.index === 0) {
        say('nonsense');
        say({ version: 1, pace: 0 });
      }
      if (event.event === 'pace' && event.pace === 0) {
        statesWhilePaused = childStates(child.pid);
        say({ version: 1, pace: 0.9, joules: 12.5 });
      }
    });
    expect(await ended).toMatchObject({ code: EXIT.done, stderr: 'nearcast encode: no control: nonsense\n' });
    const paces = events.flatMap((event) => (event.event === 'pace' ? [event.pace] : []));
    expect(paces).toEqual([0, 0.9]);
    expect(statesWhilePaused?.every((state) => state === 'T' || state === 't')).toBe(true);
    const last = events.at(-1);
    if (last?.event !== 'done') throw new Error('not done');
    const title = titleSchema.parse(JSON.parse(readFileSync(join(last.dir, 'title.json'), 'utf8')));
    expect(title.cost.joules).toBe(12.5);
  });

  test('whose parent lets go of it stops, though it is paused, and leaves no ffmpeg', async () => {
    const running = start(jobOf('left'), (event, { say, letGo }) => {
      if (event.event === 'probe') say({ version: 1, pace: 0 });
      if (event.event === 'pace') letGo();
    });
    expect((await running.ended).code).toBe(EXIT.tempFail);
    expect(running.events.at(-1)).toMatchObject({ event: 'failed', code: 'ENCODER_STOPPED', retryable: true });
    expect(childStates(running.child.pid)).toEqual([]);
  });

  test('whose parent is gone before the job came stops, too', async () => {
    const child = spawn(process.execPath, [main, '-', '--control'], { stdio: ['ignore', 'ignore', 'ignore'] });
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code).toBe(EXIT.tempFail);
  });
});

test('a deadline that has passed ships a whole ladder of one encode at each height, and says so', async () => {
  const job = jobOf('hasty', { deadlineSeconds: 0.001, ladder: { heights: [180, 144], minimumStep: 1 } });
  const { ended, events } = start({ ...job, trials: { crfs: [24, 30, 38] } }, () => undefined);
  expect((await ended).code).toBe(EXIT.done);
  const trials = events.flatMap((event) => (event.event === 'trial' ? [[event.height, event.crf]] : []));
  expect(trials.sort()).toEqual([
    [144, 30],
    [144, 30],
    [180, 30],
    [180, 30],
  ]);
  const last = events.at(-1);
  if (last?.event !== 'done') throw new Error('not done');
  const title = titleSchema.parse(JSON.parse(readFileSync(join(last.dir, 'title.json'), 'utf8')));
  expect(title.renditions.length).toBeGreaterThanOrEqual(1);
  expect(title.notes).toMatchObject([{ code: 'deadline', message: expect.stringContaining('2 of 2 units') }]);
  expect(events.map(({ event }) => event)).toContain('check');
});
