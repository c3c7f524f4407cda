// Whether this process falls behind: the event loop's own queueing delay, judged as CoDel judges a queue, so that a burst
// is taken in and a standing queue is not.

/** Between two looks at the loop, milliseconds. */
const TICK_MS = 10;
/** A queue that has stood for so long is no burst (the role of CoDel's interval, RFC 8289 section 4.3). */
const INTERVAL_MS = 500;
/** For so long after shedding the first late look begins it anew, as CoDel remembers that it dropped (section 4.2). */
const RECENT_MS = 1_000;

/**
 * Of the time that a queue has stood, the part that this process must have worked itself. With less it waits for a CPU
 * that others have, which turning viewers away hardly shortens: then only a delay as below, for as long, counts.
 */
const LEAST_BUSY = 0.5;
const STARVED_DELAYS = 5;
const STARVED_INTERVAL_MS = 4 * INTERVAL_MS;

/** A look at the loop: when, how much later than it was due, and the CPU time of the loop so far. Milliseconds. */
export type Look = { readonly atMs: number; readonly delayMs: number; readonly busyMs: number };
/** What is known of a queue: the first look that found it, whether newcomers are turned away for it, and when last. */
export type Standing = { readonly first: Look | undefined; readonly isShedding: boolean; readonly shedAtMs: number };

/** No queue yet. */
export const CLEAR: Standing = { first: undefined, isShedding: false, shedAtMs: Number.NEGATIVE_INFINITY };

/**
 * The judgement after one more look: one that was at most `targetMs` late ends the queue, and the shedding with it.
 */
export function judge({ first, shedAtMs }: Standing, look: Look, targetMs: number): Standing {
  if (look.delayMs <= targetMs) return { first: undefined, isShedding: false, shedAtMs };
  if (look.atMs - shedAtMs <= RECENT_MS) return { first: first ?? look, isShedding: true, shedAtMs: look.atMs };
  if (first === undefined) return { first: look, isShedding: false, shedAtMs };
  const stoodMs = look.atMs - first.atMs;
  const isBusy = look.busyMs - first.busyMs >= stoodMs * LEAST_BUSY;
  const isStarved = look.delayMs > STARVED_DELAYS * targetMs && stoodMs >= STARVED_INTERVAL_MS;
  const isShedding = stoodMs >= INTERVAL_MS && (isBusy || isStarved);
  return { first, isShedding, shedAtMs: isShedding ? look.atMs : shedAtMs };
}

function busyMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Watches the event loop of this thread; isShedding() is the judgement of now. `targetMs` 0: it never is. */
export function watchOverload(targetMs: number): { readonly isShedding: () => boolean; readonly close: () => void } {
  let standing = CLEAR;
  let dueMs = performance.now() + TICK_MS;
  const timer = setInterval(() => {
    const atMs = performance.now();
    standing = judge(standing, { atMs, delayMs: atMs - dueMs, busyMs: busyMs() }, targetMs);
    dueMs = atMs + TICK_MS;
  }, TICK_MS);
  timer.unref();
  return { isShedding: () => targetMs > 0 && standing.isShedding, close: () => clearInterval(timer) };
}
