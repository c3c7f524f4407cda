// Training and serving see the same: recorded events through the node's own intake, sessions and predictor give, number
// for number, the features that training makes of them.
import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { openPredictor } from '../../../agent/model/predictor.ts';
import { openPlans } from '../../../agent/plans.ts';
import { FEATURE_NAMES, type FeatureName } from '../../../agent/predict/features.ts';
import { createPopularity, DEFAULT_HALF_LIFE_MS } from '../../../agent/predict/popularity.ts';
import type { ViewerEvent } from '../../../agent/telemetry/event.ts';
import { openIntake } from '../../../agent/telemetry/intake.ts';
import { openSessions } from '../../../agent/telemetry/sessions.ts';
import { eventsOf, makeQuestions } from '../../../agent/train/dataset.ts';
import { makeWorkload, WORKLOAD_START, type Workload, type WorkloadEvent } from '../../../agent/train/workload.ts';

const DAY_MS = 86_400_000;
/** The candidates that the predictor considers. */
const DEPTH = 150;
const SECRET = Buffer.from('a secret of the publisher');
const whole = makeWorkload({ seed: 3, viewers: 24, series: 6, films: 20, days: 4 });
// A node is in one region.
const workload: Workload = { titles: whole.titles, events: whole.events.filter(({ region }) => region === 'north') };

/** A viewer's token, so that memory outlives the day as it does in training. */
function tokenOf(viewer: number): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256' })}.${part({ sub: `v${viewer}`, exp: WORKLOAD_START / 1000 + 1e9 })}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

/** A node's telemetry and predictor under a clock that the recording turns. */
function openNode() {
  const clock = { now: WORKLOAD_START };
  const now = (): number => clock.now;
  const durations = new Map(workload.titles.map(({ id, durationSeconds }) => [id, durationSeconds]));
  const durationOf = (titleId: string): number | undefined => durations.get(titleId);
  const popularity = createPopularity({ halfLifeMs: DEFAULT_HALF_LIFE_MS });
  const titles = (): typeof workload.titles => workload.titles;
  const predictor = openPredictor({ titles, catalogueVersion: () => 1, popularity, region: 'north', now });
  const sessions = openSessions({ maxSessions: 1_000, idleMs: 1e12, durationOf, now, tokenSecret: SECRET });
  const plans = openPlans({
    ...{ sessionOf: sessions.get, turned: predictor.turned, maxSessions: 1_000, now },
    rank: async () => ({ answeredBy: 'rules', titles: [] }),
    onPlan: () => undefined,
  });
  const intake = openIntake({
    ...{ sessions, now, durationOf, titleOf: () => undefined, isTitle: (id) => durations.has(id) },
    ...{ maxPerViewerPerMinute: 1e6, maxPerAddressPerMinute: 1e6, maxPerMinute: 1e6, maxTitleRatio: 1 },
    onTitle: ({ titleId, kind, at, amount }) => {
      if (kind === 'play') popularity.add({ titleId, region: 'north', at, weight: amount }, now());
    },
    onEvent: (_event, session) => session && plans.heard(session),
    onRequest: () => undefined,
  });
  const tell = (viewer: number, events: readonly ViewerEvent[]): void => {
    const body = { version: 1, sid: `s-${viewer}`, consent: 'personal', viewerToken: tokenOf(viewer), events };
    const answer = intake.events(Buffer.from(JSON.stringify(body)), 'application/json', 'address');
    expect(answer.status).toBe(204);
  };
  return { clock, predictor, sessions, tell };
}

/** What happens when: a title is asked about and opened, and left once it was watched. */
function timeline(): readonly {
  readonly at: number;
  readonly begins?: WorkloadEvent;
  readonly ends?: WorkloadEvent;
}[] {
  return workload.events
    .flatMap((event) => [
      { at: event.at, begins: event },
      { at: event.at + event.positionSeconds * 1000, ends: event },
    ])
    .sort((one, other) => one.at - other.at);
}

test('the features of every question are the same in training and in serving', async () => {
  const { clock, predictor, sessions, tell } = openNode();
  const served: { readonly at: number; readonly rows: Readonly<Record<string, readonly number[]>> }[] = [];
  for (const { at, begins, ends } of timeline()) {
    clock.now = at;
    if (ends !== undefined) tell(ends.viewer, eventsOf(ends).after.slice(-1));
    if (begins === undefined) continue;
    const { before, after } = eventsOf(begins);
    tell(begins.viewer, before);
    if (at >= WORKLOAD_START + 2 * DAY_MS) {
      const session = sessions.get(`s-${begins.viewer}`);
      const { titles } = await predictor.rank({ ...(session && { session }), limit: Number.POSITIVE_INFINITY });
      const rowOf = (features: Readonly<Record<FeatureName, number>>) => FEATURE_NAMES.map((name) => features[name]);
      served.push({ at, rows: Object.fromEntries(titles.map(({ titleId, features }) => [titleId, rowOf(features)])) });
    }
    tell(begins.viewer, after.slice(0, -1));
  }
  const width = FEATURE_NAMES.length;
  const trained = makeQuestions(workload, DEPTH).map(({ at, titleIds, features }) => ({
    at,
    rows: Object.fromEntries(
      titleIds.map((titleId, row) => [titleId, [...features.slice(row * width, (row + 1) * width)]]),
    ),
  }));
  expect(trained.length).toBeGreaterThan(15);
  expect(served).toEqual(trained);
  // And they say something: each of these features is at work in some question.
  const seen = (name: FeatureName): boolean =>
    trained.some(({ rows }) => Object.values(rows).some((row) => (row[FEATURE_NAMES.indexOf(name)] ?? 0) > 0));
  const atWork = ['taste', 'transition', 'is_next', 'is_hovered', 'begun_recency', 'genre_ratio'] as const;
  expect(atWork.filter((name) => !seen(name))).toEqual([]);
});
