// Feeds damaged files to the encoder's own way in, and sorts what comes back.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXIT } from '../../encoder/contract.ts';
import { EncoderError, EXIT_OF } from '../../encoder/errors.ts';
import type { FfmpegTool } from '../../encoder/ffmpeg/find.ts';
import { probe } from '../../encoder/ffmpeg/probe.ts';
import { openFfmpeg } from '../../encoder/ffmpeg/run.ts';
import { findShots } from '../../encoder/ffmpeg/shots.ts';
import { mutate } from './mutate.ts';

/** How many cases, from which seed on, how many at once; every so many of them are decoded as well. */
export type FuzzOptions = {
  readonly cases: number;
  readonly seed: number;
  readonly parallel: number;
  readonly decodeEvery: number;
};

/** Count by code, `fine` for what was taken; `wrong` names each case that did not end as bad input does. */
export type FuzzResult = { readonly counts: Readonly<Record<string, number>>; readonly wrong: readonly string[] };

/** Runs the cases, seeds of `seeds` in turn. */
export async function fuzz(
  tool: FfmpegTool,
  { folder, seeds }: { readonly folder: string; readonly seeds: ReadonlyMap<string, Buffer> },
  { cases, seed, parallel, decodeEvery }: FuzzOptions,
): Promise<FuzzResult> {
  const signal = new AbortController().signal;
  const ffmpeg = openFfmpeg(tool, { parallel, threads: 1, stallMs: 20_000, signal });
  const names = [...seeds.keys()];
  const counts: Record<string, number> = {};
  const wrong: string[] = [];
  const run = async (number: number): Promise<string> => {
    const name = names[number % names.length] ?? '';
    const path = join(folder, `case-${number}-${name}`);
    writeFileSync(path, mutate(seeds.get(name) ?? Buffer.alloc(0), number));
    try {
      const source = await probe(tool, { input: path, maxPixels: 1_000_000, maxSeconds: 60, signal });
      if (number % decodeEvery === 0) await findShots(ffmpeg, source, () => undefined);
      return 'fine';
    } catch (error) {
      if (error instanceof EncoderError && EXIT_OF[error.code] === EXIT.badInput) return error.code;
      wrong.push(`seed ${number} of ${name}: ${String(error)}`);
      return 'wrong';
    } finally {
      rmSync(path, { force: true });
    }
  };
  let next = seed;
  const worker = async (): Promise<void> => {
    while (next < seed + cases) {
      const code = await run(next++);
      counts[code] = (counts[code] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return { counts, wrong };
}
