// How fast the node turns what viewers do into what to fetch: candidates over 100,000 titles, from an event to its plan,
// and events a second on one core. `node run.mjs --entry=test/bench/predict-serving.ts`, or as a part of bench:predict.
import { cpus } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openPredictor } from '../../agent/model/predictor.ts';
import { openPlans } from '../../agent/plans.ts';
import { generateCandidates } from '../../agent/predict/candidates.ts';
import { indexCatalogue, type PredictTitle } from '../../agent/predict/catalogue-index.ts';
import { embedMetadata } from '../../agent/predict/embed.ts';
import { indexNearest } from '../../agent/predict/nearest.ts';
import { createPopularity, DEFAULT_HALF_LIFE_MS } from '../../agent/predict/popularity.ts';
import type { TitleNeighbours } from '../../agent/predict/tables.ts';
import { createTransitions } from '../../agent/predict/transitions.ts';
import { openIntake } from '../../agent/telemetry/intake.ts';
import { openSessions } from '../../agent/telemetry/sessions.ts';
import { seededRandom } from '../../agent/train/random.ts';
import { percentile } from './figures.ts';

const TITLES = 100_000;
const QUESTIONS = 1_000;
/** Sessions that are kept; twice as many viewers come, each often enough to fill its bounds. */
const VIEWERS = 500;
const EVENTS = 100_000;
/** Events of one beacon; players send a few at once. */
const BATCH = 4;
/** Beacons a second while plans are timed: an evening of a large node. */
const PACED_PER_SECOND = 100;
const PACED_BEACONS = 500;
const NEIGHBOURS = 50;
const MIB = 2 ** 20;
const GENRES = Array.from({ length: 24 }, (_, at) => `genre-${at}`);

setFlagsFromString('--expose-gc');
// Sound: the flag above defines it, in contexts made from now on.
const collect = runInNewContext('gc') as () => void;

const random = seededRandom(7);
const draw = (count: number): number => Math.floor(random() * count);
/** Titles are asked for about as Zipf has it. */
const drawTitle = (): string => `title-${Math.floor(TITLES * random() ** 3)}`;

function makeTitles(now: number): readonly PredictTitle[] {
  return Array.from({ length: TITLES }, (_, at) => ({
    id: `title-${at}`,
    durationSeconds: 1_500 + draw(6_000),
    genres: [GENRES[draw(24)] ?? '', GENRES[draw(24)] ?? ''],
    people: [`person-${draw(20_000)}`, `person-${draw(20_000)}`],
    releaseAt: now - draw(3_650) * 86_400_000,
    ...(at % 3 === 0 ? {} : { series: `series-${Math.floor(at / 24)}`, season: 1, episode: at % 24 }),
  }));
}

/** Item-to-item weights of the shape that training leaves: as many a title as a node keeps. */
function makeNeighbours(titles: readonly PredictTitle[]): TitleNeighbours {
  const ids = Int32Array.from({ length: TITLES * NEIGHBOURS }, () => draw(TITLES));
  const weights = Float32Array.from({ length: TITLES * NEIGHBOURS }, (_, at) => 0.3 / (1 + (at % NEIGHBOURS)));
  return { titleIds: titles.map(({ id }) => id), width: NEIGHBOURS, ids, weights };
}

function whole<T>(steps: Generator<void, T, void>): T {
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value;
}

function timeCandidates(titles: readonly PredictTitle[], now: number): readonly number[] {
  const index = indexCatalogue(titles);
  const transitions = createTransitions();
  for (let at = 0; at < 50_000; at += 1) transitions.add(drawTitle(), [drawTitle(), drawTitle()], now);
  const popularity = createPopularity({ halfLifeMs: DEFAULT_HALF_LIFE_MS });
  for (let at = 0; at < 50_000; at += 1) popularity.add({ titleId: drawTitle(), region: 'here', at: now }, now);
  const nearest = whole(indexNearest(whole(embedMetadata(titles))));
  const knowledge = { nearest, neighbours: makeNeighbours(titles), transitions };
  const shares = popularity.shares('here', now, 5_000);
  const times: number[] = [];
  for (let question = -200; question < QUESTIONS; question += 1) {
    const history = Array.from({ length: 50 }, (_, step) => ({
      titleId: drawTitle(),
      positionSeconds: 200 + draw(4_000),
      at: now - step * 3_600_000,
      isCompleted: draw(2) === 1,
    }));
    const startedAt = performance.now();
    // A minute goes by each ten questions, so that launches are put in order anew.
    const asked = { index, shares, knowledge, now: now + Math.floor(question / 10) * 60_000, depth: 150 };
    generateCandidates({ ...asked, session: { history, hovered: { titleId: drawTitle() } } });
    if (question >= 0) times.push(performance.now() - startedAt);
  }
  return times;
}

