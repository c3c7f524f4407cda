// A consented session as other rooms may see it: a snapshot, read-only. sessions.ts holds what lives behind it.
import type { DwellBucket, EventType, Orientation, Raw } from './event.ts';

/** One title as one viewer watched it. */
export type Viewing = {
  readonly titleId: string;
  /** Where the viewer is, or left. */
  readonly positionSeconds: number;
  /** Media seconds that were played, seeks not counted. */
  readonly watchedSeconds: number;
  readonly durationSeconds?: number;
  /** When it was last seen, milliseconds since the epoch. */
  readonly at: number;
  /** At least 95 % of it was reached, or the player said that it ended. */
  readonly isCompleted: boolean;
};

/** What plays now. */
export type CurrentViewing = Viewing & {
  readonly isPlaying: boolean;
  /** 1 is normal speed. */
  readonly rate: number;
  readonly bitrateKbps?: number;
  readonly bufferMs?: number;
};

/** Something the viewer did, for the anticipation of what comes next. */
export type Action = {
  readonly type: EventType;
  readonly titleId: string;
  readonly at: number;
  readonly positionSeconds?: number;
  /** 0..1, of what was inferred from requests; absent: the player told it. */
  readonly confidence?: number;
};

/** A look at a title that may have stayed a look. */
export type Hover = { readonly titleId: string; readonly at: number; readonly dwellBucket?: DwellBucket };

/** A read-only snapshot of one consented session. */
export type Session = {
  readonly sid: Raw<string>;
  /**
   * Who: the same on every device that shows the same signed viewer token; without a token the session's pseudonym of
   * the day. Hexadecimal, and useless without a key that only lives in RAM.
   */
  readonly viewer: Raw<string>;
  readonly current?: CurrentViewing;
  /** The title under the pointer now. */
  readonly hovered?: Hover;
  /** Another title of which the player said, with its last request, that it asks for it next. */
  readonly announced?: { readonly titleId: string };
  /** Newest first, the current one included, at most 50; each title once. */
  readonly history: readonly Viewing[];
  /** Newest first, at most 20. */
  readonly hovers: readonly Hover[];
  /** Newest first, at most 32. */
  readonly actions: readonly Action[];
  readonly orientation?: Orientation;
};
