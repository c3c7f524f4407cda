// What earlier runs of a job found out: an append-only NDJSON file, each record under a key made of everything that
// determines it, so that a killed job goes on and a repeated one costs nothing.
import { createHash } from 'node:crypto';
import { appendFile, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EncoderError, isErrno } from './errors.ts';

/** Format of the records; others are not read. */
const JOURNAL_VERSION = 1;

/** Results by key. */
export type Journal = {
  /** The result under the key, exactly as it was added, or undefined. The caller knows its type from what it keyed. */
  readonly find: <Result>(key: string) => Result | undefined;
  /** Appends one record; it is found by later runs once this resolves. */
  readonly add: (key: string, result: unknown) => Promise<void>;
};

/** Key of a result: SHA-256 (half of it, hexadecimal) over all that it depends on. Order of object keys counts. */
export function keyOf(...parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}

/** Opens the journal in a folder. Lines that a crash cut short are left out; the last record of a key counts. */
export async function openJournal(folder: string): Promise<Journal> {
  const path = join(folder, 'journal.ndjson');
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return '';
    throw error;
  });
  const found = new Map<string, unknown>();
  for (const line of text.split('\n')) {
    const record = readRecord(line);
    if (record !== undefined) found.set(record.key, record.result);
  }
  // A cut last line must not swallow the next record.
  if (text !== '' && !text.endsWith('\n')) await appendFile(path, '\n');
  return {
    // Written by add under the same key, by the same version of this program.
    find: <Result>(key: string) => found.get(key) as Result | undefined,
    add: async (key, result) => {
      await appendFile(path, `${JSON.stringify({ version: JOURNAL_VERSION, key, result })}\n`);
      found.set(key, result);
    },
  };
}

function readRecord(line: string): { key: string; result: unknown } | undefined {
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record !== 'object' || record === null || !('key' in record) || !('result' in record)) return undefined;
    if (!('version' in record) || record.version !== JOURNAL_VERSION || typeof record.key !== 'string')
      return undefined;
    return { key: record.key, result: record.result };
  } catch {
    // A line that is no JSON was cut by a crash: its work is done again.
    return undefined;
  }
}

/**
 * Takes a folder for this process; gives the function that releases it. Throws ENCODER_BUSY when a living process holds
 * it. A lock whose holder is gone is taken over.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'lock');
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const file = await open(path, 'wx');
      await file.writeFile(`${process.pid}\n`);
      await file.close();
      return () => rm(path, { force: true });
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
    const holder = Number(await readFile(path, 'utf8').catch(() => ''));
    if (holder > 0 && isAlive(holder)) {
      throw new EncoderError('ENCODER_BUSY', `process ${holder} works in ${folder}: give each job its own outDir`);
    }
    await rm(path, { force: true });
  }
  throw new EncoderError('ENCODER_BUSY', `${folder} is being taken by several processes: give each job its own outDir`);
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return isErrno(error, 'EPERM');
  }
}
