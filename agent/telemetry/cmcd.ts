// CMCD v1 and v2 (CTA-5004, CTA-5004-B) from query, headers and event-mode bodies, into one small type. Lenient: what
// cannot be read is left out, and nothing here throws.
import { decodeCmcd } from '@svta/cml-cmcd';
import type { RawCmcd } from '../../cache/cache.ts';
import { isSid, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_POSITION_SECONDS, type Raw, raw } from './event.ts';

/** Media object types of CMCD's `ot`. */
export const OBJECT_TYPES = [
  'manifest',
  'audio',
  'video',
  'muxed',
  'init',
  'text',
  'timed-text',
  'key',
  'other',
] as const;
/** One of OBJECT_TYPES. */
export type ObjectType = (typeof OBJECT_TYPES)[number];

/** Player states of CMCD's `sta`. */
export const PLAY_STATES = [
  'preloading',
  'starting',
  'playing',
  'seeking',
  'rebuffering',
  'paused',
  'waiting',
  'ended',
  'failed',
  'quit',
] as const;
/** One of PLAY_STATES. */
export type PlayState = (typeof PLAY_STATES)[number];

/** What one request or one event report said of playback. */
export type CmcdReport = {
  readonly version: 1 | 2;
  readonly sid?: Raw<string>;
  /** Content id; a title id where the publisher sets it so. */
  readonly cid?: string;
  readonly objectType?: ObjectType;
  /** Encoded bitrate of the object asked for. */
  readonly bitrateKbps?: number;
  readonly bufferMs?: number;
  /** What the player measured (`mtp`), and the best bitrate that it may take (`tb`). */
  readonly throughputKbps?: number;
  readonly topBitrateKbps?: number;
  /** Media duration of the object asked for. */
  readonly objectSeconds?: number;
  /** Relative to the request's URL, percent-decoded, at most MAX_NEXT_OBJECTS. */
  readonly nextObjectUrls: readonly string[];
  readonly playState?: PlayState;
  /** Playback rate; 0 is not playing. */
  readonly rate?: number;
  readonly positionSeconds?: number;
  /** The buffer is being filled for the first time or after a seek or a stall. */
  readonly isStartup: boolean;
  /** The buffer ran empty since the last report. */
  readonly isStarved: boolean;
  /** Event mode alone, of a response that a player received (`rr`): what was asked for. */
  readonly url?: string;
  /** Event mode alone: the event's code (`ps`, `t`, `bc`, ...), the name of a custom one, and its time. */
  readonly event?: string;
  readonly customEvent?: string;
  readonly at?: number;
};

/** Longest CMCD of one request, characters; what is longer is no CMCD of a player. */
const MAX_CMCD_LENGTH = 4096;
const MAX_NEXT_OBJECTS = 8;
const MAX_URL_LENGTH = 2048;

/** CTA-5004 section 3.2, key `ot`. */
const OBJECT_TYPE_BY_CODE: Readonly<Record<string, ObjectType>> = {
  m: 'manifest',
  a: 'audio',
  v: 'video',
  av: 'muxed',
  i: 'init',
  c: 'text',
  tt: 'timed-text',
  k: 'key',
  o: 'other',
};

/** CTA-5004-B, key `sta`. */
const PLAY_STATE_BY_CODE: Readonly<Record<string, PlayState>> = {
  d: 'preloading',
  s: 'starting',
  p: 'playing',
  k: 'seeking',
  r: 'rebuffering',
  a: 'paused',
  w: 'waiting',
  e: 'ended',
  f: 'failed',
  q: 'quit',
};

/** Reads the CMCD of one request, from query and headers alike; undefined when there is none to read. Never throws. */
export function parseCmcd(source: RawCmcd): CmcdReport | undefined {
  const parts = [...(source.query === undefined ? [] : [withoutEncoding(source.query)])];
  for (const value of Object.values(source.headers ?? {})) parts.push(value);
  return parseDictionary(parts.filter((part) => part !== '').join(','));
}

/**
 * Reads the body of an event-mode POST, a dictionary a line, at most MAX_BATCH_EVENTS of them. Lines of which nothing
 * can be read are counted. Never throws.
 */
export function parseCmcdEvents(text: string): { readonly reports: readonly CmcdReport[]; readonly invalid: number } {
  const lines = text
    .slice(0, MAX_BATCH_BYTES)
    .split('\n')
    .filter((line) => line.trim() !== '');
  const reports = lines.slice(0, MAX_BATCH_EVENTS).flatMap((line) => parseDictionary(line.trim()) ?? []);
  return { reports, invalid: lines.length - reports.length };
}

/** The value of the query parameter, which may still be percent-encoded: encoded, it has none of these three. */
function withoutEncoding(query: string): string {
  const value = query.replace(/^\??CMCD=/, '');
  return /[=",]/.test(value) ? value : decodePercent(value);
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Badly encoded: read as it is, which may still give a part of it.
    return text;
  }
}

function parseDictionary(text: string): CmcdReport | undefined {
  if (text === '' || text.length > MAX_CMCD_LENGTH) return undefined;
  const keys = decode(text) ?? decodeMembers(text);
  return Object.keys(keys).length === 0 ? undefined : toReport(keys);
}

