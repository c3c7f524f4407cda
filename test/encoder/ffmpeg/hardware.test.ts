// Hardware encoders are used when they win, and only then: the decision over samples, and contests against a fake chip.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Contest, holdContest, isThere } from '../../../encoder/contest.ts';
import { jobSchema } from '../../../encoder/contract.ts';
import { SDR_8 } from '../../../encoder/ffmpeg/codecs/codec.ts';
import { HARDWARE, judgeHardware, type Sample } from '../../../encoder/ffmpeg/codecs/hardware.ts';
import { SOFTWARE } from '../../../encoder/ffmpeg/codecs/software.ts';
import type { FfmpegTool } from '../../../encoder/ffmpeg/find.ts';
import { probe } from '../../../encoder/ffmpeg/probe.ts';
import { findShots } from '../../../encoder/ffmpeg/shots.ts';
import { openJournal } from '../../../encoder/journal.ts';
import { chooseLadders } from '../../../encoder/ladders.ts';
import type { Chip } from '../../fake/hardware-ffmpeg.ts';
import { findTool, make, makeFolder, makeScript, openOne } from '../clips.ts';

describe('judging', () => {
  const curve = (bits: number, cpuSeconds: number, from = 60): Sample[] =>
    [0, 1, 2, 3].map((at) => ({ bits: bits * 2 ** at, quality: from + at * 10, cpuSeconds }));
  test.each([
    ['fewer bits, as much CPU', curve(90, 1), true],
    ['fewer bits, more CPU', curve(90, 1.2), false],
    ['4 % more bits, half the CPU', curve(104, 0.5), true],
    ['4 % more bits, most of the CPU', curve(104, 0.7), false],
    ['8 % more bits, no CPU', curve(108, 0), false],
    ['the same bits on half of the qualities, no CPU', curve(400, 0, 80), true],
    ['qualities that do not meet', curve(1, 0, 200), false],
    ['nothing', [], false],
  ])('%s', (_name, hardware, wins) => {
    expect(judgeHardware(curve(100, 1), hardware)).toMatchObject({ wins });
  });

  test('says how much, at the same quality', () => {
    expect(judgeHardware(curve(100, 1), curve(104, 0.25)).why).toBe(
      '1.04x the bits at the same quality for 0.25x the CPU of software',
    );
  });
});

describe('a contest', () => {
  const { folder, remove } = makeFolder();
  const fake = fileURLToPath(new URL('../../fake/hardware-ffmpeg.ts', import.meta.url));
  const [codec] = HARDWARE.h264;
  if (codec === undefined) throw new Error('h264 has hardware');
  let tool: FfmpegTool;
  let base: Omit<Contest, 'ffmpeg'>;
  const withChip = (chip: Chip) => {
    const chips = `exec ${process.execPath} ${fake} ${chip} ${tool.path} "$@"`;
    const path = makeScript(join(folder, chip), [`case "$*" in *_nvenc*) ${chips};; *) exec ${tool.path} "$@";; esac`]);
    return openOne({ ...tool, path, encoders: [...tool.encoders, 'h264_nvenc'] }).ffmpeg;
  };
  beforeAll(async () => {
    tool = await findTool();
    const input = join(folder, 'clip.mp4');
    const picture = ['-vf', 'noise=alls=12:allf=t,format=yuv420p', '-c:v', 'libx264', '-qp', '4'];
    make(tool, ['-f', 'lavfi', '-i', 'testsrc2=s=160x160:r=25:d=0.4', ...picture, input]);
    const source = await probe(tool, { input, maxPixels: 1e6, signal: new AbortController().signal });
    const shots = await findShots(openOne(tool).ffmpeg, source, () => undefined);
    const software = { id: 'h264-SDR', codec: SOFTWARE.h264, picture: SDR_8, metric: 'psnr' as const };
    base = { source, shots, folder, software, preset: 'superfast', subsample: 4 };
  });
  afterAll(remove);

  test('is won by a chip that takes fewer bits and no CPU', async () => {
    const verdict = await holdContest({ ...base, ffmpeg: withChip('good') }, codec);
    expect(verdict).toMatchObject({ wins: true });
  });

  test.each<[Chip, RegExp]>([
    ['costly', /x the CPU/],
    ['lossy', /does not keep frames/],
    ['unstitchable', /another moov/],
  ])('is lost by one that is %s', async (chip, why) => {
    const verdict = await holdContest({ ...base, ffmpeg: withChip(chip) }, codec);
    expect(verdict).toMatchObject({ wins: false, why: expect.stringMatching(why) });
  });

  test('is not held where the chip is not there', async () => {
    expect(await isThere(withChip('good'), codec, SDR_8)).toBe(true);
    expect(await isThere(withChip('absent'), codec, SDR_8)).toBe(false);
  });

  test('decides on the ladders of a job, with a note, and is remembered', async () => {
    const more = { hardware: 'auto', preset: 'superfast', trials: { subsample: 4 }, codecs: ['h264'] };
    const job = jobSchema.parse({ version: 1, id: 'x', input: 'x', outDir: folder, ...more });
    const journal = await openJournal(folder);
    const ffmpeg = withChip('good');
    const { source, shots } = base;
    const first = await chooseLadders({ job, ffmpeg, source, shots, journal });
    expect(first.kinds.map((kind) => kind.codec.encoder)).toEqual(['h264_nvenc']);
    expect(first.notes).toMatchObject([{ code: 'hardware-used', message: expect.stringContaining('h264_nvenc') }]);
    const spent = ffmpeg.cpuSeconds();
    expect(await chooseLadders({ job, ffmpeg, source, shots, journal })).toEqual(first);
    expect(ffmpeg.cpuSeconds()).toBe(spent);
    const off = await chooseLadders({ job: { ...job, hardware: 'off' }, ffmpeg, source, shots, journal });
    expect(off.kinds.map((kind) => kind.codec.encoder)).toEqual(['libx264']);
  });
});
