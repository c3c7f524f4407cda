// WebVTT (W3C) read from whatever a source holds, written anew, and cut into the segments that HLS wants.

/** One cue; times in milliseconds. */
export type Cue = {
  readonly id: string;
  readonly startMs: number;
  readonly endMs: number;
  /** What stands behind the times: position, line, align ... */
  readonly settings: string;
  readonly lines: readonly string[];
};

/** A WebVTT file: blocks of STYLE and REGION as they were, then cues in order of their start. */
export type Captions = { readonly blocks: readonly string[]; readonly cues: readonly Cue[] };

/** A WebVTT file that says when its cues are shown on the timeline of fragmented MP4 that begins at 0. */
const TIMESTAMP_MAP = 'X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000';
const TIMES =
  /^(?:(\d{2,}):)?([0-5]\d):([0-5]\d)\.(\d{3})[ \t]+-->[ \t]+(?:(\d{2,}):)?([0-5]\d):([0-5]\d)\.(\d{3})(?:[ \t]+(.*))?$/;

/**
 * Reads WebVTT as the standard's parser does: notes and cues whose times make no sense are left out. Undefined when the
 * file does not begin with its signature.
 */
export function readCaptions(text: string): Captions | undefined {
  const lines = text.replace(/^\ufeff/, '').replaceAll('\0', '\ufffd');
  if (!/^WEBVTT(?:[ \t][^\n\r]*)?(?:\r|\n|$)/.test(lines)) return undefined;
  const [, ...parts] = lines.split(/(?:\r\n?|\n){2,}/);
  const blocks: string[] = [];
  const cues: Cue[] = [];
  for (const part of parts) {
    const rows = part.split(/\r\n?|\n/).filter((row) => row !== '');
    const at = rows.findIndex((row) => row.includes('-->'));
    if (at < 0 && /^(?:STYLE|REGION)[ \t]*$/.test(rows[0] ?? '') && cues.length === 0) blocks.push(rows.join('\n'));
    const cue = at < 0 || at > 1 ? undefined : readCue(rows.slice(at), at === 1 ? (rows[0] ?? '') : '');
    if (cue !== undefined) cues.push(cue);
  }
  return { blocks, cues: cues.toSorted((a, b) => a.startMs - b.startMs || a.endMs - b.endMs) };
}

function readCue([times = '', ...lines]: readonly string[], id: string): Cue | undefined {
  const found = TIMES.exec(times);
  if (found === null) return undefined;
  const milliseconds = (first: number): number => {
    const [hours, minutes, seconds, rest] = [0, 1, 2, 3].map((at) => Number(found[first + at] ?? 0));
    return (((hours ?? 0) * 60 + (minutes ?? 0)) * 60 + (seconds ?? 0)) * 1000 + (rest ?? 0);
  };
  const [startMs, endMs] = [milliseconds(1), milliseconds(5)];
  if (endMs <= startMs || lines.length === 0) return undefined;
  return { id, startMs, endMs, settings: found[9] ?? '', lines };
}

/** `01:02:03.004`. */
export function vttTime(ms: number): string {
  const whole = Math.round(ms);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  const seconds = `${two((whole / 1000) % 60)}.${String(whole % 1000).padStart(3, '0')}`;
  return `${two(whole / 3_600_000)}:${two((whole / 60_000) % 60)}:${seconds}`;
}

/** The file with all its cues; `header` lines follow the signature. */
export function writeCaptions({ blocks, cues }: Captions, header: readonly string[] = []): string {
  const written = cues.map(({ id, startMs, endMs, settings, lines }) => {
    const times = `${vttTime(startMs)} --> ${vttTime(endMs)}${settings === '' ? '' : ` ${settings}`}`;
    return [...(id === '' ? [] : [id]), times, ...lines].join('\n');
  });
  return `${[['WEBVTT', ...header].join('\n'), ...blocks, ...written].join('\n\n')}\n`;
}

/** One segment of a text track. */
export type CaptionSegment = { readonly startSeconds: number; readonly durationSeconds: number; readonly text: string };

/**
 * Segments of `seconds`, the last one shorter, without gap over `durationSeconds`. A cue stands in every segment during
 * which it is shown, with its whole time (RFC 8216 section 3.5); players show it once.
 */
export function splitCaptions(captions: Captions, seconds: number, durationSeconds: number): CaptionSegment[] {
  const count = Math.max(1, Math.ceil(durationSeconds / seconds - 1e-6));
  return Array.from({ length: count }, (_, at) => {
    const startSeconds = at * seconds;
    const endSeconds = at === count - 1 ? durationSeconds : startSeconds + seconds;
    const cues = captions.cues.filter(
      ({ startMs, endMs }) => startMs < endSeconds * 1000 && endMs > startSeconds * 1000,
    );
    const text = writeCaptions({ blocks: captions.blocks, cues }, [TIMESTAMP_MAP]);
    return { startSeconds, durationSeconds: endSeconds - startSeconds, text };
  });
}
