// Builds the package folder beside its final place, checks it by decoding, renames it in whole, and points to it.
import assert from 'node:assert';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CONTRACT_VERSION, type Title, type TitleSegment, titleSchema } from './contract.ts';
import { EncoderError, isErrno } from './errors.ts';
import { decodeArgs } from './ffmpeg/args.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import { checkTitle, inspectSegment, type SegmentFacts } from './package/check.ts';
import { writeMpd } from './package/dash.ts';
import { type Fragment, parseFragmented, rebaseFragment } from './package/fmp4.ts';
import { type HashedFile, packageHash } from './package/hash.ts';
import { mediaPlaylistUrl, writeMedia, writeMultivariant } from './package/hls.ts';
import { codecString, differingBoxes } from './package/init.ts';
import { averageBandwidthBps, peakBandwidthBps } from './package/rate.ts';

/** Names of unfinished packages begin with this; an origin serves no dot files. */
const UNFINISHED = '.unfinished-';

/** A package being built. */
export type PackageFolder = {
  readonly path: string;
  /** Writes a file durably and takes it into the hash; `name` is relative, with `/`. */
  readonly write: (name: string, bytes: Buffer | string) => Promise<void>;
  readonly files: readonly HashedFile[];
};

/** Opens an empty folder for a package under `parent`, sweeping what a killed run of this title left there. */
export async function openPackage(parent: string, id: string): Promise<PackageFolder> {
  await mkdir(parent, { recursive: true });
  const prefix = `${UNFINISHED}${id}-`;
  for (const entry of await readdir(parent)) {
    if (isLeftOver(entry, prefix)) await rm(join(parent, entry), { recursive: true, force: true });
  }
  const path = join(parent, `${prefix}${process.pid}`);
  await mkdir(path);
  const files: HashedFile[] = [];
  const write = async (name: string, bytes: Buffer | string): Promise<void> => {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeDurably(join(path, name), bytes);
    files.push({ path: name, sha256: createHash('sha256').update(bytes).digest('hex') });
  };
  return { path, write, files };
}

/** The rest after the prefix must be a process id, so that `a` does not sweep what `a-1` builds. */
function isLeftOver(entry: string, prefix: string): boolean {
  return entry.startsWith(prefix) && /^\d+$/.test(entry.slice(prefix.length));
}

