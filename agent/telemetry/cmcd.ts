// CMCD v1 and v2 (CTA-5004, CTA-5004-B) from query, headers and event-mode bodies, into one small type. Lenient: what
// cannot be read is left out, and nothing here throws.
import type { Raw } from './event.ts';

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
  /** Event mode alone: the event's code (`ps`, `t`, `bc`, ...), the name of a custom one, and its time. */
  readonly event?: string;
  readonly customEvent?: string;
  readonly at?: number;
};
