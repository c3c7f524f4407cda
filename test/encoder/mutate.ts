// Small files of every container that is opened, and what wind, wire and malice make of them. Seeded.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from '../../agent/train/random.ts';
import type { FfmpegTool } from '../../encoder/ffmpeg/find.ts';

/** Name and coding of each kind; a kind whose encoder the ffmpeg at hand lacks is left out. */
const KINDS: readonly (readonly [string, readonly string[]])[] = [
  ['h264.mp4', ['-c:v', 'libx264', '-preset', 'ultrafast', '-c:a', 'aac']],
  ['front.mp4', ['-c:v', 'libx264', '-preset', 'ultrafast', '-an', '-movflags', '+faststart']],
  ['parts.mp4', ['-c:v', 'libx264', '-preset', 'ultrafast', '-an', '-movflags', '+frag_keyframe+empty_moov']],
  ['hevc.mov', ['-c:v', 'libx265', '-x265-params', 'log-level=0', '-preset', 'ultrafast', '-an']],
  ['vp9.webm', ['-c:v', 'libvpx-vp9', '-cpu-used', '8', '-deadline', 'realtime', '-an']],
  ['h264.mkv', ['-c:v', 'libx264', '-preset', 'ultrafast', '-c:a', 'pcm_s16le']],
  ['mpeg2.ts', ['-c:v', 'mpeg2video', '-c:a', 'mp2']],
  ['mpeg1.mpg', ['-c:v', 'mpeg1video', '-an']],
  ['mpeg4.avi', ['-c:v', 'mpeg4', '-an']],
  ['flv1.flv', ['-c:v', 'flv', '-an']],
  ['raw.h264', ['-c:v', 'libx264', '-preset', 'ultrafast', '-an']],
  ['mpeg2.mxf', ['-c:v', 'mpeg2video', '-an', '-r', '25']],
  ['wmv.asf', ['-c:v', 'wmv2', '-an']],
];

/** Makes a third of a second of 96x64 in every kind; gives the bytes by name. */
export function makeSeeds(tool: FfmpegTool, folder: string): ReadonlyMap<string, Buffer> {
  const seeds = new Map<string, Buffer>();
  const inputs = ['-f', 'lavfi', '-i', 'testsrc2=s=96x64:r=25:d=0.32', '-f', 'lavfi', '-i', 'sine=d=0.32:r=48000'];
  for (const [name, coding] of KINDS) {
    const path = join(folder, name);
    const args = ['-v', 'error', '-nostdin', '-y', ...inputs, '-pix_fmt', 'yuv420p', ...coding, path];
    if (spawnSync(tool.path, args).status === 0) seeds.set(name, readFileSync(path));
  }
  return seeds;
}

/** Numbers at which parsers stumble. */
const EXTREMES = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

/** One of seven damages, the same for the same seed. */
export function mutate(original: Buffer, seed: number): Buffer {
  const chance = seededRandom(seed);
  const upTo = (end: number): number => Math.floor(chance() * end);
  const bytes = Buffer.from(original);
  // Heads describe, and are where parsers run: half of the damages lie there.
  const place = (): number => upTo(chance() < 0.5 ? Math.min(bytes.length, 600) : bytes.length);
  const flip = (ratio: number): void => {
    for (let left = Math.max(1, Math.round(bytes.length * 8 * ratio)); left > 0; left--) {
      const at = place();
      bytes[at] = (bytes[at] ?? 0) ^ (1 << upTo(8));
    }
  };
  const [from, length] = [place(), 1 + upTo(200)];
  switch (seed % 7) {
    case 0:
      flip(10 ** (-3 + 2 * chance()));
      return bytes;
    case 1:
      return bytes.subarray(0, 1 + upTo(bytes.length));
    case 2:
      return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, from), bytes.subarray(place(), place() + length), bytes.subarray(from)]);
    case 4:
      return bytes.fill(chance() < 0.5 ? 0 : 0xff, from, Math.min(bytes.length, from + length));
    case 5: {
      const at = Math.min(place(), Math.max(0, bytes.length - 4));
      bytes.writeUInt32BE(EXTREMES[upTo(EXTREMES.length)] ?? 0, at);
      return bytes;
    }
    default:
      flip(1e-4);
      return bytes;
  }
}