async function writeDurably(path: string, bytes: Buffer | string): Promise<void> {
  const file = await open(path, 'w', 0o644);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** One part of a track: a fragmented MP4 whose fragments become segments, and the shot that they belong to. */
export type TrackPart = { readonly file: string; readonly shotOf: (startTicks: number) => number };

/** What every track has. */
export type BuiltTrack = Pick<
  Title['audio'][number],
  'id' | 'codec' | 'peakBandwidthBps' | 'averageBandwidthBps' | 'initUrl' | 'initBytes' | 'timescale' | 'segments'
>;

/**
 * Writes a track's init segment, segments and playlist: the parts one after the other, fragments moved in time, nothing
 * encoded again. Throws ENCODER_INIT_DIFFERS when the parts cannot share one init segment.
 */
export async function writeTrack(folder: PackageFolder, id: string, parts: readonly TrackPart[]): Promise<BuiltTrack> {
  let init: Buffer | undefined;
  let timescale = 0;
  let baseTicks = 0;
  const segments: TitleSegment[] = [];
  for (const part of parts) {
    const parsed = parseFragmented(await readFile(part.file));
    if (init !== undefined) requireSameInit(id, init, parsed.init);
    init ??= parsed.init;
    timescale = parsed.timescale;
    for (const fragment of parsed.fragments) {
      const number = segments.length + 1;
      const url = `${id}/${String(number).padStart(5, '0')}.m4s`;
      const segment = describe(fragment, { url, startTicks: baseTicks, shot: part.shotOf(baseTicks) });
      await folder.write(url, rebaseFragment(fragment.bytes, { sequence: number, baseTicks }));
      segments.push(segment);
      baseTicks += fragment.ticks;
    }
  }
  assert(init !== undefined, 'a track has at least one part');
  const initUrl = `${id}/init.mp4`;
  await folder.write(initUrl, init);
  const timed = { timescale, segments };
  const track: BuiltTrack = {
    id,
    codec: codecString(init),
    peakBandwidthBps: peakBandwidthBps(timed),
    averageBandwidthBps: averageBandwidthBps(timed),
    initUrl,
    initBytes: init.length,
    timescale,
    segments,
  };
  await folder.write(mediaPlaylistUrl(track), writeMedia(track));
  return track;
}

function describe(fragment: Fragment, at: Pick<TitleSegment, 'url' | 'startTicks' | 'shot'>): TitleSegment {
  return { ...at, ticks: fragment.ticks, bytes: fragment.bytes.length };
}

function requireSameInit(id: string, init: Buffer, other: Buffer): void {
  const differing = differingBoxes(init, other);
  if (differing.length === 0) return;
  throw new EncoderError(
    'ENCODER_INIT_DIFFERS',
    `shots of ${id} need different init segments: ${differing.join(', ')}; take that codec or preset from the job`,
  );
}

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

async function* readAll(folder: string, names: readonly string[]): AsyncGenerator<Buffer> {
  for (const name of names) {
    for await (const chunk of createReadStream(join(folder, name))) {
      // A stream without an encoding gives buffers.
      yield chunk as Buffer;
    }
  }
}

/** Holds the segments against title.json. Throws ENCODER_CHECK_FAILED naming the first problems. */
export async function checkPromises(folder: PackageFolder, title: Title, maxSegmentSeconds: number): Promise<void> {
  const facts = new Map<string, SegmentFacts>();
  for (const track of [...title.renditions, ...title.audio]) {
    const init = await readFile(join(folder.path, track.initUrl));
    for (const { url } of track.segments) facts.set(url, inspectSegment(init, await readFile(join(folder.path, url))));
  }
  const problems = checkTitle({ title, facts, maxSegmentSeconds });
  if (problems.length === 0) return;
  const first = problems.slice(0, 3).map((problem) => `${problem.where}: ${problem.message}`);
  throw new EncoderError('ENCODER_CHECK_FAILED', `${problems.length} problems, the first: ${first.join('; ')}`);
}

/** A title that has no hash yet. */
export type UnnamedTitle = Omit<Title, 'hash'>;

/**
 * Writes manifests and title.json, and gives the finished title. The hash covers every file; title.json, which holds it,
 * counts with an empty hash and no cost, so that two hosts with the same tools give a package the same name.
 */
export async function finishPackage(folder: PackageFolder, unnamed: UnnamedTitle): Promise<Title> {
  const blank: Title = { ...unnamed, hash: '', cost: { cpuSeconds: 0 } };
  await folder.write('master.m3u8', writeMultivariant(blank, ''));
  await folder.write('manifest.mpd', writeMpd(blank, ''));
  const own = createHash('sha256').update(JSON.stringify(blank)).digest('hex');
  const hash = packageHash([...folder.files, { path: 'title.json', sha256: own }]);
  const title: Title = { ...unnamed, hash };
  await writeDurably(join(folder.path, 'title.json'), `${JSON.stringify(title)}\n`);
  return title;
}

/**
 * Renames the package to publishTo/ID/HASH and points the title's playlists to it; the same package published before
 * stays as it is. Gives the final folder.
 */
export async function publish(folder: PackageFolder, publishTo: string, title: Title): Promise<string> {
  const parent = join(publishTo, title.id);
  const target = join(parent, title.hash);
  await mkdir(parent, { recursive: true });
  for (const name of new Set(folder.files.map((file) => dirname(join(folder.path, file.path))))) await syncFolder(name);
  if ((await readTitle(target)) !== undefined) await rm(folder.path, { recursive: true, force: true });
  else {
    await rm(target, { recursive: true, force: true });
    await rename(folder.path, target);
    await syncFolder(parent);
  }
  await point(publishTo, title);
  return target;
}

const asideOf = (path: string): string => `${path}.replaced`;

/**
 * Renames `from` to `path`, whatever is there. The old folder goes aside first and comes back when that fails; a kill
 * between the two renames leaves it aside, for restoreFolder.
 */
export async function replaceFolder(from: string, path: string): Promise<void> {
  await rm(asideOf(path), { recursive: true, force: true });
  await ignoreMissing(rename(path, asideOf(path)));
  try {
    await rename(from, path);
  } catch (error) {
    await ignoreMissing(rename(asideOf(path), path));
    throw error;
  }
  await syncFolder(dirname(path));
  await rm(asideOf(path), { recursive: true, force: true });
}

/** Puts a folder back that a killed replaceFolder left aside. */
export async function restoreFolder(path: string): Promise<void> {
  const isThere = await readdir(path).then(
    () => true,
    () => false,
  );
  if (!isThere) await ignoreMissing(rename(asideOf(path), path));
}

async function ignoreMissing(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT')) throw error;
  });
}

/** title.json of a finished package; undefined where there is none that can be read. */
export async function readTitle(path: string): Promise<Title | undefined> {
  const text = await readFile(join(path, 'title.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return titleSchema.parse(JSON.parse(text));
  } catch {
    // Not ours or damaged: the package counts as missing and is built anew.
    return undefined;
  }
}

/** Writes the title's short-lived playlists and latest.json, each in one rename. */
export async function point(publishTo: string, title: Title): Promise<void> {
  const parent = join(publishTo, title.id);
  const prefix = `${title.hash}/`;
  const latest = { version: CONTRACT_VERSION, id: title.id, hash: title.hash };
  const pointers = [
    ['master.m3u8', writeMultivariant(title, prefix)],
    ['manifest.mpd', writeMpd(title, prefix)],
    ['latest.json', `${JSON.stringify(latest)}\n`],
  ] as const;
  for (const [name, text] of pointers) {
    const temporary = join(parent, `.${name}-${process.pid}`);
    await writeDurably(temporary, text);
    await rename(temporary, join(parent, name));
  }
  await syncFolder(parent);
}
