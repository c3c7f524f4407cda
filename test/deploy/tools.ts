// Runs the operators' own tools (promtool, systemd-analyze) with a deadline, and finds out whether they are there.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Absolute path of a file of the repository. */
export const inRepository = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** Text of a file of the repository. */
export const readText = (path: string): string => readFileSync(inRepository(path), 'utf8');

/** How a tool ended: its exit status (undefined when it did not start or ran out of time), and all that it printed. */
export type Ran = { readonly status: number | undefined; readonly output: string };

/** Runs a tool to its end, within 45 s: that is seconds of work on a machine that does ten other things. */
export function run(tool: string, args: readonly string[]): Ran {
  const { status, stdout, stderr, error } = spawnSync(tool, args, {
    encoding: 'utf8',
    timeout: 45_000,
    env: { PATH: process.env['PATH'], SYSTEMD_COLORS: '0', SYSTEMD_PAGER: 'cat', LC_ALL: 'C.UTF-8' },
  });
  return { status: status ?? undefined, output: `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}` };
}

/** Whether a tool is installed. */
export const has = (tool: string): boolean => run(tool, ['--version']).status === 0;
