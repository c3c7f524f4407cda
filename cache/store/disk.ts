// Body files of one directory: written in blocks as they come, synced in batches, read block by block, swept at start.
import { type FileHandle, mkdir, open, readdir, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** Objects whose bodies share one subdirectory, so that a batch has few directories to sync. */
const PER_DIRECTORY = 1024;
/** Open files kept for the next read. */
const IDLE_HANDLES = 128;

/** Path of a body below the store's directory: `bodies/<id / 1024>/<id % 1024>` in hexadecimal. */
export function bodyPath(id: number): { readonly directory: string; readonly name: string } {
  return {
    directory: join('bodies', Math.floor(id / PER_DIRECTORY).toString(16)),
    name: (id % PER_DIRECTORY).toString(16).padStart(3, '0'),
  };
}

/** The inverse of bodyPath for names found on disk; undefined for names that this code never gives. */
function idOf(directory: string, name: string): number | undefined {
  if (!/^[0-9a-f]{1,11}$/.test(directory) || !/^[0-3][0-9a-f]{2}$/.test(name)) return undefined;
  return Number.parseInt(directory, 16) * PER_DIRECTORY + Number.parseInt(name, 16);
}

/** An open body. */
export type HeldBody = {
  /**
   * Fills `target` from `offset` on. False when the file has another length than it should: then it is not the file
   * that was written.
   */
  readonly read: (offset: number, target: Buffer) => Promise<boolean>;
  readonly release: () => void;
};

type Handle = { readonly opening: Promise<FileHandle>; users: number; isForgotten: boolean };

/** Body files below `root`. Every rejection is what the file system says; judging it is the volume's. */
export class Disk {
  readonly root: string;
  readonly #handles = new Map<number, Handle>();

  constructor(root: string) {
    this.root = root;
  }

  path(id: number): string {
    const { directory, name } = bodyPath(id);
    return join(this.root, directory, name);
  }

  /** A new empty body file; rejects with EEXIST when the name is taken. */
  async create(id: number): Promise<FileHandle> {
    try {
      return await open(this.path(id), 'wx');
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      await mkdir(join(this.root, bodyPath(id).directory), { recursive: true });
      return await open(this.path(id), 'wx');
    }
  }

  /** Syncs the names of these bodies: their subdirectories, the directory that holds those, and the root. */
  async syncNames(ids: Iterable<number>): Promise<void> {
    const directories = new Set<string>();
    for (const id of ids) directories.add(bodyPath(id).directory);
    if (directories.size > 0) directories.add('bodies').add('.');
    for (const directory of directories) {
      const handle = await open(join(this.root, directory), 'r');
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }
  }

  /** Holds a body open, also when it is removed meanwhile, until release(), which may be called once. */
  hold(id: number, lengthBytes: number): HeldBody {
    const handle = this.#acquire(id, lengthBytes);
    return {
      read: (offset, target) => this.#read(id, handle, { offset, target }),
      release: () => {
        handle.users -= 1;
        if (handle.users === 0 && handle.isForgotten) closeQuietly(handle.opening);
        this.#trim();
      },
    };
  }

  async #read(id: number, handle: Handle, at: { readonly offset: number; readonly target: Buffer }): Promise<boolean> {
    try {
      const file = await handle.opening;
      let filled = 0;
      while (filled < at.target.length) {
        const rest = at.target.length - filled;
        const { bytesRead } = await file.read(at.target, filled, rest, at.offset + filled);
        if (bytesRead === 0) return false;
        filled += bytesRead;
      }
      return true;
    } catch (error) {
      if (this.#handles.get(id) === handle) this.forget(id);
      if (error === WRONG_LENGTH) return false;
      throw error;
    }
  }

  #acquire(id: number, lengthBytes: number): Handle {
    const handle = this.#handles.get(id) ?? {
      opening: openSized(this.path(id), lengthBytes),
      users: 0,
      isForgotten: false,
    };
    this.#handles.delete(id);
    this.#handles.set(id, handle);
    handle.users += 1;
    return handle;
  }

  /** Closes the oldest handles that nobody uses, beyond what is kept. */
  #trim(): void {
    for (const [id, handle] of this.#handles) {
      if (this.#handles.size <= IDLE_HANDLES) return;
      if (handle.users === 0) this.forget(id);
    }
  }

  /** Lets go of an open file; readers in the middle of it end first. */
  forget(id: number): void {
    const handle = this.#handles.get(id);
    if (handle === undefined) return;
    this.#handles.delete(id);
    handle.isForgotten = true;
    if (handle.users === 0) closeQuietly(handle.opening);
  }

  /** Removes a body; one that is not there is as good. */
  async remove(id: number): Promise<void> {
    this.forget(id);
    try {
      await unlink(this.path(id));
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }

  /**
   * Removes every file below bodies/ that is nobody's, and what was never a body; gives how many. `known` gives the ids
   * that are somebody's among `low` to below `high`; undefined: leave all of them.
   */
  async sweep(known: (low: number, high: number) => ReadonlySet<number> | undefined): Promise<number> {
    let removed = 0;
    const bodies = join(this.root, 'bodies');
    for (const directory of await readdir(bodies)) {
      const path = join(bodies, directory);
      const names = await readdir(path).catch((error: unknown) => {
        if (errorCode(error) === 'ENOTDIR') return [];
        throw error;
      });
      const low = idOf(directory, '000');
      const ids = low === undefined ? new Set<number>() : known(low, low + PER_DIRECTORY);
      if (ids === undefined) continue;
      for (const name of names) {
        const id = idOf(directory, name);
        if (id !== undefined && ids.has(id)) continue;
        await rm(join(path, name), { recursive: true, force: true });
        removed += 1;
      }
    }
    return removed;
  }

  /** Closes every open file. */
  close(): void {
    for (const id of [...this.#handles.keys()]) this.forget(id);
  }
}

const WRONG_LENGTH = new Error('a body file has another length than its row says');

async function openSized(path: string, lengthBytes: number): Promise<FileHandle> {
  const file = await open(path, 'r');
  const { size } = await file.stat().catch(async (error: unknown) => {
    await file.close();
    throw error;
  });
  if (size === lengthBytes) return file;
  await file.close();
  throw WRONG_LENGTH;
}

function closeQuietly(opening: Promise<FileHandle>): void {
  // A failed opening left nothing to close, and a failed close loses nothing, for the file was only read.
  opening.then((file) => file.close()).catch(() => undefined);
}

/** The system's name of an error, such as ENOSPC; undefined when it has none. */
export const errorCode = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
