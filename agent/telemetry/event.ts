// The one schema of what a player may tell us: its bounds, its closed lists, and its validation. Raw values carry a
// brand that the log refuses. Nothing biometric has a place here: no camera, microphone or motion, only enums.
import type { Kind } from '../../cache/cache.ts';

declare const rawTelemetry: unique symbol;
/**
 * A value as a viewer sent it or that points to one viewer. It may live in RAM and be compared; it is never written to
 * a log, a metric or a disk. The brand exists for the compiler alone, and agent/log.ts refuses it by type.
 */
export type Raw<T extends string | number> = T & { readonly [rawTelemetry]: true };

/** Brands a value at the border where it was parsed. */
export function raw<T extends string | number>(value: T): Raw<T> {
  // Sound: the brand has no run-time form, so every value already is its own branded form.
  return value as Raw<T>;
}

/** What a player reports. */
export const EVENT_TYPES = [
  'play',
  'pause',
  'seek',
  'rate',
  'hover',
  'unhover',
  'open',
  'next',
  'stop',
  'mute',
  'orientation',
] as const;
/** One of EVENT_TYPES. */
export type EventType = (typeof EVENT_TYPES)[number];

/** How the screen is held; the only thing that is taken from a motion sensor, and the player derives it. */
export const ORIENTATIONS = ['portrait', 'landscape'] as const;
/** One of ORIENTATIONS. */
export type Orientation = (typeof ORIENTATIONS)[number];

/** How long a pointer or a finger rested on a title, in seconds; the player rounds before it sends. */
export const DWELL_BUCKETS = ['under-1', '1-3', '3-10', 'over-10'] as const;
/** One of DWELL_BUCKETS. */
export type DwellBucket = (typeof DWELL_BUCKETS)[number];

/** `none`: counters of titles only. `personal`: taste and history, in RAM. */
export const CONSENTS = ['none', 'personal'] as const;
/** One of CONSENTS. */
export type Consent = (typeof CONSENTS)[number];

/** One thing a viewer did. It names no viewer: who it was is told beside it, and only with consent. */
export type ViewerEvent = {
  /** Milliseconds since the epoch, never later than the arrival and at most MAX_EVENT_AGE_MS before it. */
  readonly at: number;
  readonly type: EventType;
  /** Catalogue id of the title. */
  readonly title: string;
  /** Media time at which it happened, 0..MAX_POSITION_SECONDS. */
  readonly positionSeconds?: number;
  /** Playback rate, 0..MAX_RATE. */
  readonly rate?: number;
  readonly orientation?: Orientation;
  readonly dwellBucket?: DwellBucket;
  /** How sure it is that this happened, 0..1, where it was inferred from requests; absent: the player told it. */
  readonly confidence?: number;
  /** Signed single-use token of the preview arm that this event rewards. */
  readonly rewardToken?: Raw<string>;
};

/** A beacon: what one player sent at once. */
export type EventBatch = {
  readonly sid: Raw<string>;
  readonly consent: Consent;
  /** The publisher's signed viewer token, unverified. */
  readonly viewerToken?: Raw<string>;
  readonly events: readonly ViewerEvent[];
  /** Events of this batch that broke the schema and were left out. */
  readonly invalid: number;
};

/** Why a beacon was refused. */
export const EVENTS_CODES = ['EVENTS_TOO_LARGE', 'EVENTS_NOT_JSON', 'EVENTS_VERSION', 'EVENTS_INVALID'] as const;
/** One of EVENTS_CODES. */
export type EventsCode = (typeof EVENTS_CODES)[number];

/** A validated beacon, or its refusal; `message` names the rule and repeats nothing of what was sent. */
export type ParsedEvents =
  | { readonly ok: true; readonly batch: EventBatch }
  | { readonly ok: false; readonly code: EventsCode; readonly message: string };

