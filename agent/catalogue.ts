// The catalogue: what the publisher says of its titles, and where the newest package of each one lies.
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { Log } from '../cache/cache.ts';
import { SOURCE_CLASSES } from '../encoder/contract.ts';
import { AgentError } from './errors.ts';
import { openPackages, type Packages, stampOf } from './packages.ts';
import { isTitleId } from './telemetry/event.ts';

/** One line of the catalogue. Only `id` must be there; what a line does not say is unknown. */
export type CatalogueTitle = {
  readonly id: string;
  readonly name?: string;
  /** What this node may be given to encode; `sealed` is under DRM: never encoded here. */
  readonly source?: (typeof SOURCE_CLASSES)[number];
  /** URL or path of the playable manifest. */
  readonly manifestUrl?: string;
  readonly durationSeconds?: number;
  readonly series?: string;
  readonly season?: number;
  readonly episode?: number;
  /** Title that follows this one. */
  readonly nextId?: string;
  /** Milliseconds since the epoch. */
  readonly releaseAt?: number;
  readonly genres?: readonly string[];
  readonly people?: readonly string[];
  /** Purpose -> URL. */
  readonly images?: Readonly<Record<string, string>>;
};

/** An open catalogue. What is synchronous answers from memory. */
export type Catalogue = Omit<Packages, 'look'> & {
  readonly title: (id: string) => CatalogueTitle | undefined;
  /** In the order of the file. */
  readonly titles: () => readonly CatalogueTitle[];
  /** The title that a request path belongs to: by the folders of manifests, or titlePattern where that is deeper. */
  readonly titleOf: (path: string) => string | undefined;
  /** The folder of a title that a request path lies in, with a slash at its end; undefined when it is of no title. */
  readonly rootOf: (path: string) => string | undefined;
  /**
   * Adds a line, or writes these keys over those of the line of the same id, atomically; keys that only the line has
   * stay. Rejects with AGENT_CATALOGUE_WRITE.
   */
  readonly append: (entry: CatalogueTitle) => Promise<void>;
  /** Looks whether the file or a package pointer has changed; true when something is different now. */
  readonly reload: () => Promise<boolean>;
  readonly stats: () => { readonly titles: number; readonly badLines: number; readonly reloads: number };
  readonly close: () => void;
};

/** Largest file that is read, bytes. */
const MAX_CATALOGUE_BYTES = 64 * 1024 * 1024;
/** Lines read in one turn of the event loop. */
const LINES_A_TURN = 500;
/** A start waits this long for the packages that are there; the others are known a little later. */
const FIRST_LOOK_MS = 2_000;
/** Longest path that is matched against titlePattern, characters. */
const MAX_PATH_LENGTH = 2048;
/** Folders above a path that are looked up. */
const MAX_DEPTH = 16;
/** Bad lines that one reading names in the log; all are counted. */
const MAX_NAMED_LINES = 20;

/** What openCatalogue() needs. */
export type CatalogueOptions = {
  readonly file: string;
  /** Regular expression with a group `title`, matched against request paths. */
  readonly titlePattern: string;
  readonly publishDir: string;
  /** Path on the viewer listener under which publishDir is served, with slashes at both ends. */
  readonly publishPath: string;
  /** How often the files are looked at; undefined: only reload() does. */
  readonly reloadMs?: number;
  readonly log: Log;
};

/**
 * Opens a catalogue; a file that is not there yet is an empty one. Rejects with a SyntaxError for a titlePattern that is
 * none.
 */
