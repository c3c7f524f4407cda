// A telemetry room on a real database with a clock that the test turns: what the tests of sessions and intake share.
import { createHmac } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { openState, type State } from '../../../agent/state.ts';
import type { TitleFact, ViewerEvent, ViewerRequest } from '../../../agent/telemetry/event.ts';
import { type Intake, openIntake } from '../../../agent/telemetry/intake.ts';
import type { Session } from '../../../agent/telemetry/session.ts';
import { openSessions, type Sessions } from '../../../agent/telemetry/sessions.ts';
import type { ServedRecord } from '../../../cache/cache.ts';

const SECRET = Buffer.from('the publisher knows it too');
/** When every test begins. */
export const START = Date.UTC(2026, 10, 20, 12);

/** A viewer token that is good for an hour after START. */
export function tokenOf(subject: string): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256' })}.${part({ sub: subject, exp: START / 1000 + 3600 })}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

/** Everything of a telemetry room that a test may look at. */
export type World = {
  readonly clock: { now: number };
  readonly state: State;
  readonly sessions: Sessions;
  readonly intake: Intake;
  readonly facts: TitleFact[];
  readonly events: { readonly event: ViewerEvent; readonly session: Session | undefined }[];
  readonly requests: { readonly request: ViewerRequest; readonly session: Session | undefined }[];
  /** Posts a beacon of these events, one second apart from now on unless they say when. */
  readonly beacon: (who: Readonly<Record<string, unknown>>, events: readonly Partial<ViewerEvent>[]) => number;
  readonly bytesOnDisk: () => string;
  readonly close: () => void;
};

/** Opens a world in a directory; titles t1, t2 and t3 last 100 s. */
export function openWorld(
  dir: string,
  limits: {
    maxSessions?: number;
    perViewer?: number;
    perMinute?: number;
    perAddress?: number;
    titleRatio?: number;
  } = {},
): World {
  const clock = { now: START };
  const state = openState({ dir, flushMs: 60_000, log: () => undefined });
  const titles = new Set(['t1', 't2', 't3']);
  const durationOf = (id: string): number | undefined => (titles.has(id) ? 100 : undefined);
  const sessions = openSessions({
    maxSessions: limits.maxSessions ?? 100,
    idleMs: 3_600_000,
    now: () => clock.now,
    durationOf,
    watches: state.watches,
    tokenSecret: SECRET,
  });
  const facts: TitleFact[] = [];
  const events: World['events'] = [];
  const requests: World['requests'] = [];
  const intake = openIntake({
    sessions,
    now: () => clock.now,
    onTitle: (fact) => facts.push(fact),
    onEvent: (event, session) => events.push({ event, session }),
    onRequest: (request, session) => requests.push({ request, session }),
    titleOf: (path) => /^\/titles\/([^/]+)\//.exec(path)?.[1],
    isTitle: (id) => titles.has(id),
    durationOf,
    maxPerViewerPerMinute: limits.perViewer ?? 1000,
    maxPerAddressPerMinute: limits.perAddress ?? 10_000,
    maxPerMinute: limits.perMinute ?? 10_000,
    maxTitleRatio: limits.titleRatio ?? 1,
  });
  return {
    clock,
    state,
    sessions,
    intake,
    facts,
    events,
    requests,
    beacon: (who, sent) => {
      const body = { version: 1, sid: 's-1', consent: 'personal', ...who };
      const told = sent.map((event) => ({ at: clock.now, title: 't1', ...event }));
      return intake.events(Buffer.from(JSON.stringify({ ...body, events: told })), 'application/json', 'address')
        .status;
    },
    bytesOnDisk: () => {
      state.flush();
      return readdirSync(dir)
        .map((name) => readFileSync(`${dir}/${name}`, 'latin1'))
        .join('\n');
    },
    close: () => {
      intake.close();
      sessions.close();
      state.close();
    },
  };
}

/** A served segment of t1. */
export function record(fields: Partial<ServedRecord> = {}): ServedRecord {
  return {
    at: START,
    key: 'main/titles/t1/h/v_001.m4s',
    path: '/titles/t1/h/v_001.m4s',
    kind: 'segment',
    status: 200,
    result: 'hit',
    bytes: 1000,
    isComplete: true,
    firstByteMs: 1,
    remoteHash: 'hash-of-an-address',
    ...fields,
  };
}
