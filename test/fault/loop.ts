// A file system of its own in an image file, mounted by a loop device, that can lose its power: `xfs_io -c shutdown` stops
// all writing at once, without a flush, and what was only in memory is gone with the umount.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A mounted file system. */
export type LoopDisk = {
  /** Where it is mounted. */
  readonly path: string;
  /** What the kernel does at moments of its own: writes all that is dirty. */
  readonly writeBack: () => void;
  /** From now on every read and write of it fails, and what was not on disk never comes there. */
  readonly cutPower: () => void;
  /** Mounts it again after a cut; whoever had files of it open must have closed them, or `isLazy`. */
  readonly restore: (how?: { readonly isLazy?: boolean }) => void;
  readonly remove: () => void;
};

const run = (program: string, ...args: readonly string[]): void => {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
};

/** Why no such file system can be had here; undefined when it can. */
export function loopMissing(directory: string): string | undefined {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  for (const program of ['mkfs.xfs', 'xfs_io', 'mount']) {
    if (spawnSync(program, ['-V']).error !== undefined) return `${program} is not installed (xfsprogs)`;
  }
  try {
    openLoopDisk(directory, 320).remove();
    return undefined;
  } catch (error) {
    return `a loop mount of xfs failed: ${error instanceof Error ? error.message.trim() : String(error)}`;
  }
}

/** Makes one of `mib` MiB (xfs needs 300) below a directory. Throws what the programs say. */
export function openLoopDisk(directory: string, mib: number): LoopDisk {
  const image = join(directory, 'image');
  const path = join(directory, 'mounted');
  writeFileSync(image, '');
  truncateSync(image, mib * 1024 * 1024);
  mkdirSync(path, { recursive: true });
  run('mkfs.xfs', '-q', '-f', image);
  const mount = (): void => run('mount', '-o', 'loop', image, path);
  mount();
  return {
    path,
    writeBack: () => run('sync', '-f', path),
    cutPower: () => run('xfs_io', '-x', '-c', 'shutdown', path),
    restore: ({ isLazy = false } = {}) => {
      run('umount', ...(isLazy ? ['-l'] : []), path);
      mount();
    },
    remove: () => run('umount', '-l', path),
  };
}
