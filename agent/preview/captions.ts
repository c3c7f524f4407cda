// Captions of a preview: cues of WebVTT that lie in its moments, moved to where these are shown. Pure.
import type { Placed } from './splice.ts';

/** More cues than this in one file are refused: a title of three hours has some three thousand. */
const MOST_CUES = 20_000;
const TIMES = /^((?:\d{2,}:)?\d{2}:\d{2}\.\d{3})[ \t]+-->[ \t]+((?:\d{2,}:)?\d{2}:\d{2}\.\d{3})(.*)$/;
/** A cue shown for less says nothing. */
const SHORTEST_SECONDS = 0.2;

type Cue = { readonly from: number; readonly until: number; readonly settings: string; readonly text: string };

/**
 * A whole WebVTT file (https://www.w3.org/TR/webvtt1/) of the cues within `placed`, each cut to what of it is shown;
 * undefined when the text is no WebVTT. Styles and regions are left out.
 */
export function moveCaptions(text: string, placed: readonly Placed[]): string | undefined {
  const lines = text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n');
  if (!/^WEBVTT(?:[ \t\n]|$)/.test(lines)) return undefined;
  const cues = readCues(lines);
  const moved = placed.flatMap(({ sourceSeconds, atSeconds, seconds }) =>
    cues.flatMap(({ from, until, settings, text: said }): Cue[] => {
      const start = Math.max(from, sourceSeconds);
      const end = Math.min(until, sourceSeconds + seconds);
      const shift = atSeconds - sourceSeconds;
      return end - start < SHORTEST_SECONDS ? [] : [{ from: start + shift, until: end + shift, settings, text: said }];
    }),
  );
  const joined = joinCues(moved);
  const blocks = joined.map(({ from, until, settings, text: said }) => {
    return `${timeText(from)} --> ${timeText(until)}${settings}\n${said}\n`;
  });
  return ['WEBVTT\n', ...blocks].join('\n');
}

function readCues(text: string): readonly Cue[] {
  const cues: Cue[] = [];
  for (const block of text.split(/\n{2,}/)) {
    const lines = block.split('\n');
    const at = lines.findIndex((line) => line.includes('-->'));
    const [, from, until, settings = ''] = TIMES.exec(lines[at] ?? '') ?? [];
    const said = lines
      .slice(at + 1)
      .join('\n')
      .trim();
    if (from === undefined || until === undefined || said === '') continue;
    if (cues.length === MOST_CUES) break;
    cues.push({ from: secondsOf(from), until: secondsOf(until), settings, text: said });
  }
  return cues;
}

/** A cue that goes on over a boundary of segments is one again. */
function joinCues(cues: readonly Cue[]): readonly Cue[] {
  const joined: Cue[] = [];
  for (const cue of cues.toSorted((a, b) => a.from - b.from)) {
    const at = joined.findIndex((one) => one.text === cue.text && Math.abs(one.until - cue.from) < 1e-3);
    const before = joined[at];
    if (before === undefined) joined.push(cue);
    else joined[at] = { ...before, until: cue.until };
  }
  return joined;
}

function secondsOf(text: string): number {
  return text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
}

function timeText(seconds: number): string {
  const all = Math.round(seconds * 1000);
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0');
  const milliseconds = String(all % 1000).padStart(3, '0');
  return `${two(all / 3_600_000)}:${two((all / 60_000) % 60)}:${two((all / 1000) % 60)}.${milliseconds}`;
}
