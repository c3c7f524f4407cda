// Control of a running encode: lines that its parent writes to standard input after the job, one JSON object each.
import { createInterface } from 'node:readline';
import { controlSchema } from './contract.ts';
import type { Pacer } from './ffmpeg/pacer.ts';

/** What lines of control have said so far. */
export type Control = {
  /** The first line, which is the job; undefined when standard input ended before it. */
  readonly job: Promise<string | undefined>;
  /** From now on lines move this pacer. What they said before holds. */
  readonly drive: (pacer: Pacer, onPace: (pace: number) => void) => void;
  /** Energy that the host says this job took so far; undefined where nobody measures it. */
  readonly joules: () => number | undefined;
};

/** A line of more than this is no control. The job, which is the first line, has a limit of its own. */
const LINE_LIMIT = 4096;

/**
 * Reads standard input. `gone` is called when it ends: who started this process has died or let go of it. A line that
 * is no control is told to `complain` and changes nothing.
 */
export function readControl(
  stdin: NodeJS.ReadableStream,
  { gone, complain }: { readonly gone: () => void; readonly complain: (line: string) => void },
): Control {
  let told = { pace: 1, graceMs: 0 };
  let joules: number | undefined;
  let move: ((next: { readonly pace: number; readonly graceMs: number }) => void) | undefined;
  let giveJob: ((text: string | undefined) => void) | undefined;
  const job = new Promise<string | undefined>((resolve) => {
    giveJob = resolve;
  });
  const take = (line: string): void => {
    const parsed = controlSchema.safeParse(line.length > LINE_LIMIT ? undefined : parseJson(line));
    if (!parsed.success) {
      complain(line.slice(0, 200));
      return;
    }
    joules = parsed.data.joules ?? joules;
    if (parsed.data.pace === undefined) return;
    told = { pace: parsed.data.pace, graceMs: parsed.data.graceSeconds * 1000 };
    move?.(told);
  };
  const lines = createInterface({ input: stdin });
  lines.on('line', (line) => {
    if (giveJob === undefined) return take(line);
    giveJob(line);
    giveJob = undefined;
  });
  lines.on('close', () => {
    giveJob?.(undefined);
    gone();
  });
  return {
    job,
    drive: (pacer, onPace) => {
      let announced = 1;
      const announce = (pace: number): void => {
        if (pace !== announced) onPace(pace);
        announced = pace;
      };
      pacer.onChange(() => {
        if (told.pace > 0 || pacer.isStill()) announce(told.pace);
      });
      move = ({ pace, graceMs }) => pacer.setPace(pace, graceMs);
      if (told.pace < 1) move(told);
    },
    joules: () => joules,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The caller names the line.
    return undefined;
  }
}
