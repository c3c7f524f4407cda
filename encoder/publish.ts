// The package folder, built beside its final place: opened, finished with playlists and its hash, renamed in whole, and
// pointed to.
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CONTRACT_VERSION, type Title, titleSchema } from './contract.ts';
import { isErrno } from './errors.ts';
import { writeMpd } from './package/dash.ts';
import { type HashedFile, packageHash } from './package/hash.ts';
import {
  iframePlaylistUrl,
  imagePlaylistUrl,
  mediaPlaylistUrl,
  writeIframes,
  writeImages,
  writeMedia,
  writeTextMedia,
} from './package/hls.ts';
import { writeMultivariant } from './package/multivariant.ts';
import { peakBandwidthBps, titleTargetSeconds } from './package/rate.ts';

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

/** A title that has no hash yet. */
export type UnnamedTitle = Omit<Title, 'hash'>;

/**
 * Writes playlists, manifest and title.json, and gives the finished title. The hash covers every file; title.json, which
 * holds it, counts with an empty hash and no cost, so that two hosts with the same tools give a package the same name.
 */
export async function finishPackage(folder: PackageFolder, unnamed: UnnamedTitle): Promise<Title> {
  const target = titleTargetSeconds([...unnamed.renditions, ...unnamed.audio]);
  // Peaks are over the target duration that all playlists share, which is known only now.
  const rated = <Track extends Title['renditions'][number] | Title['audio'][number]>(track: Track): Track => {
    return { ...track, peakBandwidthBps: peakBandwidthBps(track, target) };
  };
  const whole = { ...unnamed, renditions: unnamed.renditions.map(rated), audio: unnamed.audio.map(rated) };
  const blank: Title = { ...whole, hash: '', cost: { cpuSeconds: 0 } };
  for (const [url, text] of playlistsOf(blank, target)) await folder.write(url, text);
  const own = createHash('sha256').update(JSON.stringify(blank)).digest('hex');
  const hash = packageHash([...folder.files, { path: 'title.json', sha256: own }]);
  const title: Title = { ...whole, hash };
  await writeDurably(join(folder.path, 'title.json'), `${JSON.stringify(title)}\n`);
  return title;
}

/** Every playlist of a title by its URL in the package folder. */
function playlistsOf(title: Title, targetSeconds: number): readonly (readonly [url: string, text: string])[] {
  const { renditions, audio, text, images, durationSeconds } = title;
  const iframes = renditions.flatMap((rendition) => {
    const playlist = writeIframes(rendition, targetSeconds);
    return playlist === undefined ? [] : [[iframePlaylistUrl(rendition), playlist] as const];
  });
  const { trickplay } = images;
  return [
    ...[...renditions, ...audio].map((track) => [mediaPlaylistUrl(track), writeMedia(track, targetSeconds)] as const),
    ...iframes,
    ...text.map((track) => [mediaPlaylistUrl(track), writeTextMedia(track)] as const),
    ...(trickplay === undefined
      ? []
      : [[imagePlaylistUrl(trickplay), writeImages(trickplay, durationSeconds)] as const]),
    ['master.m3u8', writeMultivariant(title, '')],
    ['manifest.mpd', writeMpd(title, '')],
  ];
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
