// Published packages on disk: what every title's newest one is, kept in memory and looked at again in the background, so
// that who lists titles waits for no file.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../cache/cache.ts';
import { latestSchema, type Title, titleSchema } from '../encoder/contract.ts';
import { MAX_SIDECAR_BYTES, type Overrides, parseSidecar } from './preview/sidecar.ts';
import { remember } from './remember.ts';
import { isTitleId } from './telemetry/event.ts';

/** The newest published package of a title. */
export type Package = {
  readonly hash: string;
  readonly title: Title;
  /** Path on the viewer listener of the package folder, with a slash at its end: `/titles/ID/HASH/`. */
  readonly baseUrl: string;
  /** What the operator says of its preview, in preview.json beside the pointer. */
  readonly overrides?: Overrides;
};

/** What is kept in memory of every package. */
export type Published = Pick<Package, 'hash' | 'baseUrl'> & {
  readonly name: string;
  readonly durationSeconds: number;
  /** Path on the viewer listener. */
  readonly poster: string;
  /** Path on the viewer listener of the page that tells how it was encoded; absent where there is none. */
  readonly report?: string;
};

/** The packages of a publish folder. Nothing here rejects: a package that breaks its contract is logged, and is none. */
export type Packages = {
  /** From memory. */
  readonly published: (id: string) => Published | undefined;
  /** The whole package: from memory when it was asked for lately, else read. */
  readonly package: (id: string) => Promise<Package | undefined>;
  /** Looks at one title's pointer now. */
  readonly refresh: (id: string) => Promise<Package | undefined>;
  /** Looks for new titles, and at the next LOOKED_AT of the known ones; true when something is different now. */
  readonly look: () => Promise<boolean>;
};

/** Largest files that are read, bytes. */
const MAX_BYTES = 32 * 1024 * 1024;
/** Whole packages kept in memory; the one read first leaves first. */
const MAX_WHOLE = 256;
/** Pointers of known titles that one look compares: some 10 ms of the main thread. */
const LOOKED_AT = 500;
/** Beside the pointer. */
const SIDECAR = 'preview.json';
/** Files read at once. */
const PARALLEL = 4;

/** What tells one version of a file from another; '' when there is none. */
export async function stampOf(file: string): Promise<string> {
  const found = await stat(file).catch(() => undefined);
  return found === undefined ? '' : `${found.ino} ${found.mtimeMs} ${found.size}`;
}

async function readJson(file: string): Promise<unknown> {
  if ((await stat(file)).size > MAX_BYTES) throw new Error(`${file} is larger than ${MAX_BYTES} bytes`);
  return JSON.parse(await readFile(file, 'utf8'));
}

function summaryOf({ hash, baseUrl, title }: Package): Published {
  const poster = new URL(title.images.poster, `http://node${baseUrl}`).pathname;
  return { hash, baseUrl, name: title.name, durationSeconds: title.durationSeconds, poster };
}

/** What is known of one title's pointer: its stamp when it was read, and what stood behind it. */
type Known = { readonly stamp: string; readonly summary: Published | undefined };

class PublishFolder {
  readonly #options: PackagesOptions;
  readonly #known = new Map<string, Known>();
  readonly #whole = new Map<string, Package>();
  readonly #reading = new Map<string, Promise<Package | undefined>>();
  #next = 0;

  constructor(options: PackagesOptions) {
    this.#options = options;
  }

  readonly published = (id: string): Published | undefined => this.#known.get(id)?.summary;

  readonly package = async (id: string): Promise<Package | undefined> => {
    const whole = this.#whole.get(id);
    if (whole !== undefined) return whole;
    const known = this.#known.get(id);
    return known !== undefined && known.summary === undefined ? undefined : this.refresh(id);
  };

