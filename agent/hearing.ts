// What comes from viewers, told on: to popularity and plans, to prefetch, and to the preview that is rewarded for it.
import type { Log } from '../cache/cache.ts';
import type { Catalogue } from './catalogue.ts';
import type { Config } from './config.ts';
import type { Expectation } from './expectation.ts';
import type { Hints } from './hints.ts';
import { openPlans, type Plans } from './plans.ts';
import type { Prediction } from './prediction.ts';
import type { Prefetching } from './prefetching.ts';
import type { Previews } from './previews.ts';
import { type AccessLogs, openAccessLogs } from './telemetry/access-log.ts';
import { type Intake, openIntake } from './telemetry/intake.ts';
import type { Sessions } from './telemetry/sessions.ts';

/** The rooms that are told. */
export type HearingRooms = {
  readonly catalogue: Catalogue;
  readonly sessions: Sessions;
  readonly prediction: Prediction;
  readonly prefetching: Prefetching;
  readonly previews: Previews;
  readonly expectation: Expectation;
  readonly hints: Hints;
};

/** What is opened. */
export type Hearing = {
  readonly intake: Intake;
  readonly plans: Plans;
  /** Other caches' logs. */
  readonly accessLogs: Pick<AccessLogs, 'stats'>;
  readonly close: () => Promise<void>;
};

/** How often players are looked at that have gone silent. */
const TICK_MS = 500;

function openIntakeOver(
  { config, now }: { readonly config: Config; readonly now: () => number },
  rooms: HearingRooms & { readonly plans: Plans },
  durationOf: (titleId: string) => number | undefined,
): Intake {
  const { catalogue, sessions, prediction, prefetching, previews, plans, expectation, hints } = rooms;
  const isTitle = (titleId: string): boolean =>
    catalogue.title(titleId) !== undefined || catalogue.published(titleId) !== undefined;
  return openIntake({
    sessions,
    now,
    titleOf: catalogue.titleOf,
    isTitle,
    durationOf,
    maxPerViewerPerMinute: config.telemetry.maxEventsPerViewerPerMinute,
    maxPerAddressPerMinute: config.telemetry.maxEventsPerAddressPerMinute,
    maxPerMinute: config.telemetry.maxEventsPerMinute,
    maxTitleRatio: config.telemetry.maxTitleRatio,
    onTitle: ({ titleId, kind, amount, at }) => {
      if (kind === 'play') prediction.played({ titleId, at, weight: amount });
    },
    onEvent: (event, session) => {
      const { type, title: titleId, positionSeconds } = event;
      if (session !== undefined) {
        prediction.seen(session);
        plans.heard(session);
      }
      const what = { type, titleId, ...(positionSeconds === undefined ? {} : { positionSeconds }) };
      if (isTitle(titleId)) prefetching.happened({ ...what, ...(session === undefined ? {} : { sid: session.sid }) });
      previews.happened(event, session);
    },
    onRequest: (request, session) => {
      if (session !== undefined) {
        prediction.seen(session);
        plans.heard(session);
      }
      const { path, kind, titleId, nextPaths, isHit } = request;
      if (kind === 'segment') hints.served(request);
      const viewing = { ...request, ...(session === undefined ? {} : { sid: session.sid }) };
      const part = { path, kind, status: 200, ...(titleId === undefined ? {} : { title: titleId }) };
      prefetching.served({ ...part, isHit, viewing }, nextPaths);
      expectation.served(part);
    },
  });
}

/** Opens intake, plans and the logs of other caches. */
export function openHearing(
  options: { readonly config: Config; readonly now: () => number; readonly log: Log },
  rooms: HearingRooms,
  durationOf: (titleId: string) => number | undefined,
): Hearing {
  const { config, now, log } = options;
  const plans = openPlans({
    rank: rooms.prediction.rank,
    sessionOf: rooms.sessions.get,
    turned: rooms.prediction.predictor.turned,
    onPlan: (titles, sid) => {
      rooms.prefetching.likely(titles, sid);
      const titleIds = titles.map(({ titleId }) => titleId);
      void rooms.previews.expected(titleIds, sid);
    },
    maxSessions: config.telemetry.maxSessions,
    now,
  });
  const intake = openIntakeOver(options, { ...rooms, plans }, durationOf);
  const ticker = setInterval(intake.tick, TICK_MS);
  ticker.unref();
  const logs = openAccessLogs({ files: config.telemetry.accessLogs, logged: intake.logged, log });
  return {
    intake,
    plans,
    accessLogs: logs,
    close: async () => {
      clearInterval(ticker);
      await logs.close();
      intake.close();
      plans.close();
    },
  };
}
