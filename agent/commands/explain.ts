// `nearcast explain`: why a URL is cached or was prefetched, what is foreseen for a title or a session.
import { ask, misused, parse, print, text } from './ask.ts';
import type { Command } from './command.ts';
import { renderExplained } from './explain-text.ts';
import { SOCKET_USAGE } from './socket.ts';

/** `nearcast explain`. */
export const explainCommand: Command = {
  name: 'explain',
  summary: 'Explain a URL, a title or a session: why cached, fresh, prefetched, ranked',
  usage: [
    `Usage: nearcast explain URL|TITLE|SID|--title ID|--sid SID [--json] ${SOCKET_USAGE}`,
    '',
    'URL is a path of the viewer listener, such as /titles/news/master.m3u8, or absolute, which names the host. What has',
    'no slash is a session if one has that id, else a title: with place, score, features and model version, and the hours that',
    'it is expected to be watched in the next day and week, within which bounds, and what that was made of.',
    'Titles and sessions are explained as JSON.',
  ].join('\n'),
  run: async (args, io) => {
    const parsed = parse(args, { title: { type: 'string' }, sid: { type: 'string' }, json: { type: 'boolean' } });
    const query = new URLSearchParams();
    const [named] = parsed.positionals;
    const [url, what] = named?.includes('/') === true ? [named, undefined] : [undefined, named];
    const asked = { url, what, title: text(parsed.values['title']), sid: text(parsed.values['sid']) };
    for (const [key, value] of Object.entries(asked)) if (value !== undefined) query.set(key, value);
    if (query.size !== 1) return misused(io, 'explain takes one of URL, TITLE, SID, --title ID and --sid SID');
    const explained = await ask(io, parsed, { method: 'GET', path: `/explain?${query}` });
    if (url === undefined || parsed.values['json'] === true) return print(io, explained);
    io.stdout.write(renderExplained(explained));
    return 0;
  },
};
