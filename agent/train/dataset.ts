// Plays a workload through the very code that serves (popularity, candidates, features) and writes down each question
// with what was then opened. Nothing of a later time is in a question: an event is counted after it was asked about.
import { ENDED_RATIO, generateCandidates, type PredictSession, type WatchedTitle } from '../predict/candidates.ts';
import { indexCatalogue } from '../predict/catalogue-index.ts';
import { featureRows } from '../predict/features.ts';
import { createPopularity, DEFAULT_HALF_LIFE_MS, type TitleShare } from '../predict/popularity.ts';
import { WORKLOAD_START, type Workload, type WorkloadEvent } from './workload.ts';

/** "What will this viewer open next?" `features` is [titleIds.length, FEATURES.length]; `chosen` is -1 when missed. */
export type Question = {
  readonly at: number;
  readonly titleIds: readonly string[];
  readonly features: Float32Array;
  readonly chosen: number;
};

/** Popularity shares are computed anew this often, as the node does. */
const SHARES_TTL_MS = 600_000;
/** Days before questions are asked, so that popularity is warm. */
const WARM_UP_MS = 2 * 86_400_000;
/** A session's memory of titles, as telemetry bounds it. */
const MAX_HISTORY = 50;

/** Questions of a workload in order of time; `depth` popular titles and launches each. */
export function makeQuestions(workload: Workload, depth: number): readonly Question[] {
  const index = indexCatalogue(workload.titles);
  const popularity = createPopularity({ halfLifeMs: DEFAULT_HALF_LIFE_MS });
  const histories = new Map<number, readonly WatchedTitle[]>();
  const shares = new Map<string, { readonly at: number; readonly list: readonly TitleShare[] }>();
  const sharesAt = (region: string, now: number): readonly TitleShare[] => {
    const known = shares.get(region);
    if (known !== undefined && now - known.at < SHARES_TTL_MS) return known.list;
    const list = popularity.shares(region, now, workload.titles.length);
    shares.set(region, { at: now, list });
    return list;
  };
  const ask = (event: WorkloadEvent, session: PredictSession): Question => {
    const list = sharesAt(event.region, event.at);
    const candidates = generateCandidates({ index, shares: list, session, now: event.at, depth });
    const titleIds = candidates.map(({ titleId }) => titleId);
    const features = featureRows(candidates.map(({ facts }) => facts));
    return { at: event.at, titleIds, features, chosen: titleIds.indexOf(event.titleId) };
  };

  const questions: Question[] = [];
  for (const event of workload.events) {
    const history = histories.get(event.viewer) ?? [];
    const hovered = event.hoveredId === undefined ? undefined : { titleId: event.hoveredId };
    if (event.at >= WORKLOAD_START + WARM_UP_MS) questions.push(ask(event, { history, hovered }));
    const { titleId, positionSeconds, at, region } = event;
    const durationSeconds = index.titles.get(titleId)?.durationSeconds ?? 0;
    const isCompleted = positionSeconds >= ENDED_RATIO * durationSeconds;
    const viewing = { titleId, positionSeconds, at: at + positionSeconds * 1000, isCompleted };
    histories.set(event.viewer, [viewing, ...history.filter((old) => old.titleId !== titleId)].slice(0, MAX_HISTORY));
    popularity.add({ titleId, region, at }, at);
  }
  return questions;
}