export async function openCatalogue(options: CatalogueOptions): Promise<Catalogue> {
  const pattern = new RegExp(options.titlePattern);
  const packages = openPackages(options);
  const counts = { badLines: 0, reloads: 0 };
  let titles: ReadonlyMap<string, CatalogueTitle> = new Map();
  let folders: Folders = new Map();
  let stamp = '';
  let writing: Promise<void> = Promise.resolve();
  let reading: Promise<boolean> = Promise.resolve(false);

  const readFileAnew = async (): Promise<boolean> => {
    const seen = await stampOf(options.file);
    if (seen === stamp) return false;
    stamp = seen;
    const read = await readLines(options);
    titles = read.titles;
    folders = foldersOf(titles);
    counts.badLines = read.badLines;
    counts.reloads += 1;
    return true;
  };
  // One after the other, so that what a caller has just written is seen by the look that it waits for.
  const inTurn = (look: () => Promise<boolean>): Promise<boolean> => {
    reading = reading.then(look);
    return reading;
  };
  const reload = (): Promise<boolean> =>
    inTurn(async () => {
      const [isFileNew, isPackageNew] = [await readFileAnew(), await packages.look()];
      return isFileNew || isPackageNew;
    });
  await inTurn(readFileAnew);
  await Promise.race([reload(), delay(FIRST_LOOK_MS, undefined, { ref: false })]);
  const timer = options.reloadMs === undefined ? undefined : setInterval(() => void reload(), options.reloadMs);
  timer?.unref();
  const { published, package: packageOf, refresh } = packages;
  return {
    ...{ published, package: packageOf, refresh, reload },
    title: (id) => titles.get(id),
    titles: () => [...titles.values()],
    titleOf: (path) => placeOf(pattern, folders, path)?.id,
    rootOf: (path) => placeOf(pattern, folders, path)?.root,
    append: (entry) => {
      writing = writing
        .catch(() => undefined)
        .then(() => writeLine(options.file, entry))
        .then(async () => {
          await packages.refresh(entry.id);
          await inTurn(readFileAnew);
        });
      return writing;
    },
    stats: () => ({ titles: titles.size, ...counts }),
    close: () => clearInterval(timer),
  };
}

/** Folders of manifests on this node, with a slash at their end; undefined: more than one title's. */
type Folders = ReadonlyMap<string, string | undefined>;

