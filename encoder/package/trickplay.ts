// Thumbnails for a seek bar: how many, on which sheets, and the WebVTT that says which rectangle stands for which time.
import type { Trickplay } from '../contract.ts';
import { vttTime } from './text.ts';

/** What is asked for: a picture every `seconds`, so many in a row and so many rows on a sheet. */
export type TrickplayPlan = {
  readonly seconds: number;
  readonly width: number;
  readonly height: number;
  readonly columns: number;
  readonly rows: number;
};

/** Slack when times are compared, in seconds: less than any frame lasts, more than rounding. */
const SLACK = 0.001;

/** How many pictures `frames` frames give: the first at or after 0, s, 2s, ... */
export function pictureCount(frames: number, frameRate: number, seconds: number): number {
  return Math.floor(((frames - 1) / frameRate + SLACK) / seconds) + 1;
}

/** ffmpeg's filter that picks these frames, brings them to SDR by `toSdr`, scales them, and lays them out on sheets. */
export function trickplayFilter({ seconds, width, height, columns, rows }: TrickplayPlan, toSdr: string): string {
  const pick = `setpts=PTS-STARTPTS,select='gte(t+${SLACK}\\,selected_n*${seconds})'`;
  return `${pick},${toSdr},scale=${width}:${height}:flags=area:out_range=pc,format=yuvj420p,tile=${columns}x${rows}`;
}

/** WebVTT with a cue per picture; URLs relative to the folder of the sheets, where it lies (media fragments, W3C). */
export function writeTrickplay(trickplay: Trickplay, durationSeconds: number): string {
  const { secondsEach, pictures, width, height, columns, rows, sheets } = trickplay;
  const cues = Array.from({ length: pictures }, (_, at) => {
    const place = at % (columns * rows);
    const url = (sheets[Math.floor(at / (columns * rows))]?.url ?? '').replace(/^.*\//, '');
    const end = Math.min((at + 1) * secondsEach, durationSeconds);
    const times = `${vttTime(at * secondsEach * 1000)} --> ${vttTime(end * 1000)}`;
    return `${times}\n${url}#xywh=${(place % columns) * width},${Math.floor(place / columns) * height},${width},${height}`;
  });
  return `${['WEBVTT', ...cues].join('\n\n')}\n`;
}
