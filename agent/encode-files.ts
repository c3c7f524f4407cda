// Jobs of the encode queue on disk: a file each, the job as the encoder takes it and beside it what only the queue needs.
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../cache/cache.ts';
import { type EncodeJobInput, jobSchema } from '../encoder/contract.ts';

/** A job and what the queue keeps of it. */
export type Kept = {
  readonly job: EncodeJobInput;
  /** It runs whether it pays or not. */
  readonly isForced: boolean;
  /** Milliseconds since the epoch. */
  readonly submittedAt: number;
  /** What fetching its source costs. */
  sourceBytes: number;
};

/** Writes a job in one rename. Rejects with the system's error. */
export async function writeJob(path: string, { job, isForced, submittedAt, sourceBytes }: Kept): Promise<void> {
  await writeFile(`${path}.tmp`, JSON.stringify({ ...job, queue: { isForced, submittedAt, sourceBytes } }));
  await rename(`${path}.tmp`, path);
}

/** The jobs of a folder by name; a file that holds none is logged and left. */
export async function readJobs(dir: string, { log }: { readonly log: Log }): Promise<readonly Kept[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.json')).sort();
  const jobs: Kept[] = [];
  for (const name of names) {
    try {
      const path = join(dir, name);
      const value: unknown = JSON.parse(await readFile(path, 'utf8'));
      jobs.push({ job: jobSchema.parse(value), ...queueOf(value, (await stat(path)).mtimeMs) });
    } catch (error) {
      log('warn', 'encode.job-unreadable', { file: name, message: String(error) });
    }
  }
  return jobs.sort((one, other) => one.submittedAt - other.submittedAt);
}

/** What the queue wrote beside a job; a file without it is by another hand, and runs in its turn. */
function queueOf(value: unknown, writtenAt: number): Omit<Kept, 'job'> {
  const queue = typeof value === 'object' && value !== null && 'queue' in value ? value.queue : undefined;
  const read = (key: string): unknown =>
    typeof queue === 'object' && queue !== null ? Object.getOwnPropertyDescriptor(queue, key)?.value : undefined;
  const number = (key: string, otherwise: number): number => {
    const found = read(key);
    return typeof found === 'number' && Number.isFinite(found) && found >= 0 ? found : otherwise;
  };
  return {
    isForced: read('isForced') !== false,
    submittedAt: number('submittedAt', writtenAt),
    sourceBytes: number('sourceBytes', 0),
  };
}