/** A node's telemetry and predictor without its HTTP: what a beacon goes through from its body to the plan. */
function openWay(titles: readonly PredictTitle[]) {
  const durations = new Map(titles.map(({ id, durationSeconds }) => [id, durationSeconds]));
  const durationOf = (titleId: string): number | undefined => durations.get(titleId);
  const now = Date.now;
  const popularity = createPopularity({ halfLifeMs: DEFAULT_HALF_LIFE_MS });
  for (let at = 0; at < 50_000; at += 1) popularity.add({ titleId: drawTitle(), region: 'here', at: now() }, now());
  const predictor = openPredictor({
    ...{ titles: () => titles, catalogueVersion: () => 1, popularity, region: 'here', now },
  });
  const sessions = openSessions({ maxSessions: VIEWERS, idleMs: 3_600_000, durationOf, now });
  const waiting = new Map<string, number>();
  const times: number[] = [];
  const plans = openPlans({
    ...{ rank: predictor.rank, sessionOf: sessions.get, turned: predictor.turned, maxSessions: VIEWERS, now },
    onPlan: (_titles, sid) => {
      const since = waiting.get(sid);
      waiting.delete(sid);
      if (since !== undefined) times.push(performance.now() - since);
    },
  });
  const intake = openIntake({
    ...{ sessions, now, durationOf, titleOf: () => undefined, isTitle: (id) => durations.has(id) },
    ...{ maxPerViewerPerMinute: 1e5, maxPerAddressPerMinute: 1e9, maxPerMinute: 1e9, maxTitleRatio: 0.3 },
    onTitle: ({ titleId, kind, at }) => {
      if (kind === 'play') popularity.add({ titleId, region: 'here', at }, now());
    },
    onEvent: (_event, session) => session && plans.heard(session),
    onRequest: () => undefined,
  });
  return { predictor, sessions, plans, intake, waiting, times };
}

const TYPES = ['play', 'pause', 'seek', 'hover', 'unhover', 'stop'] as const;

function beaconOf(sid: string): Buffer {
  const events = Array.from({ length: BATCH }, () => ({
    ...{ at: Date.now(), type: TYPES[draw(TYPES.length)], title: drawTitle(), positionSeconds: draw(4_000) },
  }));
  return Buffer.from(JSON.stringify({ version: 1, sid, consent: 'personal', events }));
}

/** Live heap, MiB, after a full collection. */
function heapMiB(): number {
  collect();
  return process.memoryUsage().heapUsed / MIB;
}

const rest = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Beacons at an even pace: milliseconds from the body to its plan. */
async function timePlans(way: ReturnType<typeof openWay>): Promise<readonly number[]> {
  way.predictor.shares();
  await way.predictor.rank({ limit: 1 });
  await way.predictor.settled();
  way.times.length = 0;
  const startedAt = performance.now();
  for (let sent = 0; sent < PACED_BEACONS; sent += 1) {
    const due = startedAt + (sent * 1000) / PACED_PER_SECOND;
    const early = due - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    const sid = `paced-${sent % 500}`;
    const body = beaconOf(sid);
    way.waiting.set(sid, performance.now());
    way.intake.events(body, 'application/json', 'address');
  }
  await way.plans.idle();
  return way.times;
}

/** Beacons as fast as they are taken: events a second of one core, plans and rankings included, and growth of memory. */
async function timeEvents(way: ReturnType<typeof openWay>) {
  const bodies = Array.from({ length: EVENTS / BATCH }, (_, at) => beaconOf(`viewer-${at % (2 * VIEWERS)}`));
  const before = heapMiB();
  const cpu = process.cpuUsage();
  let half = 0;
  let lookedMicros = 0;
  for (const [at, body] of bodies.entries()) {
    way.intake.events(body, 'application/json', 'address');
    if (at % 16 === 15) await rest();
    if (at !== bodies.length / 2) continue;
    const looked = process.cpuUsage();
    half = heapMiB();
    const { user, system } = process.cpuUsage(looked);
    lookedMicros = user + system;
  }
  await way.plans.idle();
  const { user, system } = process.cpuUsage(cpu);
  // What one core would take, whatever else the machine does: processor time, that of the garbage collector included, but
  // for the collection that this bench asks for itself.
  const seconds = (user + system - lookedMicros) / 1e6;
  return {
    perSecond: EVENTS / seconds,
    made: way.plans.stats().made,
    sessions: way.sessions.stats().sessions,
    firstHalfMiB: half - before,
    secondHalfMiB: heapMiB() - half,
  };
}

/** Measures serving; prints a table and gives the keys of bench:predict. */
export async function runServing(print: (line: string) => void): Promise<Record<string, number>> {
  const titles = makeTitles(Date.now());
  const candidates = timeCandidates(titles, Date.now());
  const way = openWay(titles);
  const plans = await timePlans(way);
  const events = await timeEvents(way);
  way.intake.close();
  way.plans.close();
  way.predictor.close();
  print(`${TITLES} titles, ${cpus().length} cores, Node ${process.versions.node}`);
  for (const [name, times] of Object.entries({ candidates, 'event to plan': plans })) {
    print(
      `${name}: p50 ${percentile(times, 0.5).toFixed(2)} ms, p99 ${percentile(times, 0.99).toFixed(2)} ms of ${times.length}`,
    );
  }
  print(
    `events: ${Math.round(events.perSecond)} a second on one core with ${events.made} plans; ${events.sessions} sessions of ` +
      `${2 * VIEWERS} viewers kept; memory +${events.firstHalfMiB.toFixed(0)} MiB in the first half, ` +
      `${events.secondHalfMiB.toFixed(0)} in the second`,
  );
  return {
    candidates_p99_ms: percentile(candidates, 0.99),
    event_to_plan_p99_ms: percentile(plans, 0.99),
    events_per_s: events.perSecond,
    serving_memory_growth_mb: events.secondHalfMiB,
  };
}

if (import.meta.filename === process.argv[1])
  console.log(JSON.stringify(await runServing((line) => console.log(line))));
