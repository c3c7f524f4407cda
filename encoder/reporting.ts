// Writes the report of a title: how it was encoded, for people and for programs.
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Title } from './contract.ts';
import type { FrameRate } from './ffmpeg/describe.ts';
import type { Shot } from './ffmpeg/shots.ts';
import type { Unit } from './plan/units.ts';
import { type ReportFacts, type ReportTrial, summarise } from './report/facts.ts';
import { writePage } from './report/page.ts';
import type { Trial } from './trial.ts';

/** What the report is made from; `ladder` names the trials that each rendition ships. */
export type Reported = {
  readonly frameRate: FrameRate;
  readonly units: readonly Unit<Shot>[];
  readonly trials: readonly Trial[];
  readonly ladder: ReadonlyMap<string, ReadonlySet<Trial>>;
  /** Means of VMAF's NEG model, where it was measured. */
  readonly neg: ReadonlyMap<Trial, number>;
};

/** Gathers the facts of a finished title. */
export function reportFacts(title: Title, { frameRate, units, trials, ladder, neg }: Reported): ReportFacts {
  const { num, den } = frameRate;
  const parts = units.map(({ start, frames, shot }) => {
    return { shot, startSeconds: (start * den) / num, durationSeconds: (frames * den) / num };
  });
  const told = trials.map((trial): ReportTrial => {
    const { unit, kind, height, crf, mediaBytes, quality } = trial;
    const { mean, harmonicMean, p5 } = quality;
    const bitrateBps = (mediaBytes * 8) / (parts[unit]?.durationSeconds ?? 1);
    const renditions = [...ladder].flatMap(([id, shipped]) => (shipped.has(trial) ? [id] : []));
    const facts = { part: unit, kind: kind.id, height, crf, bitrateBps, mean, harmonicMean, p5, renditions };
    return { ...facts, neg: neg.get(trial) };
  });
  return { title, parts, trials: told };
}

/** Writes report.html and report.json into a folder, each in one rename. Rejects when the disk does. */
export async function writeReport(facts: ReportFacts, folder: string): Promise<void> {
  const report = summarise(facts);
  const files = [
    ['report.json', `${JSON.stringify(report)}\n`],
    ['report.html', writePage(report)],
  ] as const;
  for (const [name, text] of files) {
    const temporary = join(folder, `.${name}-${process.pid}`);
    await writeFile(temporary, text);
    await rename(temporary, join(folder, name));
  }
}
