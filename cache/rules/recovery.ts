// How an origin is taken back into use after its breaker was open: few requests at once, and one more with every answer.

/** A recovering origin's room; a value, never changed in place. */
export type Recovery = {
  /** Requests that may run at once; undefined: as many as like. */
  readonly most: number | undefined;
};

/** Requests at once right after the probe succeeded. */
export const FIRST_AT_ONCE = 2;
/** At this many the origin counts as recovered. */
export const RECOVERED_AT = 64;

/** An origin that is not held back. */
export const RECOVERED: Recovery = { most: undefined };

/** The state after the probe of an open breaker succeeded. */
export function recovering(): Recovery {
  return { most: FIRST_AT_ONCE };
}

/** The state after an answer: it makes room for one more, so that bodies that come slowly never hold others back. */
export function afterAnswer(recovery: Recovery): Recovery {
  if (recovery.most === undefined) return recovery;
  return recovery.most + 1 >= RECOVERED_AT ? RECOVERED : { most: recovery.most + 1 };
}

/** Whether one more request may run beside `running` others. */
export function hasRoom(recovery: Recovery, running: number): boolean {
  return recovery.most === undefined || running < recovery.most;
}
