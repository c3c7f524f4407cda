// Clips for encoder tests, made by ffmpeg's own sources, and small programs that stand in for ffmpeg's misbehaviour.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FfmpegTool, findFfmpeg } from '../../encoder/ffmpeg/find.ts';
import { type Ffmpeg, openFfmpeg } from '../../encoder/ffmpeg/run.ts';

/** A new folder that `afterAll` may remove with the returned function. */
export function makeFolder(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'encoder-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The ffmpeg that the encoder itself would find. */
export const findTool = (env = process.env): Promise<FfmpegTool> => findFfmpeg({ env, ffmpegPath: undefined });

/** One process at a time over the tool, and what stops it. */
export function openOne(tool: FfmpegTool, stallMs = 20_000): { ffmpeg: Ffmpeg; stop: () => void } {
  const stop = new AbortController();
  return {
    ffmpeg: openFfmpeg(tool, { parallel: 1, threads: 1, stallMs, signal: stop.signal }),
    stop: () => stop.abort(),
  };
}

/** Runs ffmpeg and waits. */
export function make(tool: FfmpegTool, args: readonly string[]): void {
  execFileSync(tool.path, ['-hide_banner', '-y', '-v', 'error', '-nostdin', ...args]);
}

/** What ffmpeg says on standard error, however it ends; `input` is its standard input. */
export function stderrOf(tool: FfmpegTool, args: readonly string[], input: Buffer = Buffer.alloc(0)): string {
  return spawnSync(tool.path, ['-hide_banner', ...args], { input, encoding: 'utf8', maxBuffer: 1 << 24 }).stderr;
}

/** What ffmpeg writes to standard output. */
export function stdoutOf(tool: FfmpegTool, args: readonly string[]): Buffer {
  return execFileSync(tool.path, ['-hide_banner', '-v', 'error', '-nostdin', ...args], { maxBuffer: 1 << 26 });
}

/** Frames of the shots of `makeClip`. */
export const CLIP_SHOTS = [25, 15, 20] as const;

/** 60 frames of 320x180 at 25 a second with hard cuts at 25 and 40, and a tone that falls silent after 1 s. */
export function makeClip(tool: FfmpegTool, path: string, options: { readonly audio: boolean }): void {
  const source = (kind: string): string[] => ['-f', 'lavfi', '-i', kind];
  const inputs = [
    ...source('testsrc2=s=320x180:r=25:d=1'),
    ...source('mandelbrot=s=320x180:r=25,trim=end_frame=15'),
    ...source('color=c=0xd0a020:s=320x180:r=25:d=0.8,noise=alls=20:allf=t'),
  ];
  const sound = options.audio ? source('sine=f=440:r=48000:d=1,apad=whole_dur=2.4') : [];
  const maps = options.audio ? ['-map', '[v]', '-map', '3:a', '-c:a', 'aac'] : ['-map', '[v]'];
  make(tool, [
    ...inputs,
    ...sound,
    ...['-filter_complex', '[0:v][1:v][2:v]concat=n=3,format=yuv420p[v]', ...maps],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '10', '-g', '100', path],
  ]);
}

/** An executable shell script. */
export function makeScript(path: string, lines: readonly string[]): string {
  writeFileSync(path, `#!/bin/sh\n${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
  return path;
}
