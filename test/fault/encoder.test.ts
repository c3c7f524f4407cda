// The encoder when its ffmpeg is killed, hangs or lies, when its input is hostile, and when its disk is full: one coded
// error, the published title as it was, no process and no half file left, and the next run goes on.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EncodeEvent, type EncodeJobInput, EXIT, titleSchema } from '../../encoder/contract.ts';
import type { FfmpegTool } from '../../encoder/ffmpeg/find.ts';
import { probe } from '../../encoder/ffmpeg/probe.ts';
import { findShots } from '../../encoder/ffmpeg/shots.ts';
import { findTool, make, makeClip, makeFolder, makeScript, openOne } from '../encoder/clips.ts';
import { fuzz } from '../encoder/fuzzing.ts';
import { makeHostile } from '../encoder/hostile.ts';
import { makeSeeds } from '../encoder/mutate.ts';
import { type Ended, ffmpegsOf, start } from '../encoder/program.ts';
import { report, scaled, seed } from './scale.ts';

const { folder, remove } = makeFolder();
const at = (name: string): string => join(folder, name);
let tool: FfmpegTool;
beforeAll(async () => {
  tool = await findTool();
  makeClip(tool, at('clip.mp4'), { audio: true });
});
afterAll(remove);

const jobOf = (id: string, more: Partial<EncodeJobInput> = {}): EncodeJobInput => ({
  ...{ version: 1, id, input: at('clip.mp4'), outDir: at(`${id}.out`), publishTo: at('titles'), preset: 'ultrafast' },
  ladder: { heights: [180, 144], minimumStep: 1 },
  trials: { crfs: [24, 38] },
  budget: { parallel: 2 },
  ...more,
});
/** An ffmpeg that is the real one but for the runs whose arguments match. */
const instead = (name: string, pattern: string, lines: readonly string[]): Record<string, string> => ({
  FFMPEG_PATH: makeScript(at(name), [`case "$*" in ${pattern})`, ...lines, ';; esac', `exec ${tool.path} "$@"`]),
});
const lastOf = ({ events }: Ended): EncodeEvent | undefined => events.at(-1);
const isDone = (ended: Ended): void => {
  expect([lastOf(ended)?.event, ended.stderr]).toEqual(['done', '']);
};
/** Nothing runs, nothing is half published, nothing half made is left in the work folder. */
const isClean = (id: string): void => {
  expect(ffmpegsOf(folder)).toEqual([]);
  const titles = existsSync(at('titles')) ? readdirSync(at('titles')) : [];
  expect(titles.filter((name) => name.startsWith(`.unfinished-${id}`))).toEqual([]);
};
const isUnpublished = (id: string): void => {
  isClean(id);
  expect(existsSync(at(`titles/${id}`))).toBe(false);
};

describe.each(['KILL', 'SEGV'])('row 37: an ffmpeg that dies of SIG%s in a trial', (signal) => {
  const dying = (name: string, onlyOnce: boolean): Record<string, string> => {
    const mark = at(`${name}.mark`);
    const condition = onlyOnce ? `if [ ! -e ${mark} ]; then touch ${mark}; ` : 'if true; then ';
    return instead(name, '*frag_keyframe*', [
      `${condition}${tool.path} "$@" & sleep 0.05; kill -9 $!; kill -${signal} $$; fi`,
    ]);
  };

  test('row 37: once: the shot is done again, the title published', async () => {
    const id = `once-${signal.toLowerCase()}`;
    isDone(await start(jobOf(id), { env: dying(id, true) }));
    isClean(id);
  });

  test('row 37: always: a coded error, nothing published, and the next run goes on', async () => {
    const id = `always-${signal.toLowerCase()}`;
    const ended = await start(jobOf(id), { env: dying(id, false) });
    expect(lastOf(ended)).toMatchObject({ event: 'failed', code: 'ENCODER_FFMPEG_FAILED', retryable: true });
    isUnpublished(id);
    isDone(await start(jobOf(id)));
    isClean(id);
  });
});

