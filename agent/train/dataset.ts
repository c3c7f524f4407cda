// Plays a workload through the very code that serves (sessions, popularity, candidates, features) and writes down each
// question with what was then opened. Nothing of a later time is in a question: an event is counted after it was asked about.
import { generateCandidates } from '../predict/candidates.ts';
import { indexCatalogue } from '../predict/catalogue-index.ts';
import { embedMetadata } from '../predict/embed.ts';
import { featureRows } from '../predict/features.ts';
import { indexNearest, type NearestIndex } from '../predict/nearest.ts';
import {
  createPopularity,
  DEFAULT_HALF_LIFE_MS,
  type Popularity,
  sharesTtlMs,
  type TitleShare,
} from '../predict/popularity.ts';
import type { PredictSession } from '../predict/profile.ts';
import { createTransitions, turnedFrom } from '../predict/transitions.ts';
import type { ViewerEvent } from '../telemetry/event.ts';
import { type Live, newLive, newViewer, snapshot, takeEvent } from '../telemetry/live.ts';
import { WORKLOAD_START, type Workload, type WorkloadEvent } from './workload.ts';

/** "What will this viewer open next?" `features` is [titleIds.length, FEATURES.length]; `chosen` is -1 when missed. */
export type Question = {
  readonly at: number;
  readonly titleIds: readonly string[];
  readonly features: Float32Array;
  readonly chosen: number;
};

/** Days before questions are asked, so that popularity is warm. */
const WARM_UP_MS = 2 * 86_400_000;
/** Runs steps to their end: training has its own process, and nobody waits behind it. */
function whole<T>(steps: Generator<void, T, void>): T {
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value;
}

const nearestOf = (workload: Workload): NearestIndex => whole(indexNearest(whole(embedMetadata(workload.titles))));

/** What a player tells of one opened title: what was looked at before it, its start, and where it was left. */
export function eventsOf({ at, titleId, hoveredId, positionSeconds }: WorkloadEvent): {
  readonly before: readonly ViewerEvent[];
  readonly after: readonly ViewerEvent[];
} {
  return {
    before: hoveredId === undefined ? [] : [{ at, type: 'hover', title: hoveredId }],
    after: [
      ...(hoveredId === undefined ? [] : [{ at, type: 'unhover', title: hoveredId } as const]),
      { at, type: 'play', title: titleId, positionSeconds: 0 },
      { at: at + positionSeconds * 1000, type: 'stop', title: titleId, positionSeconds },
    ],
  };
}

/** The sessions of a workload's viewers, kept by the code that keeps them when it serves. */
function openViewers(durationOf: (titleId: string) => number | undefined) {
  const lives = new Map<number, Live>();
  const liveOf = (viewer: number, at: number): Live => {
    const known = lives.get(viewer) ?? newLive(String(viewer), newViewer(String(viewer), at), at);
    lives.set(viewer, known);
    return known;
  };
  return {
    take: ({ viewer }: WorkloadEvent, events: readonly ViewerEvent[]): void => {
      for (const event of events) takeEvent(liveOf(viewer, event.at), event, durationOf);
    },
    session: ({ viewer, at }: WorkloadEvent): PredictSession => snapshot(liveOf(viewer, at), String(viewer), at),
  };
}

/** Shares of regions, summed up anew as often as a node does. */
function openShares(popularity: Popularity, limit: number) {
  const known = new Map<string, { readonly at: number; readonly list: readonly TitleShare[] }>();
  return (region: string, now: number): readonly TitleShare[] => {
    const last = known.get(region);
    if (last !== undefined && now - last.at < sharesTtlMs(last.list)) return last.list;
    const list = popularity.shares(region, now, limit);
    known.set(region, { at: now, list });
    return list;
  };
}

/** Questions of a workload in order of time; `depth` popular titles and launches each. */
export function makeQuestions(workload: Workload, depth: number): readonly Question[] {
  const index = indexCatalogue(workload.titles);
  const popularity = createPopularity({ halfLifeMs: DEFAULT_HALF_LIFE_MS });
  const sharesOf = openShares(popularity, workload.titles.length);
  const transitions = createTransitions();
  const knowledge = { nearest: nearestOf(workload), transitions };
  const viewers = openViewers((titleId) => index.titles.get(titleId)?.durationSeconds);
  const questions: Question[] = [];
  for (const event of workload.events) {
    const { titleId, at, region } = event;
    const told = eventsOf(event);
    viewers.take(event, told.before);
    const session = viewers.session(event);
    if (at >= WORKLOAD_START + WARM_UP_MS) {
      const shares = sharesOf(region, at);
      const candidates = generateCandidates({ index, knowledge, shares, session, now: at, depth });
      const titleIds = candidates.map((candidate) => candidate.titleId);
      const features = featureRows(candidates.map(({ facts }) => facts));
      questions.push({ at, titleIds, features, chosen: titleIds.indexOf(titleId) });
    }
    viewers.take(event, told.after);
    // What is gone on with is not turned to.
    const others = session.history.filter((watched) => watched.titleId !== titleId);
    if (session.history[0]?.titleId !== titleId) transitions.add(titleId, turnedFrom({ history: others }), at);
    popularity.add({ titleId, region, at }, at);
  }
  return questions;
}
