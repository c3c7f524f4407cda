// Progress of several long jobs: one bar per job on a terminal, redrawn in place; one JSON line per step otherwise.
import type { Writable } from 'node:stream';
import type { WriteStream } from 'node:tty';

/** A place that shows progress. Call done() before anything else is printed. */
export type Progress = {
  /** Ratio 0..1; `step` is a word or two. Text after the job's end stays. */
  readonly show: (job: {
    readonly id: string;
    readonly name: string;
    readonly step: string;
    readonly ratio: number;
  }) => void;
  /** A line above the bars (terminal) or a JSON line with that event. */
  readonly say: (event: string, text: string, fields?: Readonly<Record<string, unknown>>) => void;
  readonly done: () => void;
};

const BAR_CELLS = 28;
/** Redraws a second at most. */
const FRAME_MS = 100;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of BAR_CELLS cells for a ratio 0..1, in eighths of a cell. */
export function renderBar(ratio: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, ratio)) * BAR_CELLS * 8);
  const bar = '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
  return bar.padEnd(BAR_CELLS, '·');
}

function openBars(output: WriteStream): Progress {
  const jobs = new Map<string, { name: string; step: string; ratio: number }>();
  let drawn = 0;
  let timer: NodeJS.Timeout | undefined;

  const clear = () => {
    if (drawn > 0) output.write(`\x1b[${drawn}A\x1b[0J`);
    drawn = 0;
  };
  const draw = () => {
    timer = undefined;
    clear();
    const width = Math.max(...[...jobs.values()].map(({ name }) => name.length), 0);
    const lines = [...jobs.values()].map(({ name, step, ratio }) => {
      const percent = `${Math.floor(ratio * 100)}`.padStart(3);
      return `  ${name.padEnd(width)}  ${renderBar(ratio)} ${percent} %  ${step}`.slice(
        0,
        Math.max(20, output.columns - 1),
      );
    });
    if (lines.length > 0) output.write(`${lines.join('\n')}\n`);
    drawn = lines.length;
  };

  return {
    show: ({ id, name, step, ratio }) => {
      jobs.set(id, { name, step, ratio });
      timer ??= setTimeout(draw, FRAME_MS);
    },
    say: (_event, text) => {
      clear();
      output.write(`${text}\n`);
      draw();
    },
    done: () => {
      clearTimeout(timer);
      draw();
    },
  };
}

function openLines(output: Writable): Progress {
  const line = (fields: Readonly<Record<string, unknown>>) => output.write(`${JSON.stringify(fields)}\n`);
  const shown = new Map<string, string>();
  return {
    show: ({ id, name, step, ratio }) => {
      // A step's first line and then every tenth of the way: as many as a log can bear.
      const key = `${step} ${Math.floor(ratio * 10)}`;
      if (shown.get(id) === key) return;
      shown.set(id, key);
      line({ event: 'encode.progress', id, name, step, progressRatio: Number(ratio.toFixed(3)) });
    },
    say: (event, _text, fields) => line({ event, ...fields }),
    done: () => undefined,
  };
}

/** Bars when `output` is a terminal, else JSON lines. */
export function openProgress(output: Writable): Progress {
  // Node's own mark of a terminal; only its WriteStream carries columns.
  const terminal = output as WriteStream;
  return terminal.isTTY === true ? openBars(terminal) : openLines(output);
}
