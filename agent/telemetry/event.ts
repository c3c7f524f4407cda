// The one schema of what a player may tell us: its bounds, its closed lists, and its validation. Raw values carry a
// brand that the log refuses. Nothing biometric has a place here: no camera, microphone or motion, only enums.

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
