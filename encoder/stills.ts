// Pictures that may stand for a title, in several widths: the keyframe in the middle of each chosen shot, decoded from a
// finished rendition.
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EncodeJob, Title } from './contract.ts';
import { EncoderError } from './errors.ts';
import { toneMapFilter } from './ffmpeg/picture.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import { chooseStills } from './plan/stills.ts';
import type { PackageFolder } from './publish.ts';
import { readAll } from './verify.ts';

type Rendition = Title['renditions'][number];
type Artwork = NonNullable<Title['images']['artwork']>;

/** Folder of the pictures in the package. */
const FOLDER = 'artwork';
/** Widths in pixels, as far as the rendition has them; the smallest always. */
const WIDTHS = [1280, 640, 320] as const;
/** JPEG quality on ffmpeg's scale, 2 the best. */
const JPEG_QUALITY = '4';

/** What pictures are made from. */
export type StillsJob = {
  readonly ffmpeg: Ffmpeg;
  readonly artwork: EncodeJob['artwork'];
  readonly title: Pick<Title, 'shots' | 'durationSeconds' | 'renditions'>;
  /** Where pictures lie until they are in the package. */
  readonly workDir: string;
};

/** SDR if there is, and of these the largest. */
function sourceOf(renditions: readonly Rendition[]): Rendition | undefined {
  const isSdr = ({ videoRange }: Rendition) => Number(videoRange === 'SDR');
  return renditions.toSorted((a, b) => isSdr(b) - isSdr(a) || b.height - a.height)[0];
}

/** Of each chosen shot its middle segment, in order of time: a segment begins with its only keyframe. */
function segmentsOf({ segments }: Rendition, places: readonly number[]) {
  return places
    .toSorted((a, b) => a - b)
    .flatMap((place) => {
      const own = segments.filter(({ shot }) => shot === place);
      const segment = own[Math.floor(own.length / 2)];
      return segment === undefined ? [] : [{ place, segment }];
    });
}

/** Writes the pictures into the package; undefined when the job wants none or no shot is fit. Throws ENCODER_CHECK_FAILED. */
export async function writeStills(folder: PackageFolder, job: StillsJob): Promise<Artwork | undefined> {
  const { ffmpeg, title, workDir } = job;
  const source = sourceOf(title.renditions);
  const chosen = source === undefined ? [] : segmentsOf(source, chooseStills(title, job.artwork.pictures));
  if (source === undefined || chosen.length === 0) return undefined;
  const widths = WIDTHS.filter((width) => width <= source.width || width === WIDTHS.at(-1));
  const heightOf = (width: number) => Math.max(2, Math.round((source.height * width) / source.width / 2) * 2);
  const toSdr = source.videoRange !== 'SDR' && ffmpeg.tool.canToneMap ? toneMapFilter() : 'null';
  const scale = (width: number) => `scale=${width}:${heightOf(width)}:flags=area:out_range=pc,format=yuvj420p`;
  const graph = [
    `[0:v]select='eq(key\\,1)',${toSdr},split=${widths.length}${widths.map((width) => `[s${width}]`).join('')}`,
    ...widths.map((width) => `[s${width}]${scale(width)}[o${width}]`),
  ].join(';');
  const outputs = widths.flatMap((width) => [
    ...['-map', `[o${width}]`, '-fps_mode', 'passthrough', '-q:v', JPEG_QUALITY],
    ...['-fflags', '+bitexact', '-flags', '+bitexact', '-map_metadata', '-1'],
    ...['-f', 'image2', `tmp-still-${width}-%02d.jpg`],
  ]);
  const names = [source.initUrl, ...chosen.map(({ segment }) => segment.url)];
  await ffmpeg.run({
    args: ['-threads', `${ffmpeg.threads}`, '-f', 'mp4', '-i', 'pipe:0', '-filter_complex', graph, ...outputs],
    cwd: workDir,
    input: () => readAll(folder.path, names),
  });
  const made = (await readdir(workDir)).filter((name) => /^tmp-still-\d+-\d+\.jpg$/.test(name));
  if (made.length !== chosen.length * widths.length) {
    const wanted = chosen.length * widths.length;
    throw new EncoderError('ENCODER_CHECK_FAILED', `${made.length} pictures of artwork, ${wanted} were to be made`);
  }
  const artwork: Artwork = [];
  for (const [index, { place, segment }] of chosen.entries()) {
    const files: Artwork[number]['files'] = [];
    for (const width of widths) {
      const file = join(workDir, `tmp-still-${width}-${String(index + 1).padStart(2, '0')}.jpg`);
      const bytes = await readFile(file);
      const url = `${FOLDER}/shot-${place}-${width}.jpg`;
      await folder.write(url, bytes);
      files.push({ url, width, height: heightOf(width), bytes: bytes.length });
      await rm(file, { force: true });
    }
    artwork.push({ id: `shot-${place}`, shot: place, seconds: segment.startTicks / source.timescale, files });
  }
  return artwork;
}
