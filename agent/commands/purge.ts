// Commands on what is stored: purge by URL, prefix, tag and group; pin and unpin.
import { ask, at, awaitJob, misused, number, parse, print, text } from './ask.ts';
import type { Command } from './command.ts';
import { SOCKET_USAGE } from './socket.ts';

const TARGETS = ['prefix', 'tag', 'group'] as const;
const URLS =
  'URL and PATH are paths of the viewer listener, for every host, or absolute (https://cdn.example.com/a), for that one.';

/** `nearcast purge`: removes stored objects, or with --soft marks them to be revalidated. */
export const purgeCommand: Command = {
  name: 'purge',
  summary: 'Remove a URL, all below a prefix, or all with a tag or of a group from the cache',
  usage: [
    `Usage: nearcast purge URL|--prefix PATH|--tag TAG|--group GROUP [--soft] [--host NAME] [--json] ${SOCKET_USAGE}`,
    '',
    '  --prefix  everything whose path and query begin so',
    '  --tag     everything that came with that Cache-Tag or Surrogate-Key',
    '  --group   everything that came with that string in Cache-Groups (RFC 9875)',
    '  --soft    keep the objects, but ask the origin before they are used again',
    '  --host    only of this host',
    '',
    `${URLS} Fills under way for what is purged are not stored.`,
  ].join('\n'),
  run: async (args, io) => {
    const string = { type: 'string' } as const;
    const parsed = parse(args, {
      ...{ prefix: string, tag: string, group: string, host: string },
      ...{ soft: { type: 'boolean' }, json: { type: 'boolean' } },
    });
    const given: Record<string, string> = {};
    const [url] = parsed.positionals;
    if (url !== undefined) given['url'] = url;
    for (const by of TARGETS) {
      const value = text(parsed.values[by]);
      if (value !== undefined) given[by] = value;
    }
    if (Object.keys(given).length !== 1 || parsed.positionals.length > 1)
      return misused(io, 'purge takes one of URL, --prefix PATH, --tag TAG and --group GROUP');
    const soft = parsed.values['soft'] === true;
    const host = text(parsed.values['host']);
    const body = { ...given, soft, ...(host === undefined ? {} : { host }) };
    const begun = await ask(io, parsed, { method: 'POST', path: '/purge', body });
    const done = await awaitJob(io, parsed, begun, (progress) =>
      io.stderr.write(`${number(at(progress, 'objects'))} objects so far\n`),
    );
    if (parsed.values['json'] === true) return print(io, done);
    const [objects, fills] = [number(at(done, 'objects')), number(at(done, 'fills'))];
    const what = soft ? 'marked to be revalidated' : 'removed';
    io.stdout.write(`${objects} ${objects === 1 ? 'object' : 'objects'} ${what}`);
    io.stdout.write(fills === 0 ? '\n' : `; ${fills} under way will not be stored\n`);
    return 0;
  },
};

function pinOrUnpin(name: 'pin' | 'unpin', summary: string, isPinned: boolean): Command {
  return {
    name,
    summary,
    usage: `Usage: nearcast ${name} URL|--prefix PATH [--json] ${SOCKET_USAGE}\n\n${URLS}`,
    run: async (args, io) => {
      const parsed = parse(args, { prefix: { type: 'string' }, json: { type: 'boolean' } });
      const [url] = parsed.positionals;
      const prefix = text(parsed.values['prefix']);
      if ((url === undefined) === (prefix === undefined)) return misused(io, `${name} takes a URL or --prefix PATH`);
      const body = { ...(url === undefined ? { prefix } : { url }), isPinned };
      const done = await ask(io, parsed, { method: 'POST', path: '/pin', body });
      if (parsed.values['json'] === true) return print(io, done);
      const objects = number(at(done, 'objects'));
      io.stdout.write(`${objects} ${objects === 1 ? 'object' : 'objects'} ${name}ned\n`);
      if (objects > 0 || !isPinned) return 0;
      io.stderr.write(
        `nearcast: nothing is stored there: "nearcast preposition ${url ?? 'URL'} --pin" fetches and pins\n`,
      );
      return 1;
    },
  };
}

/** `nearcast pin`: stored objects that eviction leaves alone. */
export const pinCommand: Command = pinOrUnpin('pin', 'Keep what is stored for a URL or below a prefix', true);
/** `nearcast unpin`: they may be evicted again. */
export const unpinCommand: Command = pinOrUnpin('unpin', 'Let what was pinned be evicted again', false);