/** A small counted fact about a title, free of any viewer. `watch` is in seconds, the others in occurrences. */
export type TitleFact = {
  readonly titleId: string;
  readonly kind: 'play' | 'watch' | 'hover' | 'complete';
  readonly amount: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
};

/** A request that was served, as telemetry sees it. It names no viewer: who it was is told beside it. */
export type ViewerRequest = {
  readonly at: number;
  readonly path: string;
  readonly kind: Kind;
  readonly titleId?: string;
  /** Paths on this node that the player says it will ask for next, query included; at most 8. */
  readonly nextPaths: readonly string[];
  readonly bitrateKbps?: number;
  readonly bufferMs?: number;
  /** What the player measured, and the best bitrate that it may take. */
  readonly throughputKbps?: number;
  readonly topBitrateKbps?: number;
  /** The cache had it. */
  readonly isHit: boolean;
  /** Body bytes that were sent, and how long that took. */
  readonly sentBytes: number;
  readonly sentMs: number;
  /** Media duration of the object. */
  readonly objectSeconds?: number;
  readonly rate?: number;
  /** The player fills its buffer for the first time, or after a seek or a stall. */
  readonly isStartup: boolean;
  /** Its buffer ran empty since its last request. */
  readonly isStarved: boolean;
};

/** Largest beacon, bytes (the contract's). */
export const MAX_BATCH_BYTES = 16 * 1024;
/** Most events of a beacon (the contract's). */
export const MAX_BATCH_EVENTS = 64;
/** Longest id of a session or a title, characters. */
export const MAX_ID_LENGTH = 128;
/** Longest signed token, characters. */
export const MAX_TOKEN_LENGTH = 1024;
/** Longest media time, a week of live video. */
export const MAX_POSITION_SECONDS = 7 * 86_400;
/** Fastest playback rate. */
export const MAX_RATE = 16;
/** How far behind its arrival an event is believed to have happened; older ones are taken for that old. */
const MAX_EVENT_AGE_MS = 3_600_000;
/** A clock that is further off than this says nothing; its events are refused. */
const MAX_CLOCK_ERROR_MS = 86_400_000;

const SID = /^[\x21-\x7e]{1,128}$/;
/** A title id is one path segment, and none that climbs. */
const TITLE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** True for what may be a session id: visible ASCII, at most MAX_ID_LENGTH of it. */
export function isSid(value: unknown): value is string {
  return typeof value === 'string' && SID.test(value);
}

/** True for what may be a title id: never a path, never hidden, at most MAX_ID_LENGTH characters. */
export function isTitleId(value: unknown): value is string {
  return typeof value === 'string' && TITLE_ID.test(value);
}

/** The time to believe of a reported one: at most now, at least MAX_EVENT_AGE_MS ago; undefined when it is absurd. */
export function believedTime(at: unknown, now: number): number | undefined {
  if (typeof at !== 'number' || !Number.isFinite(at) || Math.abs(at - now) > MAX_CLOCK_ERROR_MS) return undefined;
  return Math.max(now - MAX_EVENT_AGE_MS, Math.min(now, at));
}

/**
 * Validates a beacon. Unknown keys are ignored and not kept; an event that breaks the schema is left out and counted
 * in `invalid`; a beacon of which nothing is left is refused. Never throws.
 */
