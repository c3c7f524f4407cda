// What previews are told of a session: its taste, by the same evidence that ranks titles, so that both follow one memory, and
// where in a title a seek began.
import { evidenceOf } from './predict/taste.ts';
import type { ViewerHistory } from './preview/decide.ts';
import type { ViewerEvent } from './telemetry/event.ts';
import type { Session } from './telemetry/session.ts';

/** Titles that speak for the taste of a session, the weightiest first, each by its weight; undefined without a session. */
export function historyOf(session: Session | undefined, now: number): ViewerHistory | undefined {
  if (session === undefined) return undefined;
  const liked = evidenceOf(session, now).filter(({ weight }) => weight > 0);
  const watched = liked
    .sort((one, other) => other.weight - one.weight)
    .map(({ titleId, weight }) => ({ titleId, watchedRatio: weight }));
  return { watched };
}

/** Longest play between two words of a player that its position is guessed over, milliseconds. */
const LONGEST_PLAY_MS = 4 * 3_600_000;

/**
 * Media time at which a seek began: where the player was when it last told of this title, and what was played since.
 * Undefined without a session, and where the player told nothing before.
 */
export function soughtFrom(
  session: Pick<Session, 'actions'> | undefined,
  { type, title, at }: Pick<ViewerEvent, 'type' | 'title' | 'at'>,
): number | undefined {
  if (type !== 'seek') return undefined;
  const before = session?.actions.filter((action) => action.titleId === title && action.at < at) ?? [];
  const last = before.find(({ positionSeconds }) => positionSeconds !== undefined);
  if (last?.positionSeconds === undefined) return undefined;
  // A player that seeks goes on as it was: playing, unless it was paused before.
  const state = before.find((action) => action.type === 'play' || action.type === 'pause' || action.type === 'stop');
  const playedMs = state?.type === 'play' ? Math.min(LONGEST_PLAY_MS, at - last.at) : 0;
  return last.positionSeconds + playedMs / 1000;
}
