// `nearcast preposition`: has a running node fetch URLs, titles, or all that a manifest names, ahead of viewers.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ask, at, awaitJob, list, misused, number, parse, print, text } from './ask.ts';
import { type Command, EXIT_FAILED, type Io } from './command.ts';
import { openProgress } from './progress.ts';
import { SOCKET_USAGE } from './socket.ts';
import { formatBytes } from './status-text.ts';

/** URLs of one job, so that its call stays below the control socket's limit of a body. */
const URLS_A_JOB = 4_000;
/** Characters of all URLs in one job's call. */
const CHARACTERS_A_JOB = 700_000;

async function urlsOf(io: Io, file: string | undefined): Promise<readonly string[]> {
  if (file === undefined) return [];
  const lines = (await readFile(resolve(io.cwd, file), 'utf8')).split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

/** URLs in portions that fit a call. */
function portions(urls: readonly string[]): readonly (readonly string[])[] {
  const found: string[][] = [];
  let characters = 0;
  for (const url of urls) {
    const last = found.at(-1);
    characters += url.length;
    if (last === undefined || last.length >= URLS_A_JOB || characters > CHARACTERS_A_JOB) {
      found.push([url]);
      characters = url.length;
    } else last.push(url);
  }
  return found;
}

type Total = { urls: number; done: number; bytes: number; outcomes: Record<string, number>; failures: unknown[] };

function addTo(total: Total, progress: unknown): void {
  total.urls += number(at(progress, 'urls'));
  total.done += number(at(progress, 'done'));
  total.bytes += number(at(progress, 'bytes'));
  total.failures.push(...list(at(progress, 'failures')));
  for (const [outcome, count] of Object.entries(at(progress, 'outcomes') ?? {}))
    total.outcomes[outcome] = (total.outcomes[outcome] ?? 0) + number(count);
}

function describe(total: Total): string {
  const { stored = 0, held = 0 } = total.outcomes;
  const failed = total.done - stored - held;
  const lines = [
    `${total.done} of ${total.urls} URLs: ${stored} fetched, ${held} were there, ${failed} not fetched; ${formatBytes(total.bytes)}`,
    ...total.failures.map((failure) => `  ${String(at(failure, 'url'))}: ${String(at(failure, 'reason'))}`),
  ];
  if (failed > total.failures.length) lines.push(`  and ${failed - total.failures.length} more`);
  return `${lines.join('\n')}\n`;
}

/** `nearcast preposition`. Exit code 1 when something was not fetched. */
export const prepositionCommand: Command = {
  name: 'preposition',
  summary: 'Fetch URLs, titles or all that a manifest names, ahead of viewers',
  usage: [
    `Usage: nearcast preposition URL...|--file LIST|--title ID [--pin] [--no-wait] [--json] ${SOCKET_USAGE}`,
    '',
    '  URL        a path of the viewer listener; of a manifest (.m3u8, .mpd) all that it names as well',
    '  --file     a file with one URL a line; lines that begin with # are left out',
    '  --title    all of a title of the catalogue',
    '  --pin      keep it until "nearcast unpin"',
    '  --no-wait  return once the node has taken it; "nearcast explain URL" tells what became of it',
    '',
    'What is stored already is not fetched again, so the same command goes on where an interrupted one ended. It counts',
    'for prefetch.bytesPerDay and keeps to prefetch.bytesPerSecond; viewers go first.',
  ].join('\n'),
  run: async (args, io) => {
    const parsed = parse(args, {
      ...{ file: { type: 'string' }, title: { type: 'string' } },
      ...{ pin: { type: 'boolean' }, 'no-wait': { type: 'boolean' }, json: { type: 'boolean' } },
    });
    const urls = [...parsed.positionals, ...(await urlsOf(io, text(parsed.values['file'])))];
    const title = text(parsed.values['title']);
    if (urls.length === 0 && title === undefined)
      return misused(io, 'preposition takes URLs, --file LIST or --title ID');
    const bodies = [
      ...portions(urls).map((portion) => ({ urls: portion })),
      ...(title === undefined ? [] : [{ titles: [title] }]),
    ];
    const total: Total = { urls: 0, done: 0, bytes: 0, outcomes: {}, failures: [] };
    const progress = openProgress(io.stderr);
    for (const [index, body] of bodies.entries()) {
      if (io.signal.aborted) break;
      const call = { method: 'POST', path: '/preposition', body: { ...body, pin: parsed.values['pin'] === true } };
      const begun = await ask(io, parsed, call);
      if (parsed.values['no-wait'] === true) {
        addTo(total, at(begun, 'progress'));
        continue;
      }
      const ended = await awaitJob(io, parsed, begun, (sofar) => {
        const ratio = number(at(sofar, 'done')) / Math.max(1, number(at(sofar, 'urls')));
        const step = at(sofar, 'isPaused') === true ? 'prefetch is paused' : formatBytes(number(at(sofar, 'bytes')));
        progress.show({ id: 'preposition', name: `part ${index + 1} of ${bodies.length}`, step, ratio });
      });
      addTo(total, ended);
    }
    progress.done();
    if (parsed.values['no-wait'] === true) {
      io.stdout.write(`${bodies.length} ${bodies.length === 1 ? 'job' : 'jobs'} begun\n`);
      return 0;
    }
    if (parsed.values['json'] === true) print(io, total);
    else io.stdout.write(describe(total));
    const { stored = 0, held = 0 } = total.outcomes;
    return stored + held === total.urls && !io.signal.aborted ? 0 : EXIT_FAILED;
  },
};
