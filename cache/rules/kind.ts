// What a path holds, by its extension first and its content type where the extension says nothing.

/** As in contract.ts, which cannot be imported by the rules. */
type Kind = 'manifest' | 'init' | 'segment' | 'other';

const EXTENSIONS = new Map<string, Kind>([
  ...['m3u8', 'm3u', 'mpd'].map((name) => [name, 'manifest'] as const),
  ...['ts', 'm4s', 'm4v', 'm4a', 'm4f', 'mp4', 'cmfv', 'cmfa', 'cmft', 'aac', 'ac3', 'ec3', 'mp3', 'vtt', 'webm'].map(
    (name) => [name, 'segment'] as const,
  ),
  ...['mp4i', 'cmfi'].map((name) => [name, 'init'] as const),
]);
const TYPES: readonly (readonly [pattern: RegExp, kind: Kind])[] = [
  [/^(application|audio)\/(vnd\.apple\.mpegurl|x-mpegurl|mpegurl|dash\+xml)\b/i, 'manifest'],
  [/^(video|audio)\//i, 'segment'],
];

/** `path` without query. An init segment is a media file whose name says so. */
export function kindOf(path: string, contentType?: string): Kind {
  const file = path.slice(path.lastIndexOf('/') + 1).toLowerCase();
  const dot = file.lastIndexOf('.');
  const kind = dot < 0 ? undefined : EXTENSIONS.get(file.slice(dot + 1));
  if (kind === 'segment') return /(^|[-_.])init([-_.\d]|$)/.test(file) ? 'init' : 'segment';
  if (kind !== undefined) return kind;
  return (contentType && TYPES.find(([pattern]) => pattern.test(contentType))?.[1]) || 'other';
}