  readonly refresh = (id: string): Promise<Package | undefined> => {
    if (!isTitleId(id)) return Promise.resolve(undefined);
    const before = this.#reading.get(id) ?? Promise.resolve(undefined);
    // Behind a reading under way: it may have begun before what the caller knows to be there.
    const reading = before
      .then(() => this.#refresh(id))
      .finally(() => {
        if (this.#reading.get(id) === reading) this.#reading.delete(id);
      });
    this.#reading.set(id, reading);
    return reading;
  };

  async #refresh(id: string): Promise<Package | undefined> {
    const stamp = await this.#stamp(id);
    const known = this.#known.get(id);
    const whole = this.#whole.get(id);
    if (known?.stamp === stamp && (whole !== undefined || known.summary === undefined)) return whole;
    const found = stamp === '' ? undefined : await this.#read(id);
    const hasReport = (await stampOf(join(this.#options.publishDir, id, 'report.html'))) !== '';
    const report = hasReport ? { report: `${this.#options.publishPath}${id}/report.html` } : {};
    this.#whole.delete(id);
    if (stamp === '') this.#known.delete(id);
    else this.#known.set(id, { stamp, summary: found === undefined ? undefined : { ...summaryOf(found), ...report } });
    if (found === undefined) return undefined;
    remember(this.#whole, id, found, MAX_WHOLE);
    return found;
  }

  /** Of the pointer, and of the sidecar where there is one. */
  async #stamp(id: string): Promise<string> {
    const folder = join(this.#options.publishDir, id);
    const [pointer, sidecar] = await Promise.all(['latest.json', SIDECAR].map((name) => stampOf(join(folder, name))));
    return pointer === '' || sidecar === '' ? (pointer ?? '') : `${pointer} ${sidecar}`;
  }

  /** A sidecar that cannot be used is logged, and as none: the title's own cuts go on. */
  async #readOverrides(id: string): Promise<{ readonly overrides?: Overrides }> {
    const file = join(this.#options.publishDir, id, SIDECAR);
    try {
      const { size } = await stat(file).catch(() => ({ size: 0 }));
      if (size === 0) return {};
      if (size > MAX_SIDECAR_BYTES) throw new Error(`preview.json is larger than ${MAX_SIDECAR_BYTES} bytes`);
      return { overrides: parseSidecar(await readFile(file, 'utf8')) };
    } catch (error) {
      this.#options.log('warn', 'preview.bad_sidecar', { title: id, error });
      return {};
    }
  }

  async #read(id: string): Promise<Package | undefined> {
    const { publishDir, publishPath, log } = this.#options;
    try {
      const { hash } = latestSchema.parse(await readJson(join(publishDir, id, 'latest.json')));
      if (!/^[0-9a-f]{16,64}$/.test(hash)) throw new Error('latest.json: "hash" is not a hash');
      const title = titleSchema.parse(await readJson(join(publishDir, id, hash, 'title.json')));
      if (title.id !== id || title.hash !== hash)
        throw new Error('title.json: "id" and "hash" are not those of its folder');
      return { hash, title, baseUrl: `${publishPath}${id}/${hash}/`, ...(await this.#readOverrides(id)) };
    } catch (error) {
      log('warn', 'catalogue.bad_package', { title: id, error });
      return undefined;
    }
  }

  /** Whether that title's pointer is another than before. */
  async #check(id: string): Promise<boolean> {
    const before = this.#known.get(id);
    if (before !== undefined && (await this.#stamp(id)) === before.stamp) return false;
    await this.refresh(id);
    return this.#known.get(id)?.stamp !== before?.stamp;
  }

  readonly look = async (): Promise<boolean> => {
    // A folder that is not there yet is an empty one.
    const names = await readdir(this.#options.publishDir).catch(() => []);
    const known = [...this.#known.keys()];
    const from = known.length <= LOOKED_AT ? 0 : this.#next % known.length;
    this.#next = from + LOOKED_AT;
    const again = [...known.slice(from), ...known.slice(0, from)].slice(0, LOOKED_AT);
    const left = [...names.filter((name) => isTitleId(name) && !this.#known.has(name)), ...again];
    let isChanged = false;
    const checkNext = async (): Promise<void> => {
      for (let id = left.pop(); id !== undefined; id = left.pop()) if (await this.#check(id)) isChanged = true;
    };
    await Promise.all(Array.from({ length: PARALLEL }, checkNext));
    return isChanged;
  };
}

/** What openPackages() needs. */
export type PackagesOptions = {
  readonly publishDir: string;
  /** Path on the viewer listener under which publishDir is served, with slashes at both ends. */
  readonly publishPath: string;
  readonly log: Log;
};

/** Opens a publish folder; nothing of it is known before look() or package(). */
export function openPackages(options: PackagesOptions): Packages {
  return new PublishFolder(options);
}