function decode(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return { ...decodeCmcd(text) };
  } catch {
    // Not a structured dictionary (RFC 9651) as a whole; the caller then reads member by member.
    return undefined;
  }
}

/** Each member by itself, so that one malformed value costs no other. Players of old leave strings unquoted. */
function decodeMembers(text: string): Readonly<Record<string, unknown>> {
  const keys: Record<string, unknown> = {};
  for (const member of splitMembers(text)) {
    Object.assign(keys, decode(member.trim()) ?? decode(member.trim().replace(/^(sid|cid)=([^"]*)"?$/, '$1="$2"')));
  }
  return keys;
}

/** Splits at the commas outside quotes and brackets, in one pass. */
function splitMembers(text: string): readonly string[] {
  const members: string[] = [];
  let start = 0;
  let isQuoted = false;
  let depth = 0;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (char === '\\') i += 1;
    else if (char === '"') isQuoted = !isQuoted;
    else if (isQuoted) continue;
    else if (char === '(') depth += 1;
    else if (char === ')') depth -= 1;
    else if (char === ',' && depth <= 0) {
      members.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return [...members, text.slice(start)];
}

function toReport(keys: Readonly<Record<string, unknown>>): CmcdReport {
  const version = keys['v'] === 2 ? 2 : 1;
  const code = text(keys['ot']) ?? '';
  const objectType = Object.hasOwn(OBJECT_TYPE_BY_CODE, code) ? OBJECT_TYPE_BY_CODE[code] : undefined;
  const state = text(keys['sta']) ?? '';
  const playState = Object.hasOwn(PLAY_STATE_BY_CODE, state) ? PLAY_STATE_BY_CODE[state] : undefined;
  const sid = text(keys['sid']);
  const positionMs = number(keys['pt'], code);
  const objectMs = number(keys['d'], code);
  return {
    version,
    ...known('sid', isSid(sid) ? raw(sid) : undefined),
    ...known('cid', text(keys['cid'])),
    ...known('objectType', objectType),
    ...known('bitrateKbps', number(keys['br'], code)),
    ...known('bufferMs', number(keys['bl'], code)),
    ...known('throughputKbps', number(keys['mtp'], code)),
    ...known('topBitrateKbps', number(keys['tb'], code)),
    ...known('objectSeconds', objectMs === undefined || objectMs > 600_000 ? undefined : objectMs / 1000),
    nextObjectUrls: nextObjects(keys['nor'], version),
    ...known('playState', playState),
    ...known('rate', number(keys['pr'], code)),
    ...known(
      'positionSeconds',
      positionMs === undefined ? undefined : Math.min(MAX_POSITION_SECONDS, positionMs / 1000),
    ),
    isStartup: isTrue(keys['su']),
    isStarved: isTrue(keys['bs']),
    ...known('url', urlOf(keys['url'])),
    ...known('event', text(keys['e'])),
    ...known('customEvent', text(keys['cen'])),
    ...known('at', number(keys['ts'], code)),
  };
}

/** The property, or nothing where it is not known: an absent key and an undefined one differ to a reader. */
function known<Key extends string, T>(key: Key, value: T | undefined): { readonly [K in Key]?: T } {
  // Sound: the object has that one key and a T under it, or nothing at all; a computed key loses its literal type.
  return (value === undefined ? {} : { [key]: value }) as { readonly [K in Key]?: T };
}

/** An item's bare value, parameters apart: v2 wraps values that carry parameters. */
function bare(item: unknown): unknown {
  return typeof item === 'object' && item !== null && 'value' in item ? item.value : item;
}

function text(item: unknown): string | undefined {
  const value = bare(item);
  const string = typeof value === 'symbol' ? value.description : value;
  return typeof string === 'string' && string !== '' && string.length <= 256 ? string : undefined;
}

/** A number, or from v2's list (one entry for each object type) the one for this object type, else the first. */
function number(item: unknown, objectCode: string): number | undefined {
  const entries: readonly unknown[] = Array.isArray(item) ? item : [item];
  const own = entries.find((entry) => {
    const params = typeof entry === 'object' && entry !== null && 'params' in entry ? entry.params : undefined;
    return typeof params === 'object' && params !== null && Object.hasOwn(params, objectCode);
  });
  const value = bare(own ?? entries[0]);
  const plain = value instanceof Date ? value.getTime() : value;
  return typeof plain === 'number' && Number.isFinite(plain) && plain >= 0 ? plain : undefined;
}

function urlOf(item: unknown): string | undefined {
  const value = bare(item);
  return typeof value === 'string' && value !== '' && value.length <= MAX_URL_LENGTH ? value : undefined;
}

function isTrue(item: unknown): boolean {
  return Array.isArray(item) ? item.length > 0 : bare(item) === true;
}

/** Version 1 percent-encodes its one URL, version 2 lists plain ones (CTA-5004 and CTA-5004-B, key `nor`). */
function nextObjects(item: unknown, version: 1 | 2): readonly string[] {
  const entries: readonly unknown[] = Array.isArray(item) ? item : [item];
  return entries.slice(0, MAX_NEXT_OBJECTS).flatMap((entry) => {
    const value = bare(entry);
    if (typeof value !== 'string' || value === '' || value.length > MAX_URL_LENGTH) return [];
    return [version === 1 ? decodePercent(value) : value];
  });
}