describe('row 38: an ffmpeg that stands still', () => {
  test('row 38: stopped by SIGSTOP: killed, run once more, the title published', async () => {
    const stopped = new Set<number>();
    const budget = { parallel: 2, stallSeconds: 2 };
    const ended = await start(jobOf('stopped', { budget }), {
      onEvent: ({ event }) => {
        const [first] = ffmpegsOf(folder);
        if (event !== 'trial' || stopped.size > 0 || first === undefined) return;
        stopped.add(first.pid);
        process.kill(first.pid, 'SIGSTOP');
      },
    });
    expect(stopped.size).toBe(1);
    isDone(ended);
    isClean('stopped');
  });

  test('row 38: always: given up after the second time, exit 75, the queue sets it aside', async () => {
    const env = instead('still', '*frag_keyframe*', ['kill -STOP $$']);
    const ended = await start(jobOf('still', { budget: { parallel: 1, stallSeconds: 1 } }), { env });
    expect(ended.code).toBe(EXIT.tempFail);
    expect(lastOf(ended)).toMatchObject({ code: 'ENCODER_FFMPEG_STALLED', retryable: true });
    isUnpublished('still');
  });
});

describe('row 39: damaged files', () => {
  const each = scaled(2_500, 10_000);
  test.each([0, 1, 2, 3])(
    `row 39: part %d of 4 x ${each} cases, seed ${seed}`,
    async (part) => {
      const own = at(`fuzz-${part}`);
      mkdirSync(own);
      const seeds = makeSeeds(tool, own);
      const cases = { cases: each, seed: (seed + part * each) % 2 ** 30, parallel: 2, decodeEvery: 4 };
      const { counts, wrong } = await fuzz(tool, { folder: own, seeds }, cases);
      report(`row 39, part ${part}`, { ...counts, wrong: wrong.length });
      expect(wrong).toEqual([]);
      expect(ffmpegsOf(own)).toEqual([]);
    },
    3_600_000,
  );
});

/** Why peak memory cannot be read here; undefined when it can. */
const timeMissing = (): string | undefined =>
  spawnSync('/usr/bin/time', ['--version']).error === undefined ? undefined : 'GNU time is not installed';

describe('row 40: bombs', () => {
  const LIMIT_KILOBYTES = 512 * 1024;
  const measured = (name: string): { script: string; peak: () => number } => {
    const log = at(`${name}.rss`);
    const script = makeScript(at(`measured-${name}`), [`exec /usr/bin/time -a -o ${log} -f %M ${tool.path} "$@"`]);
    return { script, peak: () => Math.max(...(readFileSync(log, 'utf8').match(/^\d+$/gm) ?? []).map(Number)) };
  };

  test('row 40: a picture of 256 megapixels in 6 KB: refused within 512 MB, nothing published', async (context) => {
    if (timeMissing() !== undefined) return context.skip(timeMissing());
    const path = at('giant.avi');
    claimSize(path);
    const { script, peak } = measured('giant');
    const ended = await start(jobOf('giant', { input: path }), { env: { FFMPEG_PATH: script } });
    report('row 40, claimed', { bytes: statSync(path).size, kilobytes: peak() });
    expect(ended.code).toBe(EXIT.badInput);
    expect(peak()).toBeLessThan(LIMIT_KILOBYTES);
    isUnpublished('giant');
  });

  const decoded: readonly (readonly [string, readonly string[]])[] = [
    ['every pixel that is allowed', ['testsrc2=s=5312x2988:r=25:d=1', '-c:v', 'libx264', '-preset', 'ultrafast']],
    ['40,000 frames of nothing', ['color=s=64x64:r=60:d=667', '-c:v', 'mpeg4', '-g', '600']],
  ];
  test.each(decoded)('row 40: %s: at most 512 MB of ffmpeg to find its shots, and of ours', async (name, made) => {
    if (timeMissing() !== undefined) return;
    const path = at(`${name.length}.mkv`);
    make(tool, ['-f', 'lavfi', '-i', ...made, path]);
    const { script, peak } = measured(`${name.length}`);
    const { ffmpeg } = openOne({ ...tool, path: script });
    const { signal } = new AbortController();
    const before = process.memoryUsage().rss;
    let most = before;
    const source = await probe(ffmpeg.tool, { input: path, maxPixels: 16_000_000, signal });
    await findShots(ffmpeg, source, (count) => {
      if (count % 100 === 0) most = Math.max(most, process.memoryUsage().rss);
    });
    const ours = Math.round((most - before) / 1024);
    report(`row 40, ${name}`, { bytes: statSync(path).size, kilobytes: peak(), ours });
    expect(peak()).toBeLessThan(LIMIT_KILOBYTES);
    expect(ours).toBeLessThan(LIMIT_KILOBYTES);
  });

  function claimSize(path: string): void {
    make(tool, ['-f', 'lavfi', '-i', 'color=s=64x64:r=1,trim=end_frame=1', '-c:v', 'mjpeg', path]);
    const bytes = readFileSync(path);
    // The start of frame of a JPEG says its height and width.
    const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
    bytes.writeUInt16BE(16_000, frame + 5);
    bytes.writeUInt16BE(16_000, frame + 7);
    writeFileSync(path, bytes);
  }
});

