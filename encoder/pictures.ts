// Thumbnails for the seek bar, decoded from a finished rendition: it is small, and lies at hand.
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EncodeJob, Title, Trickplay } from './contract.ts';
import { EncoderError } from './errors.ts';
import { toneMapFilter } from './ffmpeg/picture.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import { pictureCount, trickplayFilter, writeTrickplay } from './package/trickplay.ts';
import type { PackageFolder } from './publish.ts';
import { readAll } from './verify.ts';

type Rendition = Title['renditions'][number];

/** Folder of the sheets in the package. */
const FOLDER = 'thumbnails';
/** JPEG quality of the sheets on ffmpeg's scale, 2 the best: some 4 KB for a picture of 256x144. */
const JPEG_QUALITY = '5';

/** What thumbnails are made from. */
export type ThumbnailJob = {
  readonly ffmpeg: Ffmpeg;
  readonly thumbnails: EncodeJob['thumbnails'];
  readonly renditions: readonly Rendition[];
  readonly frames: number;
  /** Where sheets lie until they are in the package. */
  readonly workDir: string;
};

/** SDR if there is, then the smallest that need not be enlarged, then the one with the fewest bits. */
function sourceFor(renditions: readonly Rendition[], height: number): Rendition | undefined {
  const rank = (one: Rendition): readonly number[] => [
    one.videoRange === 'SDR' ? 0 : 1,
    one.height >= height ? one.height : 10_000 - one.height,
    one.averageBandwidthBps,
  ];
  return renditions.toSorted((a, b) => {
    const [left, right] = [rank(a), rank(b)];
    return left.map((value, at) => value - (right[at] ?? 0)).find((difference) => difference !== 0) ?? 0;
  })[0];
}

/**
 * Writes sheets of thumbnails and their WebVTT into the package; undefined when the job wants none. Throws
 * ENCODER_CHECK_FAILED when there are not as many sheets as the frames must give.
 */
export async function writeThumbnails(folder: PackageFolder, job: ThumbnailJob): Promise<Trickplay | undefined> {
  const { seconds, height, columns, rows } = job.thumbnails;
  const source = sourceFor(job.renditions, height);
  if (seconds === 0 || source === undefined) return undefined;
  const width = Math.max(2, Math.round((source.width * height) / source.height / 2) * 2);
  const pictures = pictureCount(job.frames, source.frameRate, seconds);
  const names = [source.initUrl, ...source.segments.map(({ url }) => url)];
  const plan = { seconds, width, height, columns, rows };
  const isHdr = source.videoRange !== 'SDR' && job.ffmpeg.tool.canToneMap;
  const filter = trickplayFilter(plan, isHdr ? toneMapFilter() : 'null');
  await job.ffmpeg.run({
    args: [
      ...['-threads', `${job.ffmpeg.threads}`, '-f', 'mp4', '-i', 'pipe:0', '-vf', filter, '-fps_mode', 'passthrough'],
      ...['-q:v', JPEG_QUALITY, '-fflags', '+bitexact', '-flags', '+bitexact', '-map_metadata', '-1'],
      ...['-f', 'image2', 'tmp-sheet-%05d.jpg'],
    ],
    cwd: job.workDir,
    input: () => readAll(folder.path, names),
  });
  const files = (await readdir(job.workDir)).filter((name) => /^tmp-sheet-\d+\.jpg$/.test(name)).sort();
  const wanted = Math.ceil(pictures / (columns * rows));
  if (files.length !== wanted) {
    throw new EncoderError('ENCODER_CHECK_FAILED', `${files.length} sheets of thumbnails, ${wanted} were to be made`);
  }
  const sheets: Trickplay['sheets'] = [];
  for (const file of files) {
    const bytes = await readFile(join(job.workDir, file));
    const url = `${FOLDER}/${file.slice('tmp-sheet-'.length)}`;
    await folder.write(url, bytes);
    sheets.push({ url, bytes: bytes.length });
    await rm(join(job.workDir, file), { force: true });
  }
  const vttUrl = `${FOLDER}/thumbnails.vtt`;
  const trickplay = { vttUrl, secondsEach: seconds, pictures, width, height, columns, rows, sheets };
  await folder.write(vttUrl, writeTrickplay(trickplay, job.frames / source.frameRate));
  return trickplay;
}
