// Experiments on a running node: which run, who is in them, and what these sessions did. Only sessions that consented are
// in any; their rows on disk name nobody.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Log } from '../cache/cache.ts';
import { type Experiment, HOLDOUT, problemOf, type Variant, variantOf } from './experiment/assign.ts';
import { type PolicyReport, policySteps } from './experiment/policies.ts';
import { type ExperimentReport, reportSteps } from './experiment/report.ts';
import type { Assignment } from './preview/bandit-decide.ts';
import type { State } from './state.ts';
import { type ChoiceRow, dayOf, type ExposureRow } from './state-schema.ts';
import type { Session } from './telemetry/session.ts';

/** What an operator asks to start. */
export type ExperimentPlan = Omit<Experiment, 'startedAt' | 'stoppedAt'>;

/** What openExperiments() needs. */
export type ExperimentsOptions = {
  readonly state: Pick<State, 'snapshots' | 'exposures' | 'choices'>;
  /** Undefined without consent. */
  readonly sessionOf: (sid: string) => Session | undefined;
  /** Whether a policy of this name can be followed. */
  readonly isPolicy: (policy: string) => boolean;
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
};

/** Open experiments. */
export type Experiments = {
  /** What experiments decide for a session: the first that names a policy, and any holdout. */
  readonly assign: (asked: { readonly sid: string }) => Assignment | undefined;
  /** A session was exposed: it saw a choice, or was held out. Its first exposure counts. */
  readonly exposed: (sid: string) => void;
  /** Looks after what sessions did; every minute. */
  readonly sweep: () => void;
  readonly list: () => readonly (Experiment & { readonly units: number })[];
  /** Starts one; the text of what stands against it, or undefined. */
  readonly start: (plan: ExperimentPlan) => string | undefined;
  /** Stops one; false when none of that name runs. Its report stays. */
  readonly stop: (id: string) => boolean;
  /** Forgets a stopped one and its exposures; false when there is none of that name or it runs. */
  readonly remove: (id: string) => boolean;
  /** Works a report out, giving viewers their turn between steps; undefined for none of that name. */
  readonly report: (id: string) => Promise<ExperimentReport | undefined>;
  /** What other policies would have earned with the newest choices of the last 30 days, giving viewers their turn. */
  readonly policies: () => Promise<PolicyReport>;
  readonly stats: () => { readonly running: number; readonly units: number };
  readonly close: () => void;
};

const SNAPSHOT = 'experiments';
const MOST_EXPERIMENTS = 200;
/** Units of an experiment; then it takes no more, and has all that it needs. */
const MOST_UNITS = 100_000;
/** Sessions whose outcomes are still followed, and for how long after their exposure. */
const MOST_FOLLOWED = 20_000;
const FOLLOW_MS = 86_400_000;
/** Off-policy reports look back this many days, and at so many choices. */
const POLICY_DAYS = 30;
const MOST_CHOICES = 50_000;
/** Rows that are read in one turn of the event loop: some milliseconds. */
const ROWS_A_TURN = 2_000;
/** A title counts as begun after this long. */
const BEGUN_SECONDS = 10;

type Followed = {
  readonly id: number;
  readonly sid: string;
  readonly before: readonly number[];
  readonly at: number;
  outcomes: readonly number[];
};

/** What there is of open experiments. */
type Room = {
  readonly options: ExperimentsOptions;
  experiments: readonly Experiment[];
  /** By experiment and unit; in order of exposure. */
  readonly followed: Map<string, Followed>;
  /** Sessions of each experiment. */
  readonly units: Map<string, number>;
};

/** Opens what ran when the node stopped. */
export function openExperiments(options: ExperimentsOptions): Experiments {
  const { state } = options;
  const experiments = readExperiments(state.snapshots.get(SNAPSHOT));
  const units = new Map(experiments.map(({ id }) => [id, state.exposures.count(id)]));
  const room: Room = { options, experiments, units, followed: new Map() };
  return {
    assign({ sid }) {
      const policies = placesOf(room, sid).map(({ variant }) => variant.policy);
      if (policies.length === 0) return undefined;
      return { policy: policies.find((policy) => policy !== HOLDOUT), isHeldOut: policies.includes(HOLDOUT) };
    },
    exposed: (sid) => expose(room, sid),
    sweep: () => follow(room),
    list: () => room.experiments.map((experiment) => ({ ...experiment, units: units.get(experiment.id) ?? 0 })),
    start: (plan) => start(room, plan),
    stop: (id) => stop(room, id),
    remove(id) {
      if (!room.experiments.some((one) => one.id === id && one.stoppedAt !== undefined)) return false;
      state.exposures.remove(id);
      units.delete(id);
      save(
        room,
        room.experiments.filter((one) => one.id !== id),
      );
      return true;
    },
    report: (id) => report(room, id),
    policies: () => reportPolicies(options),
    stats: () => ({ running: running(room).length, units: [...units.values()].reduce((sum, count) => sum + count, 0) }),
    close: () => follow(room),
  };
}

const running = ({ experiments }: Room): readonly Experiment[] =>
  experiments.filter(({ stoppedAt }) => stoppedAt === undefined);

function save(room: Room, experiments: readonly Experiment[]): void {
  room.experiments = experiments;
  room.options.state.snapshots.put(SNAPSHOT, JSON.stringify({ version: 1, experiments }));
}