test('row 41: files that reach out: no connection by any system call, no other file opened', async (context) => {
  if (spawnSync('strace', ['-V']).error !== undefined) return context.skip('strace is not installed');
  let asked = 0;
  const server = createServer((socket) => {
    asked += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const own = at('hostile');
  mkdirSync(own);
  const secret = at('secret.mp4');
  writeFileSync(secret, readFileSync(at('clip.mp4')));
  const trace = at('trace');
  const ffmpeg = makeScript(at('traced'), [
    `exec strace -f -q -A -o ${trace} -e trace=network,open,openat,openat2 ${tool.path} "$@"`,
  ]);
  for (const path of makeHostile(tool, { folder: own, port, secret })) {
    const ended = await start(jobOf('hostile', { input: path }), { env: { FFMPEG_PATH: ffmpeg } });
    expect([path, ended.code]).toEqual([path, EXIT.badInput]);
    isUnpublished('hostile');
  }
  server.close();
  const calls = readFileSync(trace, 'utf8');
  expect(calls).toContain('openat');
  expect(calls.match(/^.*\b(?:connect|sendto|sendmsg)\(.*$/gm) ?? []).toEqual([]);
  expect(calls).not.toContain(secret);
  expect(asked).toBe(0);
});

test('row 42: a disk that fills up in the middle: the title stays on its old ladder, and room lets it go on', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('mounting needs root');
  const disk = at('disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', disk]);
  try {
    const job = (more: Partial<EncodeJobInput>): EncodeJobInput =>
      jobOf('full', { outDir: join(disk, 'out'), publishTo: join(disk, 'titles'), ...more });
    isDone(await start(job({})));
    const latest = (): string => readFileSync(join(disk, 'titles/full/latest.json'), 'utf8');
    const before = latest();
    const other = { trials: { crfs: [12, 18, 24] }, ladder: { heights: [180], minimumStep: 1 } };
    const { blocks, bfree, bsize } = statfsSync(disk);
    const used = (blocks - bfree) * bsize;
    for (const room of [50_000, 400_000, 1_500_000]) {
      execFileSync('mount', ['-o', `remount,size=${used + room}`, disk]);
      const ended = await start(job(other));
      expect(lastOf(ended)).toMatchObject({ event: 'failed', code: 'ENCODER_DISK_FULL', retryable: true });
      expect(ended.code).toBe(EXIT.tempFail);
      expect(latest()).toBe(before);
      expect(readdirSync(join(disk, 'titles')).filter((name) => name.startsWith('.'))).toEqual([]);
      expect(readdirSync(join(disk, 'out/trials')).filter((name) => /^(?:tmp|shot)-/.test(name))).toEqual([]);
      expect(ffmpegsOf(folder)).toEqual([]);
    }
    execFileSync('mount', ['-o', 'remount,size=64m', disk]);
    isDone(await start(job(other)));
    expect(latest()).not.toBe(before);
  } finally {
    execFileSync('umount', ['-l', disk]);
  }
});

describe('row 43: the encoder killed by SIGKILL', () => {
  const steps = ['probe', 'shot', 'trial', 'rendition', 'check'] as const;
  test.each(steps)('row 43: after its first %s: no ffmpeg stays, the next run sweeps and finishes', async (step) => {
    const id = `orphan-${step}`;
    const killed = await start(jobOf(id), {
      onEvent: ({ event }, child) => {
        if (event === step) child.kill('SIGKILL');
      },
    });
    expect(killed.code).toBeNull();
    await expect.poll(() => ffmpegsOf(folder), { timeout: 2000 }).toEqual([]);
    expect(existsSync(at(`titles/${id}/latest.json`))).toBe(false);
    isDone(await start(jobOf(id)));
    isClean(id);
    expect(readdirSync(at(`${id}.out/trials`)).filter((name) => /^(?:tmp|shot)-/.test(name))).toEqual([]);
  });

  test('row 43: between the two renames of outDir/package: the old package is back', async () => {
    const { publishTo: _, ...job } = jobOf('kept');
    isDone(await start(job));
    execFileSync('mv', [at('kept.out/package'), at('kept.out/package.replaced')]);
    const ended = await start({ ...job, input: at('none.mp4') });
    expect(lastOf(ended)).toMatchObject({ event: 'failed', code: 'ENCODER_INPUT_MISSING' });
    expect(existsSync(at('kept.out/package/title.json'))).toBe(true);
    expect(existsSync(at('kept.out/package.replaced'))).toBe(false);
  });
});

describe('row 45: VMAF that does not work', () => {
  const flagged = (ended: Ended): void => {
    const last = lastOf(ended);
    if (last?.event !== 'done') throw new Error(`not done: ${JSON.stringify(last)}`);
    const title = titleSchema.parse(JSON.parse(readFileSync(join(last.dir, 'title.json'), 'utf8')));
    expect(title.metric.name).not.toBe('vmaf');
    expect(title.metric.notes.join()).toContain('no libvmaf');
    const ratios = ended.events.map((event) => event.progressRatio);
    expect(ratios).toEqual(ratios.toSorted((one, other) => one - other));
  };
  const log = `log=$(printf '%s' "$*" | sed 's/.*log_path=\\([^:]*\\).*/\\1/')`;

  test('row 45: scores that are no numbers: another metric, flagged', async () => {
    const spoil = `sed -i 's/"vmaf": *[0-9.]*/"vmaf": nan/' "$log"`;
    const env = instead('nan', '*log_path=*', [`${tool.path} "$@" || exit $?`, log, spoil, 'exit 0']);
    flagged(await start(jobOf('nan'), { env }));
  });

  test('row 45: scores that are missing: another metric, flagged', async () => {
    const env = instead('missing', '*log_path=*', [`${tool.path} "$@" || exit $?`, log, 'rm "$log"', 'exit 0']);
    flagged(await start(jobOf('missing'), { env }));
  });

  test('row 45: a model that is absent: another metric, flagged', async () => {
    const lines = ['echo "[error] could not load libvmaf model with version: vmaf_v0.6.1" >&2', 'exit 1'];
    flagged(await start(jobOf('absent'), { env: instead('absent', '*log_path=*', lines) }));
  });

  test('row 45: no metric at all: a coded error, nothing published', async () => {
    const lines = ['echo "[error] no" >&2', 'exit 1'];
    const env = instead('none', '*log_path=*|*stats_file=*', lines);
    const ended = await start(jobOf('none'), { env });
    expect(lastOf(ended)).toMatchObject({ event: 'failed', code: 'ENCODER_METRIC_FAILED', retryable: false });
    isUnpublished('none');
  });
});
