// The encoder's program as its callers start it, and the ffmpegs that it has running.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type EncodeEvent, encodeEventSchema } from '../../encoder/contract.ts';

/** The program. */
export const ENCODER = fileURLToPath(new URL('../../encoder/main.ts', import.meta.url));

/** How a run of the program ended. */
export type Ended = { code: number | null; events: EncodeEvent[]; stderr: string };

/** Starts the program; `onEvent` hears each line as it comes. */
export function start(
  job: unknown,
  options: { env?: Record<string, string>; onEvent?: (event: EncodeEvent, child: ChildProcess) => void } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [ENCODER], { env: { ...process.env, ...options.env } });
  child.stdin.end(typeof job === 'string' ? job : JSON.stringify(job));
  const events: EncodeEvent[] = [];
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  const lines = createInterface({ input: child.stdout });
  const read = new Promise<void>((resolve) => lines.once('close', resolve));
  lines.on('line', (line) => {
    const event = encodeEventSchema.parse(JSON.parse(line));
    events.push(event);
    options.onEvent?.(event, child);
  });
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  return Promise.all([closed, read]).then(([code]) => ({ code, events, stderr }));
}

/** Running ffmpegs, but zombies, whose command line or working directory names the folder. */
export function ffmpegsOf(path: string): { readonly pid: number; readonly command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        const cwd = readlinkSync(`/proc/${pid}/cwd`);
        return command.includes('ffmpeg') && (command.includes(path) || cwd.startsWith(path))
          ? [{ pid: Number(pid), command }]
          : [];
      } catch {
        // Gone between listing and reading.
        return [];
      }
    });
}