export function parseEvents(body: Uint8Array, now: number): ParsedEvents {
  if (body.byteLength > MAX_BATCH_BYTES) {
    return refuse('EVENTS_TOO_LARGE', `a beacon has at most ${MAX_BATCH_BYTES} bytes; send fewer events at once`);
  }
  const content = parseJson(body);
  if (content === undefined) return refuse('EVENTS_NOT_JSON', 'the body is not JSON in UTF-8');
  if (!isRecord(content)) return refuse('EVENTS_INVALID', 'expected an object');
  if (content['version'] !== 1) return refuse('EVENTS_VERSION', 'expected "version": 1');
  const { sid, consent, viewerToken, events } = content;
  if (!isSid(sid)) return refuse('EVENTS_INVALID', `"sid" must be 1 to ${MAX_ID_LENGTH} visible ASCII characters`);
  if (!isOneOf(CONSENTS, consent)) return refuse('EVENTS_INVALID', `"consent" must be one of ${CONSENTS.join(', ')}`);
  if (viewerToken !== undefined && !isToken(viewerToken)) {
    return refuse('EVENTS_INVALID', `"viewerToken" must be a string of at most ${MAX_TOKEN_LENGTH} characters`);
  }
  if (!Array.isArray(events)) return refuse('EVENTS_INVALID', '"events" must be a list');
  if (events.length > MAX_BATCH_EVENTS) {
    return refuse('EVENTS_TOO_LARGE', `a beacon has at most ${MAX_BATCH_EVENTS} events; send the others in another`);
  }
  const valid = events.flatMap((event) => parseEvent(event, now) ?? []);
  if (valid.length === 0 && events.length > 0) {
    return refuse('EVENTS_INVALID', 'no event has a believable "at", a known "type" and a "title"');
  }
  return {
    ok: true,
    batch: {
      sid: raw(sid),
      consent,
      ...(viewerToken === undefined ? {} : { viewerToken: raw(viewerToken) }),
      events: valid,
      invalid: events.length - valid.length,
    },
  };
}

function refuse(code: EventsCode, message: string): ParsedEvents {
  return { ok: false, code, message };
}

/** One event with what is known and in bounds of it; undefined when a key that it has is out of bounds. */
function parseEvent(value: unknown, now: number): ViewerEvent | undefined {
  if (!isRecord(value)) return undefined;
  const { type, title, positionSeconds, rate, orientation, dwellBucket, rewardToken } = value;
  const at = believedTime(value['at'], now);
  if (at === undefined || !isOneOf(EVENT_TYPES, type) || !isTitleId(title)) return undefined;
  if (!isAbsentOr(positionSeconds, (it) => isWithin(it, MAX_POSITION_SECONDS))) return undefined;
  if (!isAbsentOr(rate, (it) => isWithin(it, MAX_RATE))) return undefined;
  if (!isAbsentOr(orientation, (it) => isOneOf(ORIENTATIONS, it))) return undefined;
  if (!isAbsentOr(dwellBucket, (it) => isOneOf(DWELL_BUCKETS, it))) return undefined;
  if (!isAbsentOr(rewardToken, isToken)) return undefined;
  return {
    at,
    type,
    title,
    ...(isWithin(positionSeconds, MAX_POSITION_SECONDS) ? { positionSeconds } : {}),
    ...(isWithin(rate, MAX_RATE) ? { rate } : {}),
    ...(isOneOf(ORIENTATIONS, orientation) ? { orientation } : {}),
    ...(isOneOf(DWELL_BUCKETS, dwellBucket) ? { dwellBucket } : {}),
    ...(isToken(rewardToken) ? { rewardToken: raw(rewardToken) } : {}),
  };
}

/** Strict UTF-8: a replacement character would join what a sender kept apart. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Text of a body that is UTF-8; undefined when it is not. */
export function decodeUtf8(body: Uint8Array): string | undefined {
  try {
    return utf8.decode(body);
  } catch {
    // Not UTF-8 is what the caller asks about.
    return undefined;
  }
}

function parseJson(body: Uint8Array): unknown {
  const text = decodeUtf8(body);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON is what the caller asks about.
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isOneOf<const T extends readonly string[]>(list: T, value: unknown): value is T[number] {
  return typeof value === 'string' && list.includes(value);
}

function isAbsentOr(value: unknown, isValid: (value: unknown) => boolean): boolean {
  return value === undefined || isValid(value);
}

function isWithin(value: unknown, most: number): value is number {
  return typeof value === 'number' && value >= 0 && value <= most;
}

function isToken(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_TOKEN_LENGTH;
}