function foldersOf(titles: ReadonlyMap<string, CatalogueTitle>): Folders {
  const folders = new Map<string, string | undefined>();
  for (const { id, manifestUrl } of titles.values()) {
    if (manifestUrl?.startsWith('/') !== true) continue;
    const path = manifestUrl.split(/[?#]/, 1)[0] ?? '';
    const folder = path.slice(0, path.lastIndexOf('/') + 1);
    if (folder !== '/') folders.set(folder, folders.has(folder) && folders.get(folder) !== id ? undefined : id);
  }
  return folders;
}

function placeOf(
  pattern: RegExp,
  folders: Folders,
  path: string,
): { readonly id: string; readonly root: string } | undefined {
  if (path.length > MAX_PATH_LENGTH) return undefined;
  const id = pattern.exec(path)?.groups?.['title'];
  const at = path.indexOf(`/${id}/`);
  const root = path.slice(0, at < 0 ? path.lastIndexOf('/') + 1 : at + `/${id}/`.length);
  const byPattern = isTitleId(id) ? { id, root } : undefined;
  let end = path.lastIndexOf('/');
  // From the deepest folder up, as far as the pattern's own.
  for (let depth = 0; depth < MAX_DEPTH && end + 1 > (byPattern?.root.length ?? 1); depth += 1) {
    const folder = path.slice(0, end + 1);
    const known = folders.get(folder);
    if (known !== undefined) return { id: known, root: folder };
    end = path.lastIndexOf('/', end - 1);
  }
  return byPattern;
}

async function readLines({ file, log }: CatalogueOptions): Promise<{
  readonly titles: ReadonlyMap<string, CatalogueTitle>;
  readonly badLines: number;
}> {
  const titles = new Map<string, CatalogueTitle>();
  let badLines = 0;
  for (const [i, line] of (await readText(file, log)).split('\n').entries()) {
    if (i % LINES_A_TURN === LINES_A_TURN - 1) await nextTurn();
    if (line.trim() === '') continue;
    const parsed = parseLine(line);
    if (typeof parsed !== 'string') {
      titles.set(parsed.id, parsed);
      continue;
    }
    badLines += 1;
    if (badLines <= MAX_NAMED_LINES) log('warn', 'catalogue.bad_line', { file, line: i + 1, reason: parsed });
  }
  return { titles, badLines };
}

async function readText(file: string, log: Log): Promise<string> {
  try {
    if ((await stat(file)).size > MAX_CATALOGUE_BYTES) throw new Error(`larger than ${MAX_CATALOGUE_BYTES} bytes`);
    return (await readFile(file, 'utf8')).replace(/^\uFEFF/, '');
  } catch (error) {
    if (isAbsent(error)) return '';
    log('error', 'catalogue.unreadable', { file, error });
    return '';
  }
}

/** A line's title, or why it is none. */
export function parseLine(line: string): CatalogueTitle | string {
  const value = parseJson(line);
  if (!isRecord(value)) return 'not a JSON object';
  const { id, releaseAt, ...rest } = value;
  if (!isTitleId(id)) return '"id" is missing or no title id (letters, digits, ".", "_", "-", at most 128)';
  const released = typeof releaseAt === 'string' ? Date.parse(releaseAt) : releaseAt;
  const fields: Readonly<Record<string, unknown>> = {
    ...rest,
    ...(released === undefined ? {} : { releaseAt: released }),
  };
  const known: Record<string, unknown> = { id };
  for (const [name, isValid] of Object.entries(FIELDS)) {
    const field = fields[name];
    if (field === undefined || field === null) continue;
    if (!isValid(field)) return `"${name}" is not what it should be`;
    known[name] = field;
  }
  // Sound: every key was checked by its entry in FIELDS, which has all of CatalogueTitle's but id.
  return known as CatalogueTitle;
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value);
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
const FIELDS: Readonly<Record<Exclude<keyof CatalogueTitle, 'id'>, (value: unknown) => boolean>> = {
  name: isText,
  source: (value) => SOURCE_CLASSES.some((known) => known === value),
  manifestUrl: isText,
  durationSeconds: (value) => typeof value === 'number' && value > 0 && Number.isFinite(value),
  series: isText,
  season: isNumber,
  episode: isNumber,
  nextId: isTitleId,
  releaseAt: isNumber,
  genres: isTexts,
  people: isTexts,
  images: (value) => isRecord(value) && Object.values(value).every(isText),
};

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON is what the caller asks about.
    return undefined;
  }
}

/** Writes the file anew with this entry: beside it, synced, then renamed over it. */
async function writeLine(file: string, entry: CatalogueTitle): Promise<void> {
  const beside = `${file}.${process.pid}.new`;
  try {
    const lines = (await readFile(file, 'utf8').catch(emptyIfAbsent)).split('\n').filter((line) => line.trim() !== '');
    await mkdir(dirname(file), { recursive: true });
    const handle = await open(beside, 'w');
    try {
      await handle.writeFile(`${withEntry(lines, entry).join('\n')}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, file);
  } catch (cause) {
    await rm(beside, { force: true }).catch(() => undefined);
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError('AGENT_CATALOGUE_WRITE', `the catalogue ${file} cannot be written (${reason})`, {
      cause,
      retryable: true,
    });
  }
}

const isAbsent = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

function emptyIfAbsent(error: unknown): string {
  if (isAbsent(error)) return '';
  throw error;
}

/** The lines with the entry in the place of its title's, whose other keys it keeps; at the end when it is new. */
function withEntry(lines: readonly string[], entry: CatalogueTitle): readonly string[] {
  const isSame = (line: string): boolean => {
    const value = parseJson(line);
    return isRecord(value) && value['id'] === entry.id;
  };
  const last = lines.findLastIndex(isSame);
  const before: unknown = parseJson(lines[last] ?? '');
  const written = JSON.stringify({ ...(isRecord(before) ? before : {}), ...entry });
  if (last < 0) return [...lines, written];
  return lines.flatMap((line, i) => (i === last ? [written] : isSame(line) ? [] : [line]));
}
