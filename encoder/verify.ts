// The last look at a package before it is published: every file read back, every promise checked, every frame decoded.
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Title, TitleSegment } from './contract.ts';
import { EncoderError } from './errors.ts';
import { decodeArgs } from './ffmpeg/args.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import { checkTitle, inspectSegment, type SegmentFacts } from './package/check.ts';
import { checkDash } from './package/check-dash.ts';
import { checkHls } from './package/check-hls.ts';
import { codecString } from './package/init.ts';
import type { Written } from './package/written.ts';
import type { PackageFolder } from './publish.ts';

/** Decodes a track from its files, and requires every frame and not one complaint. Throws ENCODER_CHECK_FAILED. */
export async function checkTrack(
  ffmpeg: Ffmpeg,
  folder: PackageFolder,
  track: { readonly id: string; readonly initUrl: string; readonly segments: readonly TitleSegment[]; frames?: number },
): Promise<void> {
  const names = [track.initUrl, ...track.segments.map((segment) => segment.url)];
  const result = await ffmpeg
    .run({ args: decodeArgs(ffmpeg.threads), cwd: folder.path, input: () => readAll(folder.path, names) })
    .catch((cause: unknown) => {
      if (!(cause instanceof EncoderError) || cause.code !== 'ENCODER_FFMPEG_FAILED') throw cause;
      throw new EncoderError('ENCODER_CHECK_FAILED', `${track.id} does not decode: ${cause.message}`, { cause });
    });
  if (result.errors.length > 0) {
    throw new EncoderError(
      'ENCODER_CHECK_FAILED',
      `${track.id} decodes with errors: ${result.errors[0]?.slice(0, 300)}`,
    );
  }
  if (track.frames !== undefined && result.frames !== track.frames) {
    throw new EncoderError('ENCODER_CHECK_FAILED', `${track.id} has ${result.frames} of ${track.frames} frames`);
  }
}

/** Files one after the other. */
export async function* readAll(folder: string, names: readonly string[]): AsyncGenerator<Buffer> {
  for (const name of names) {
    for await (const chunk of createReadStream(join(folder, name))) {
      // A stream without an encoding gives buffers.
      yield chunk as Buffer;
    }
  }
}

/** Reads a package back from its files; every segment must parse with its track's init segment, else BoxError. */
export async function readWritten(folder: Pick<PackageFolder, 'path' | 'files'>, title: Title): Promise<Written> {
  const facts = new Map<string, SegmentFacts>();
  const codecs = new Map<string, string>();
  for (const track of [...title.renditions, ...title.audio]) {
    const init = await readFile(join(folder.path, track.initUrl));
    codecs.set(track.id, codecString(init));
    for (const { url } of track.segments) facts.set(url, inspectSegment(init, await readFile(join(folder.path, url))));
  }
  const texts = new Map<string, string>();
  const sizes = new Map<string, number>();
  for (const { path } of folder.files) {
    sizes.set(path, (await stat(join(folder.path, path))).size);
    if (/\.(?:m3u8|mpd|vtt)$/.test(path)) texts.set(path, await readFile(join(folder.path, path), 'utf8'));
  }
  return { title, facts, codecs, texts, sizes };
}

/**
 * Reads every file back and holds segments, playlists, manifest, text and thumbnails against title.json and the standards.
 * Throws ENCODER_CHECK_FAILED naming the first problems.
 */
export async function checkPromises(folder: PackageFolder, title: Title, maxSegmentSeconds: number): Promise<void> {
  const written = await readWritten(folder, title);
  const problems = [...checkTitle({ ...written, maxSegmentSeconds }), ...checkHls(written), ...checkDash(written)];
  if (problems.length === 0) return;
  const first = problems.slice(0, 3).map((problem) => `${problem.where}: ${problem.message}`);
  throw new EncoderError('ENCODER_CHECK_FAILED', `${problems.length} problems, the first: ${first.join('; ')}`);
}
