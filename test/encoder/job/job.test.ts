// The whole program on short clips: what it publishes, what it says, and how it goes on after being killed.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type EncodeEvent,
  type EncodeJobInput,
  EXIT,
  latestSchema,
  type Title,
  titleSchema,
  toolsSchema,
} from '../../../encoder/contract.ts';
import type { FfmpegTool } from '../../../encoder/ffmpeg/find.ts';
import { lockFolder, openJournal } from '../../../encoder/journal.ts';
import type { TitleReport } from '../../../encoder/report/facts.ts';
import { CLIP_SHOTS, findTool, make, makeClip, makeFolder, makeScript } from '../clips.ts';
import { ENCODER, type Ended, ffmpegsOf, start } from '../program.ts';

const { folder, remove } = makeFolder();
const at = (name: string): string => join(folder, name);
let tool: FfmpegTool;
beforeAll(async () => {
  tool = await findTool();
  makeClip(tool, at('clip.mp4'), { audio: true });
  makeClip(tool, at('silent.mp4'), { audio: false });
});
afterAll(remove);

const jobOf = (name: string, more: Partial<EncodeJobInput> = {}): EncodeJobInput => ({
  version: 1,
  id: name,
  input: at('clip.mp4'),
  outDir: at(`${name}.out`),
  publishTo: at('titles'),
  preset: 'ultrafast',
  ladder: { heights: [180, 144], minimumStep: 1 },
  trials: { crfs: [24, 38] },
  search: { grid: 'full' },
  segmentSeconds: 1,
  budget: { stallSeconds: 20 },
  ...more,
});

const readTitle = (event: EncodeEvent | undefined): Title => {
  if (event?.event !== 'done') throw new Error(`not done: ${JSON.stringify(event)}`);
  return titleSchema.parse(JSON.parse(readFileSync(join(event.dir, 'title.json'), 'utf8')));
};
const trialsOf = (events: readonly EncodeEvent[]) => events.filter((event) => event.event === 'trial');
const leftOvers = (): string[] =>
  existsSync(at('titles')) ? readdirSync(at('titles')).filter((name) => name.startsWith('.')) : [];

