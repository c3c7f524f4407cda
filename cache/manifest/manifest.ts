// What a manifest says, whichever protocol it speaks, the limits on it, and how fields of untyped parsers are read.

/** A range of bytes within a resource. */
export type ByteRange = { readonly offset: number; readonly length: number };

/** A resource, or a part of one. URLs are absolute. */
export type Resource = { readonly url: string; readonly byteRange?: ByteRange };

/** One media segment of a rendition, in the order of play. */
export type Segment = Resource & {
  /** Id of the rendition that it belongs to. */
  readonly rendition: string;
  /**
   * Media time. For HLS it counts from the first segment of the playlist, for DASH from the start of the presentation;
   * so in a live HLS playlist it means nothing beyond this one copy of it.
   */
  readonly startSeconds: number;
  readonly durationSeconds: number;
  /** Needed before this segment can be decoded; absent for transport streams and text. */
  readonly init?: Resource & Pick<Segment, 'keys'>;
  /**
   * HLS: attribute lists, as written, of the EXT-X-KEY lines in force (RFC 8216 section 4.3.2.4), one a KEYFORMAT;
   * absent where the segment is not encrypted. Relative URIs in them start at the playlist.
   */
  readonly keys?: readonly string[];
  /** HLS, beside `keys`: the Media Sequence Number, which is the IV where an identity key names none. */
  readonly sequence?: number;
};

/** One encoded variant, audio or text track. */
export type Rendition = {
  readonly id: string;
  readonly kind: 'video' | 'audio' | 'text';
  /** Media playlist to fetch for the segments; only in HLS multivariant playlists. */
  readonly url?: string;
  /** Peak, bits a second. */
  readonly bandwidthBps?: number;
  readonly averageBandwidthBps?: number;
  readonly codecs?: string;
  readonly width?: number;
  readonly height?: number;
  readonly language?: string;
  /** Empty in an HLS multivariant playlist. */
  readonly segments: readonly Segment[];
};

/** A parsed manifest. */
export type Manifest = {
  readonly protocol: 'hls' | 'dash';
  /** More segments will come: no end is declared. */
  readonly isLive: boolean;
  /** Encrypted, whatever the scheme: an EXT-X-KEY or ContentProtection was seen. */
  readonly isSealed: boolean;
  readonly renditions: readonly Rendition[];
};

/** Why a text is no manifest that can be used; one line, no text of the manifest in it. */
export type ManifestProblem = { readonly problem: string };

/** Most that is read of one manifest. A ten-hour title in 2 s segments and ten renditions has 180 000 segments. */
export const LIMIT = {
  hlsCharacters: 4_194_304,
  dashCharacters: 1_048_576,
  renditions: 1000,
  segments: 200_000,
  urlCharacters: 8192,
  keyFormats: 16,
} as const;

/** Raised inside the room and turned into a ManifestProblem at its door. */
export class UnusableManifest extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnusableManifest';
  }
}

/** A field of an object from an untyped parser; undefined when there is none. Only own fields. */
export function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  // Any object may be read by a name that it has; what comes back is unknown.
  return (value as Readonly<Record<string, unknown>>)[name];
}

/** The elements of an array, or none. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A string that says something. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A finite number that is not negative. */
export function amount(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** `reference` against `base`, http and https only, without fragment. Throws UnusableManifest for anything else. */
export function absoluteUrl(reference: string, base: string): string {
  if (reference.length > LIMIT.urlCharacters) throw new UnusableManifest('a URL is too long');
  const url = URL.parse(reference, base);
  if (url === null) throw new UnusableManifest('a URL cannot be parsed');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new UnusableManifest('a URL is not http or https');
  url.hash = '';
  return url.href;
}

/** A resource from a parser's `{uri, byterange: {offset, length}}`. */
export function resource(uri: string, byterange: unknown, base: string): Resource {
  const url = absoluteUrl(uri, base);
  const length = amount(field(byterange, 'length'));
  if (length === undefined) return { url };
  const offset = amount(field(byterange, 'offset')) ?? 0;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(offset + length)) {
    throw new UnusableManifest('a byte range is out of bounds');
  }
  return { url, byteRange: { offset, length } };
}

/** `{ [name]: value }`, or nothing when the value is not known: optional fields are absent, never undefined. */
export function known<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { readonly [key in Name]?: Value } {
  // A literal with a computed key has type { [x: string]: Value }; its one key is `name`.
  return value === undefined ? {} : ({ [name]: value } as { readonly [key in Name]: Value });
}