/** The experiments that a session is in, each with its variant. */
function placesOf(
  room: Room,
  sid: string,
): readonly { readonly experiment: Experiment; readonly variant: Variant; readonly session: Session }[] {
  const now = running(room);
  const session = now.length === 0 ? undefined : room.options.sessionOf(sid);
  if (session === undefined) return [];
  return now.flatMap((experiment) => {
    const variant = variantOf(experiment, session.viewer);
    return variant === undefined ? [] : [{ experiment, variant, session }];
  });
}

/** What a session has done by now, in the order of METRICS. */
function doneBy({ history }: Session): readonly number[] {
  const begun = history.filter(({ watchedSeconds }) => watchedSeconds >= BEGUN_SECONDS).length;
  const minutes = history.reduce((sum, { watchedSeconds }) => sum + watchedSeconds, 0) / 60;
  return [begun, minutes, history.filter(({ isCompleted }) => isCompleted).length];
}

function expose(room: Room, sid: string): void {
  const { options, followed, units } = room;
  for (const { experiment, variant, session } of placesOf(room, sid)) {
    const key = `${experiment.id}\n${session.viewer}`;
    const known = units.get(experiment.id) ?? 0;
    if (followed.has(key) || followed.size >= MOST_FOLLOWED || known >= MOST_UNITS) continue;
    units.set(experiment.id, known + 1);
    const before = doneBy(session);
    const outcomes = before.map(() => 0);
    const [begun = 0, minutes = 0, completed = 0] = before;
    const covariates = [Math.log1p(minutes), begun, completed];
    const day = dayOf(options.now());
    const row = { day, experiment: experiment.id, variant: variant.name, covariates, outcomes };
    followed.set(key, { id: options.state.exposures.add(row), sid, before, at: options.now(), outcomes });
  }
}

/** What sessions did since their exposure. */
function follow({ options, followed }: Room): void {
  for (const [key, one] of followed) {
    const session = options.sessionOf(one.sid);
    if (session !== undefined) {
      const outcomes = doneBy(session).map((value, index) => Math.max(0, value - (one.before[index] ?? 0)));
      if (outcomes.some((value, index) => value !== one.outcomes[index])) {
        one.outcomes = outcomes;
        options.state.exposures.update(one.id, outcomes);
      }
    }
    if (session === undefined || Math.abs(options.now() - one.at) > FOLLOW_MS) followed.delete(key);
  }
}

function start(room: Room, plan: ExperimentPlan): string | undefined {
  const { isPolicy, now, log } = room.options;
  const experiment: Experiment = { ...plan, startedAt: now() };
  const unknown = plan.variants.find(({ policy }) => policy !== HOLDOUT && !isPolicy(policy));
  if (unknown !== undefined)
    return `there is no policy "${unknown.policy}": name one of the node, a ranker of a module, or holdout`;
  const problem = problemOf(experiment, room.experiments);
  if (problem !== undefined) return problem;
  if (room.experiments.length >= MOST_EXPERIMENTS) return `a node keeps ${MOST_EXPERIMENTS} experiments; remove one`;
  save(room, [...room.experiments, experiment]);
  log('info', 'experiment.started', { experiment: experiment.id, layer: experiment.layer });
  return undefined;
}

function stop(room: Room, id: string): boolean {
  const { now, log } = room.options;
  if (!running(room).some((one) => one.id === id)) return false;
  follow(room);
  save(
    room,
    room.experiments.map((one) => (one.id === id ? { ...one, stoppedAt: now() } : one)),
  );
  log('info', 'experiment.stopped', { experiment: id });
  return true;
}

async function report(room: Room, id: string): Promise<ExperimentReport | undefined> {
  const experiment = room.experiments.find((one) => one.id === id);
  if (experiment === undefined) return undefined;
  follow(room);
  await nextTurn();
  const exposures: ExposureRow[] = [];
  for (let after = 0; exposures.length < MOST_UNITS; ) {
    const rows = room.options.state.exposures.of(id, after, ROWS_A_TURN);
    exposures.push(...rows);
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_A_TURN) break;
    after = last.id;
    await nextTurn();
  }
  return inTurns(reportSteps(experiment, exposures, room.options.random));
}

async function reportPolicies({ state, now }: ExperimentsOptions): Promise<PolicyReport> {
  const since = dayOf(now()) - POLICY_DAYS;
  const choices: ChoiceRow[] = [];
  for (let before: number | undefined; choices.length < MOST_CHOICES; ) {
    const rows = state.choices.newest(ROWS_A_TURN, before);
    choices.push(...rows.filter(({ day }) => day >= since));
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_A_TURN || last.day < since) break;
    before = last.id;
    await nextTurn();
  }
  return inTurns(policySteps(choices));
}

/** Runs steps, each in a turn of the event loop of its own. */
async function inTurns<T>(steps: Generator<undefined, T>): Promise<T> {
  for (;;) {
    await nextTurn();
    const { value, done } = steps.next();
    if (done === true) return value;
  }
}

/** Experiments as they were saved; none where there are none, or where a later version wrote them. */
function readExperiments(json: string | undefined): readonly Experiment[] {
  if (json === undefined) return [];
  const saved: unknown = JSON.parse(json);
  const isOurs = typeof saved === 'object' && saved !== null && Reflect.get(saved, 'version') === 1;
  const list: unknown = isOurs ? Reflect.get(saved, 'experiments') : [];
  // Sound: this file wrote them, in this version, behind a database that checks itself.
  return Array.isArray(list) ? (list as readonly Experiment[]) : [];
}