describe('a title', () => {
  let first: Ended;
  let title: Title;
  beforeAll(async () => {
    first = await start(jobOf('first'));
    title = readTitle(first.events.at(-1));
  });

  test('is published whole, with playlists that point to it', () => {
    expect(first.code).toBe(EXIT.done);
    const latest = latestSchema.parse(JSON.parse(readFileSync(at('titles/first/latest.json'), 'utf8')));
    expect(latest.hash).toBe(title.hash);
    expect(readFileSync(at('titles/first/master.m3u8'), 'utf8')).toContain(`${title.hash}/v1/playlist.m3u8`);
    expect(readFileSync(at('titles/first/manifest.mpd'), 'utf8')).toContain(`${title.hash}/`);
    expect(readFileSync(at(`titles/first/${title.hash}/poster.jpg`)).subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
    expect(leftOvers()).toEqual([]);
    const { artwork = [] } = title.images;
    expect(artwork.length).toBeGreaterThan(0);
    for (const { files, shot } of artwork) {
      expect(title.shots[shot]).toBeDefined();
      for (const { url, bytes } of files) {
        const picture = readFileSync(at(`titles/first/${title.hash}/${url}`));
        expect([picture.length, picture.subarray(0, 2).toString('hex')]).toEqual([bytes, 'ffd8']);
      }
    }
  });

  test('comes with a report beside it and in its work folder, which names the same package', () => {
    for (const folder of ['titles/first', 'first.out']) {
      expect(readFileSync(at(`${folder}/report.html`), 'utf8')).toContain(title.hash.slice(0, 16));
      const report: TitleReport = JSON.parse(readFileSync(at(`${folder}/report.json`), 'utf8'));
      expect(report).toMatchObject({
        version: 1,
        hash: title.hash,
        renditions: title.renditions.map(({ id }) => ({ id })),
      });
      // Nothing in the clip is sharpened, so that both models say about the same.
      for (const { mean, neg = Number.NaN } of report.renditions) expect(Math.abs(neg - mean)).toBeLessThan(6);
    }
  });

  test('has thumbnails and I-frame playlists', () => {
    expect(title.images.trickplay).toMatchObject({ secondsEach: 2, pictures: 2, width: 256, height: 144 });
    const sheet = at(`titles/first/${title.hash}/thumbnails/00001.jpg`);
    expect(readFileSync(sheet).subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
    expect(readFileSync(at('titles/first/master.m3u8'), 'utf8')).toContain(`${title.hash}/v1/iframes.m3u8`);
  });

  test('has the shots of the clip, and equal boundaries in all renditions, none above a second', () => {
    expect(title.shots.map((shot) => shot.frames)).toEqual(CLIP_SHOTS);
    const [best, ...others] = title.renditions;
    const starts = best?.segments.map((segment) => segment.startTicks);
    expect(starts).toEqual([0, 25_000, 40_000]);
    expect(others.length).toBeGreaterThan(0);
    for (const other of others) expect(other.segments.map((segment) => segment.startTicks)).toEqual(starts);
    for (const track of [...title.renditions, ...title.audio]) {
      for (const segment of track.segments) expect(segment.ticks).toBeLessThanOrEqual(track.timescale);
    }
  });

  test('plays from its multivariant playlist, every frame, sound as long as the picture', () => {
    const playlist = at(`titles/first/${title.hash}/master.m3u8`);
    for (const [index] of title.renditions.entries()) {
      const args = ['-v', 'error', '-i', playlist, '-map', `0:v:${index}`, '-f', 'framemd5', '-'];
      const frames = execFileSync(tool.path, args, { encoding: 'utf8' })
        .split('\n')
        .filter((line) => /^0,/.test(line));
      expect(frames).toHaveLength(60);
    }
    const audio = title.audio[0];
    const ticks = audio?.segments.reduce((sum, segment) => sum + segment.ticks, 0) ?? 0;
    expect(ticks / (audio?.timescale ?? 1)).toBeCloseTo(2.4, 1);
    expect(audio).toMatchObject({ codec: 'mp4a.40.2', channels: 1 });
  });

  test('ships trial encodes byte for byte but for their place in time', () => {
    const size = (name: string): number => readFileSync(at(`titles/first/${title.hash}/${name}`)).length;
    const shipped = title.renditions[0]?.segments ?? [];
    for (const segment of shipped) expect(size(segment.url)).toBe(segment.bytes);
    const trial = trialsOf(first.events).find(
      (event) =>
        event.shot === 0 &&
        event.height === title.renditions[0]?.height &&
        event.crf === title.shots[0]?.quality['v1']?.crf,
    );
    expect((shipped[0]?.bytes ?? 0) * 8).toBeCloseTo(trial?.bitrateBps ?? 0, 3);
  });

  test('tells progress that never goes back, every trial, and done last', () => {
    const ratios = first.events.map((event) => event.progressRatio);
    expect(ratios).toEqual(ratios.toSorted((a, b) => a - b));
    expect(ratios.at(-1)).toBe(1);
    expect(trialsOf(first.events)).toHaveLength(3 * 2 * 2);
    expect(first.events.filter((event) => event.event === 'done' || event.event === 'failed')).toHaveLength(1);
    expect(first.events[0]).toMatchObject({ event: 'probe', width: 320, height: 180, frameRate: 25 });
  });

  test('costs nothing the second time', async () => {
    const again = await start(jobOf('first'));
    expect(again.events.map((event) => event.event)).toEqual(['probe', 'done']);
    expect(again.events.at(-1)).toMatchObject({ cpuSeconds: 0, published: true });
    expect(readTitle(again.events.at(-1)).hash).toBe(title.hash);
  });

  test('is rebuilt from its trials, to the same hash, when the package is gone', async () => {
    rmSync(at('titles/first'), { recursive: true });
    const again = await start(jobOf('first'));
    expect(again.code).toBe(EXIT.done);
    expect(trialsOf(again.events).every((trial) => trial.resumed)).toBe(true);
    expect(readTitle(again.events.at(-1)).hash).toBe(title.hash);
  });

  test('without libvmaf names the metric it used instead', async () => {
    const path = makeScript(at('no-vmaf'), [
      `case "$*" in *-filters*) ${tool.path} "$@" | grep -v libvmaf;; *libvmaf*) exit 1;; *) exec ${tool.path} "$@";; esac`,
    ]);
    const ended = await start(jobOf('plain', { input: at('silent.mp4') }), { env: { FFMPEG_PATH: path } });
    expect(ended.stderr).toBe('');
    const plain = readTitle(ended.events.at(-1));
    expect(plain.metric.name).not.toBe('vmaf');
    expect(plain.metric.notes.join()).toContain('no libvmaf');
    expect(plain.audio).toEqual([]);
  });

  test('of a lossy source says so, and stays in outDir when there is nowhere to publish', async () => {
    const { publishTo: _, ...job } = jobOf('kept', {
      ...{
        input: at('silent.mp4'),
        sourceClass: 'top-rung',
        codecs: ['hevc'],
        report: 'private',
        thumbnails: { seconds: 0 },
        artwork: { pictures: 0 },
      },
    });
    const ended = await start(job);
    expect(ended.events.at(-1)).toMatchObject({ event: 'done', dir: at('kept.out/package'), published: false });
    const kept = readTitle(ended.events.at(-1));
    expect(kept.metric.notes.join()).toContain('lossy rung');
    for (const { codec } of kept.renditions) expect(codec).toMatch(/^hvc1\.1\./);
    expect(kept.images).toEqual({ poster: 'poster.jpg' });
    expect(existsSync(at('kept.out/report.html'))).toBe(true);
  });
});

test('a search asks for few trials, ships a ladder of them, and a proposing preset ships none of its own', async () => {
  const { search: _, ladder: __, ...job } = jobOf('searched', { input: at('silent.mp4') });
  const ladder = { heights: [180], maxRungs: 2 };
  const search = { mostSeeds: 1, mostTrials: 3, preset: 'superfast' };
  const ended = await start({ ...job, ladder, search });
  const title = readTitle(ended.events.at(-1));
  const trials = trialsOf(ended.events);
  expect(trials.length).toBeLessThanOrEqual(9);
  expect(title.renditions.length).toBeGreaterThan(0);
  for (const [index, shot] of title.shots.entries()) {
    const crfs = trials.slice(2).flatMap((trial) => (trial.shot === index ? [trial.crf] : []));
    for (const { crf, mean, p5 } of Object.values(shot.quality)) {
      expect(crfs).toContain(crf);
      expect(p5).toBeLessThanOrEqual(mean);
    }
  }
  expect(title.cost.trials).toBeLessThan(title.cost.cpuSeconds);
  const again = await start({ ...job, ladder, search, publishTo: at('elsewhere') });
  expect(trialsOf(again.events).length).toBe(trials.length);
  expect(trialsOf(again.events).every((trial) => trial.resumed)).toBe(true);
});

describe('killed and stopped', () => {
  test('a job killed in its trials goes on with those that are left, and leaves no ffmpeg', async () => {
    const killed = await start(jobOf('resume', { input: at('silent.mp4') }), {
      onEvent: (event, child) => {
        if (event.event === 'trial' && !event.resumed) child.kill('SIGKILL');
      },
    });
    const before = trialsOf(killed.events).length;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(12);
    await expect.poll(() => ffmpegsOf(at('resume.out')), { timeout: 2000 }).toEqual([]);
    expect(existsSync(at('titles/resume'))).toBe(false);
    const resumed = await start(jobOf('resume', { input: at('silent.mp4') }));
    expect(resumed.code).toBe(EXIT.done);
    expect(trialsOf(resumed.events)).toHaveLength(12);
    expect(trialsOf(resumed.events).filter((trial) => trial.resumed).length).toBeGreaterThanOrEqual(before);
    expect(readdirSync(at('resume.out/trials')).filter((name) => !/^[0-9a-f]{32}\.mp4$/.test(name))).toEqual([]);
  });

  test('SIGTERM ends it within 2 s with one failed event, and leaves no ffmpeg', async () => {
    let stoppedAt = 0;
    const ended = await start(jobOf('stopped', { preset: 'veryslow' }), {
      onEvent: (event, child) => {
        if (event.event !== 'shot' || stoppedAt > 0) return;
        stoppedAt = performance.now();
        child.kill('SIGTERM');
      },
    });
    expect(performance.now() - stoppedAt).toBeLessThan(2000);
    expect(ended.code).toBe(EXIT.tempFail);
    expect(ended.events.at(-1)).toMatchObject({ event: 'failed', code: 'ENCODER_STOPPED', retryable: true });
    expect(ffmpegsOf(at('stopped.out'))).toEqual([]);
    expect(existsSync(at('titles/stopped'))).toBe(false);
  });
});

describe('refused', () => {
  const cases: readonly (readonly [code: string, exit: number, job: unknown, env: Record<string, string>])[] = [
    ['ENCODER_JOB_INVALID', EXIT.usage, 'not json', {}],
    ['ENCODER_JOB_INVALID', EXIT.usage, { version: 2, id: 'x', input: 'x', outDir: 'x' }, {}],
    ['ENCODER_JOB_INVALID', EXIT.usage, { ...jobOf('bad'), id: '../x' }, {}],
    ['ENCODER_INPUT_MISSING', EXIT.badInput, jobOf('bad', { input: at('none') }), {}],
    ['ENCODER_INPUT_MISSING', EXIT.badInput, jobOf('bad', { input: 'http://127.0.0.1/x.mp4' }), {}],
    ['ENCODER_INPUT_SEALED', EXIT.badInput, jobOf('bad', { sourceClass: 'sealed' }), {}],
    ['ENCODER_FFMPEG_MISSING', EXIT.missingTool, jobOf('bad'), { FFMPEG_PATH: '/no/ffmpeg' }],
    ['ENCODER_DISK_FAILED', EXIT.tempFail, jobOf('bad', { outDir: '/dev/null/out' }), {}],
  ];
  test.each(cases)('%s, exit %d', async (code, exit, job, env) => {
    const ended = await start(job, { env });
    expect(ended.code).toBe(exit);
    expect(ended.events).toHaveLength(1);
    expect(ended.events[0]).toMatchObject({ event: 'failed', code });
    expect(ended.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(existsSync(at('titles/bad'))).toBe(false);
  });

  test('an input that breaks off publishes nothing and leaves nothing', async () => {
    make(tool, ['-i', at('silent.mp4'), '-c', 'copy', '-movflags', '+faststart', at('front.mp4')]);
    const bytes = readFileSync(at('front.mp4'));
    writeFileSync(at('front.mp4'), bytes.subarray(0, Math.floor(bytes.length * 0.4)));
    const ended = await start(jobOf('broken', { input: at('front.mp4') }));
    expect(ended.events.at(-1)).toMatchObject({ event: 'failed', code: 'ENCODER_INPUT_CORRUPT' });
    expect(existsSync(at('titles/broken'))).toBe(false);
    expect(leftOvers()).toEqual([]);
  });

  test('an ffmpeg that hangs is given up', async () => {
    const path = makeScript(at('hang'), [`case "$*" in *rawvideo*) exec sleep 600;; *) exec ${tool.path} "$@";; esac`]);
    const ended = await start(jobOf('hang', { budget: { stallSeconds: 0.5 } }), { env: { FFMPEG_PATH: path } });
    expect(ended.code).toBe(EXIT.tempFail);
    expect(ended.events.at(-1)).toMatchObject({ code: 'ENCODER_FFMPEG_STALLED', retryable: true });
  });

  test('a package that does not decode is thrown away', async () => {
    // Decodes of the check read standard input: this ffmpeg fails only those.
    const path = makeScript(at('broken-check'), [
      `case "$*" in *"-i pipe:0"*) cat > /dev/null; echo "[error] broken" >&2; exit 0;; *) exec ${tool.path} "$@";; esac`,
    ]);
    const ended = await start(jobOf('first', { id: 'checked' }), { env: { FFMPEG_PATH: path } });
    expect(ended.events.at(-1)).toMatchObject({ event: 'failed', code: 'ENCODER_CHECK_FAILED' });
    expect(existsSync(at('titles/checked'))).toBe(false);
    expect(leftOvers()).toEqual([]);
  });
});

describe('journal', () => {
  test('finds what was added, and survives a line that a crash cut', async () => {
    const path = at('journal');
    mkdirSync(path);
    await (await openJournal(path)).add('a', { n: 1 });
    writeFileSync(
      join(path, 'journal.ndjson'),
      `${readFileSync(join(path, 'journal.ndjson'))}{"version":1,"key":"b","res`,
    );
    const again = await openJournal(path);
    expect(again.find('a')).toEqual({ n: 1 });
    expect(again.find('b')).toBeUndefined();
    await again.add('c', 3);
    const last = await openJournal(path);
    expect([last.find('a'), last.find('b'), last.find('c')]).toEqual([{ n: 1 }, undefined, 3]);
  });

  test('a folder is taken once, and again when its holder is gone', async () => {
    const path = at('locked');
    mkdirSync(path);
    writeFileSync(join(path, 'lock'), `${process.ppid}\n`);
    await expect(lockFolder(path)).rejects.toMatchObject({ code: 'ENCODER_BUSY' });
    // Above the highest process id that Linux gives.
    writeFileSync(join(path, 'lock'), '5000000\n');
    const release = await lockFolder(path);
    await release();
    expect(existsSync(join(path, 'lock'))).toBe(false);
  });
});

test('tools names the ffmpeg that would be used', () => {
  const line = execFileSync(process.execPath, [ENCODER, 'tools'], { encoding: 'utf8' });
  expect(toolsSchema.parse(JSON.parse(line)).ffmpeg).toMatchObject({ path: tool.path, hasVmaf: tool.hasVmaf });
});

test('--help says how to call it', () => {
  expect(execFileSync(process.execPath, [ENCODER, '--help'], { encoding: 'utf8' })).toContain('Usage: nearcast encode');
});
