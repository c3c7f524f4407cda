// Which cores an encoder may use, and that it ends with its parent, however that ends.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import { encoderCores, findFfmpeg } from '../../agent/encoder-process.ts';

test.each([
  ['0-3', 1, '1,2,3'],
  ['0-3', 2, '2,3'],
  ['0,4-6,9', 2, '5,6,9'],
  ['0-1', 1, '1'],
  ['0', 1, undefined],
  ['0-3', 4, undefined],
  ['0-3', 0, undefined],
  ['', 1, undefined],
  ['0-', 1, undefined],
  ['none', 1, undefined],
])('of %j without the first %d: %s', (allowed, reserved, cores) => {
  expect(encoderCores(allowed, reserved)).toBe(cores);
});

test('row 43: killed while its ffmpeg is stopped, the parent leaves neither encoder nor ffmpeg', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'nearcast-orphan-'));
  const clip = join(dir, 'clip.mp4');
  const found = await findFfmpeg(process.env);
  if (!found.ok) throw new Error(found.message);
  const source = ['-f', 'lavfi', '-i', 'testsrc2=s=320x180:r=25:d=2'];
  execFileSync(found.path, ['-v', 'error', ...source, '-c:v', 'libx264', '-preset', 'ultrafast', clip]);
  const job = { version: 1, id: 'clip', input: clip, outDir: join(dir, 'out') };
  const script = fileURLToPath(new URL('./encoder-parent.ts', import.meta.url));
  const parent = spawn(process.execPath, [script, JSON.stringify(job)], { stdio: 'ignore' });
  const inFolder = () => processesIn(dir).filter(({ pid }) => pid !== parent.pid);
  await vi.waitFor(() => expect(inFolder().some(({ state }) => state === 'T')).toBe(true), {
    timeout: 15_000,
    interval: 5,
  });
  parent.kill('SIGKILL');
  await vi.waitFor(() => expect(inFolder()).toEqual([]), { timeout: 10_000, interval: 20 });
  rmSync(dir, { recursive: true, force: true });
}, 30_000);

/** Living processes that work in a folder or name it. */
function processesIn(dir: string): readonly { readonly pid: number; readonly state: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const isThere =
          readlinkSync(`/proc/${name}/cwd`).startsWith(dir) ||
          readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(dir);
        const state = /\) (\S)/.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))?.[1] ?? '';
        return isThere && state !== 'Z' ? [{ pid: Number(name), state }] : [];
      } catch {
        // It ended between the listing and the reading.
        return [];
      }
    });
}
