// HLS playlists (RFC 8216), read by m3u8-parser. It trusts its input more than an edge node may, so it only sees tags
// that are used here, and none that could write outside its own objects.
// @ts-expect-error: the package has no types; the type below says which of its interface is used.
import { Parser } from 'm3u8-parser';
import { attributesOf, keysByUri, type UriKeys } from './hls-keys.ts';
import {
  absoluteUrl,
  amount,
  field,
  known,
  LIMIT,
  list,
  type Manifest,
  type Rendition,
  resource,
  type Segment,
  text,
  UnusableManifest,
} from './manifest.ts';

/** The parser as it is used here: push text, end, and read an object of any shape. */
type UntypedParser = { push: (text: string) => void; end: () => void; readonly manifest: unknown };
// m3u8-parser has no types of its own; these three members are its documented interface.
const openParser = (): UntypedParser => new Parser() as UntypedParser;

const USED_TAGS = new Set([
  '#EXTM3U',
  '#EXTINF',
  '#EXT-X-BYTERANGE',
  '#EXT-X-MAP',
  '#EXT-X-ENDLIST',
  '#EXT-X-MEDIA-SEQUENCE',
  '#EXT-X-STREAM-INF',
  '#EXT-X-MEDIA',
]);

/** Names that would reach Object.prototype when m3u8-parser uses them as keys, which it does with TYPE and GROUP-ID. */
const INHERITED = Object.getOwnPropertyNames(Object.prototype);

/** Tags whose value is an attribute list; m3u8-parser takes quadratic time for what is none, seconds for a long line. */
const LISTS = new Set(['#EXT-X-MAP', '#EXT-X-STREAM-INF', '#EXT-X-MEDIA']);

/** Whether the parser may see this line. Throws UnusableManifest when it must not and cannot be left out. */
function isSafeLine(line: string): boolean {
  if (line.length > LIMIT.urlCharacters) throw new UnusableManifest('a line is too long');
  if (!line.startsWith('#')) return true;
  const tag = (line.split(':', 1)[0] ?? '').trim();
  if (tag === '#EXT-X-MEDIA' && INHERITED.some((name) => line.includes(name))) {
    throw new UnusableManifest('EXT-X-MEDIA with a name that is not allowed');
  }
  if (LISTS.has(tag) && attributesOf(line.slice(line.indexOf(':') + 1)) === undefined) {
    throw new UnusableManifest(`${tag} without a sound attribute list`);
  }
  return USED_TAGS.has(tag);
}

/** Parses a media or multivariant playlist that was fetched from `url`. Throws UnusableManifest. */
export function parseHls(playlist: string, url: string): Manifest {
  if (playlist.length > LIMIT.hlsCharacters) throw new UnusableManifest('the playlist is too long');
  const lines = playlist.split(/\r\n|\n|\r/).map((line) => line.trim());
  if (lines[0]?.replace(/^\uFEFF/, '') !== '#EXTM3U') throw new UnusableManifest('it does not begin with #EXTM3U');
  if (lines.some((line) => line.startsWith('#EXT-X-DEFINE'))) {
    throw new UnusableManifest('variables (EXT-X-DEFINE) are not supported');
  }
  const isSealed = lines.some((line) => /^#EXT-X-(SESSION-)?KEY:/.test(line) && !/[:,]METHOD=NONE\b/.test(line));
  const parser = openParser();
  parser.push(`${lines.filter(isSafeLine).join('\n')}\n`);
  parser.end();
  const { manifest } = parser;
  const variants = list(field(manifest, 'playlists'));
  if (variants.length > 0) {
    const renditions = [...variants.flatMap((variant) => readVariant(variant, url)), ...readGroups(manifest, url)];
    if (renditions.length > LIMIT.renditions) throw new UnusableManifest('too many renditions');
    return { protocol: 'hls', isLive: false, isSealed, renditions };
  }
  const segments = readSegments(manifest, url, isSealed ? keysByUri(lines) : []);
  const isLive = field(manifest, 'endList') !== true;
  return { protocol: 'hls', isLive, isSealed, renditions: [{ id: url, kind: 'video', segments }] };
}

/** Codec strings (RFC 6381) of sound, which a variant for slow lines may be alone. */
const SOUND = /^\s*(mp4a|ac-[34]|ec-3|opus|flac|alac|dts[a-z]?)\b/i;

function readVariant(variant: unknown, base: string): Rendition[] {
  const uri = text(field(variant, 'uri'));
  const attributes = field(variant, 'attributes');
  if (uri === undefined) return [];
  const url = absoluteUrl(uri, base);
  const resolution = field(attributes, 'RESOLUTION');
  const codecs = text(field(attributes, 'CODECS'));
  return [
    {
      id: url,
      kind: codecs?.split(',').every((codec) => SOUND.test(codec)) === true ? 'audio' : 'video',
      url,
      ...known('bandwidthBps', amount(Number(field(attributes, 'BANDWIDTH')))),
      ...known('averageBandwidthBps', amount(Number(field(attributes, 'AVERAGE-BANDWIDTH')))),
      ...known('codecs', codecs),
      ...known('width', amount(field(resolution, 'width'))),
      ...known('height', amount(field(resolution, 'height'))),
      segments: [],
    },
  ];
}

function readGroups(manifest: unknown, base: string): Rendition[] {
  const kinds = { AUDIO: 'audio', VIDEO: 'video', SUBTITLES: 'text' } as const;
  return Object.entries(kinds).flatMap(([type, kind]) =>
    values(field(field(manifest, 'mediaGroups'), type)).flatMap((group) =>
      values(group).flatMap((rendition): Rendition[] => {
        const uri = text(field(rendition, 'uri'));
        if (uri === undefined) return [];
        const url = absoluteUrl(uri, base);
        return [{ id: url, kind, url, ...known('language', text(field(rendition, 'language'))), segments: [] }];
      }),
    ),
  );
}

function values(value: unknown): readonly unknown[] {
  return typeof value === 'object' && value !== null ? Object.values(value) : [];
}

/** `keys`: what is in force at each URI line of an encrypted playlist, in order; none for a clear one. */
function readSegments(manifest: unknown, base: string, keys: readonly UriKeys[]): readonly Segment[] {
  const raw = list(field(manifest, 'segments'));
  if (raw.length > LIMIT.segments) throw new UnusableManifest('too many segments');
  if (keys.length > 0 && keys.length !== raw.length) throw new UnusableManifest('its keys fit no segments');
  const firstSequence = amount(field(manifest, 'mediaSequence')) ?? 0;
  if (!Number.isSafeInteger(firstSequence + raw.length)) throw new UnusableManifest('its sequence is out of bounds');
  const segments: Segment[] = [];
  let startSeconds = 0;
  for (const [index, item] of raw.entries()) {
    const uri = text(field(item, 'uri'));
    if (uri === undefined) continue;
    const durationSeconds = amount(field(item, 'duration')) ?? 0;
    const map = field(item, 'map');
    const mapUri = text(field(map, 'uri'));
    const { own, ofInit } = keys[index] ?? {};
    const init =
      mapUri === undefined
        ? undefined
        : { ...resource(mapUri, field(map, 'byterange'), base), ...known('keys', ofInit) };
    const found = resource(uri, field(item, 'byterange'), base);
    segments.push({
      ...found,
      rendition: base,
      startSeconds,
      durationSeconds,
      ...known('init', init),
      ...(own === undefined ? {} : { keys: own, sequence: firstSequence + index }),
    });
    startSeconds += durationSeconds;
  }
  return segments;
}
