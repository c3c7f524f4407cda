// What previews are told of a viewer's taste: the same evidence that ranks titles, so that both follow one memory.
import { evidenceOf } from './predict/taste.ts';
import type { ViewerHistory } from './preview/preview.ts';
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
