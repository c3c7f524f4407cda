// Reads HLS playlists as strictly as RFC 8216 writes them, to hold our own against what it promises. Lines that the RFC
// forbids are errors here, not shrugged off as players do.

/** The text is no playlist; `message` says which line. */
export class PlaylistError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'PlaylistError';
  }
}

/** Attributes of one tag, unquoted. */
export type Attributes = Readonly<Record<string, string>>;
/** One tag: its name without `#`, what stands behind the colon, and the URI line that it governs. */
export type Tag = { readonly name: string; readonly value: string };
/** A URI line with the tags that stand between it and the URI line before. */
export type Entry = { readonly uri: string; readonly tags: readonly Tag[] };
/** A playlist taken apart: its tags in order, and its URI lines. */
export type Playlist = { readonly tags: readonly Tag[]; readonly entries: readonly Entry[] };

/** Tags that may stand only once in a playlist (RFC 8216 sections 4.3.1.2, 4.3.3). */
const ONCE = new Set([
  ...['EXT-X-VERSION', 'EXT-X-TARGETDURATION', 'EXT-X-MEDIA-SEQUENCE', 'EXT-X-PLAYLIST-TYPE', 'EXT-X-ENDLIST'],
  ...['EXT-X-INDEPENDENT-SEGMENTS', 'EXT-X-I-FRAMES-ONLY', 'EXT-X-IMAGES-ONLY'],
]);

/** Takes a playlist apart. Throws PlaylistError. */
export function readPlaylist(text: string): Playlist {
  const lines = text.split('\n');
  if (lines[0] !== '#EXTM3U') throw new PlaylistError('line 1: not #EXTM3U');
  if (lines.at(-1) !== '') throw new PlaylistError(`line ${lines.length}: not ended by a line feed`);
  if (/[\r\0\ufeff]/.test(text)) throw new PlaylistError('a carriage return, NUL or byte order mark');
  const tags: Tag[] = [];
  const entries: Entry[] = [];
  let own: Tag[] = [];
  for (const [index, line] of lines.slice(1, -1).entries()) {
    if (line === '') continue;
    if (line.startsWith('#')) {
      const [, name, value = ''] = /^#(EXT[A-Z0-9-]*)(?::(.*))?$/.exec(line) ?? [];
      if (name === undefined) throw new PlaylistError(`line ${index + 2}: neither tag nor URI`);
      if (ONCE.has(name) && tags.some((tag) => tag.name === name)) throw new PlaylistError(`${name} twice`);
      tags.push({ name, value });
      own.push({ name, value });
      continue;
    }
    if (/\s/.test(line)) throw new PlaylistError(`line ${index + 2}: a URI with white space`);
    entries.push({ uri: line, tags: own });
    own = [];
  }
  return { tags, entries };
}

/** The value of the only tag of that name, or undefined. */
export function tagValue(tags: readonly Tag[], name: string): string | undefined {
  return tags.find((tag) => tag.name === name)?.value;
}

const VALUE = /^([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(?:,|$)/;

/** An attribute list (RFC 8216 section 4.2). Throws PlaylistError when it is none or names one attribute twice. */
export function readAttributes(list: string): Attributes {
  const found: Record<string, string> = {};
  for (let rest = list; rest !== ''; ) {
    const [whole, name, value] = VALUE.exec(rest) ?? [];
    if (whole === undefined || name === undefined || value === undefined) {
      throw new PlaylistError(`attribute list at ${JSON.stringify(rest.slice(0, 40))}`);
    }
    if (name in found) throw new PlaylistError(`attribute ${name} twice`);
    found[name] = value.replaceAll('"', '');
    rest = rest.slice(whole.length);
  }
  return found;
}
