// Experiments on a running node: which run, who is in them, and what these sessions did. Only sessions that consented are
// in any; their rows on disk name nobody.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Log } from '../cache/cache.ts';
import { type Experiment, HOLDOUT, problemOf, type Variant, variantOf } from './experiment/assign.ts';
import { type PolicyReport, reportPolicies } from './experiment/policies.ts';
import { type ExperimentReport, reportSteps } from './experiment/report.ts';
import type { Assignment } from './preview/bandit-room.ts';
import type { State } from './state.ts';
import { dayOf } from './state-schema.ts';
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
export type Experiments = ReturnType<typeof openExperiments>;

const SNAPSHOT = 'experiments';
const MOST_EXPERIMENTS = 200;
/** Units of an experiment; then it takes no more, and has all that it needs. */
const MOST_UNITS = 100_000;
/** Sessions whose outcomes are still followed, and for how long after their exposure. */
const MOST_FOLLOWED = 20_000;
const FOLLOW_MS = 86_400_000;
/** Off-policy reports look back this many days. */
const POLICY_DAYS = 30;
/** A title counts as begun after this long. */
const BEGUN_SECONDS = 10;

type Followed = {
  readonly id: number;
  readonly sid: string;
  readonly before: readonly number[];
  readonly at: number;
  outcomes: readonly number[];
};

/** Opens what ran when the node stopped. */
export function openExperiments(options: ExperimentsOptions) {
  const { state, now, log } = options;
  let experiments = readExperiments(state.snapshots.get(SNAPSHOT));
  /** By experiment and unit; in order of exposure. */
  const followed = new Map<string, Followed>();
  const units = new Map<string, number>();
  for (const { id } of experiments) units.set(id, state.exposures.of(id).length);

  const save = () => state.snapshots.put(SNAPSHOT, JSON.stringify({ version: 1, experiments }));
  const running = () => experiments.filter(({ stoppedAt }) => stoppedAt === undefined);

  /** The experiments that a session is in, each with its variant. */
  function placesOf(sid: string): readonly { experiment: Experiment; variant: Variant; session: Session }[] {
    const now_ = running();
    const session = now_.length === 0 ? undefined : options.sessionOf(sid);
    if (session === undefined) return [];
    return now_.flatMap((experiment) => {
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

  /** What sessions did since their exposure. */
  function follow(): void {
    for (const [key, one] of followed) {
      const session = options.sessionOf(one.sid);
      if (session !== undefined) {
        const outcomes = doneBy(session).map((value, index) => Math.max(0, value - (one.before[index] ?? 0)));
        if (outcomes.some((value, index) => value !== one.outcomes[index])) {
          one.outcomes = outcomes;
          state.exposures.update(one.id, outcomes);
        }
      }
      if (session === undefined || Math.abs(now() - one.at) > FOLLOW_MS) followed.delete(key);
    }
  }

  return {
    /** What experiments decide for a session; the first that names a policy, and any holdout. */
    assign({ sid }: { readonly sid: string }): Assignment | undefined {
      const policies = placesOf(sid).map(({ variant }) => variant.policy);
      if (policies.length === 0) return undefined;
      return { policy: policies.find((policy) => policy !== HOLDOUT), isHeldOut: policies.includes(HOLDOUT) };
    },

    /** A session was exposed: it saw a choice, or was held out. Its first exposure counts. */
    exposed(sid: string): void {
      for (const { experiment, variant, session } of placesOf(sid)) {
        const key = `${experiment.id}\n${session.viewer}`;
        const known = units.get(experiment.id) ?? 0;
        if (followed.has(key) || followed.size >= MOST_FOLLOWED || known >= MOST_UNITS) continue;
        units.set(experiment.id, known + 1);
        const before = doneBy(session);
        const outcomes = before.map(() => 0);
        const [begun = 0, minutes = 0, completed = 0] = before;
        const covariates = [Math.log1p(minutes), begun, completed];
        const row = { day: dayOf(now()), experiment: experiment.id, variant: variant.name, covariates, outcomes };
        followed.set(key, { id: state.exposures.add(row), sid, before, at: now(), outcomes });
      }
    },

    /** Looks after what sessions did; every minute. */
    sweep: follow,

    list: () => experiments.map((experiment) => ({ ...experiment, units: units.get(experiment.id) ?? 0 })),

    /** Starts one; the text of what stands against it, or undefined. */
    start(plan: ExperimentPlan): string | undefined {
      const experiment: Experiment = { ...plan, startedAt: now() };
      const unknown = plan.variants.find(({ policy }) => policy !== HOLDOUT && !options.isPolicy(policy));
      const problem =
        unknown === undefined
          ? problemOf(experiment, experiments)
          : `there is no policy "${unknown.policy}": name one of the node, a ranker of a module, or holdout`;
      if (problem !== undefined) return problem;
      if (experiments.length >= MOST_EXPERIMENTS)
        return `a node keeps ${MOST_EXPERIMENTS} experiments; remove one first`;
      experiments = [...experiments, experiment];
      save();
      log('info', 'experiment.started', { experiment: experiment.id, layer: experiment.layer });
      return undefined;
    },

    /** Stops one; false when none of that name runs. Its report stays. */
    stop(id: string): boolean {
      if (!running().some((one) => one.id === id)) return false;
      follow();
      experiments = experiments.map((one) => (one.id === id ? { ...one, stoppedAt: now() } : one));
      save();
      log('info', 'experiment.stopped', { experiment: id });
      return true;
    },

    /** Forgets a stopped one and its exposures; false when there is none of that name or it runs. */
    remove(id: string): boolean {
      if (!experiments.some((one) => one.id === id && one.stoppedAt !== undefined)) return false;
      experiments = experiments.filter((one) => one.id !== id);
      state.exposures.remove(id);
      units.delete(id);
      save();
      return true;
    },

    /** Works a report out, giving viewers their turn between steps; undefined for none of that name. */
    async report(id: string): Promise<ExperimentReport | undefined> {
      const experiment = experiments.find((one) => one.id === id);
      if (experiment === undefined) return undefined;
      follow();
      await nextTurn();
      const steps = reportSteps(experiment, state.exposures.of(id), options.random);
      for (;;) {
        const { value, done } = steps.next();
        if (done === true) return value;
        await nextTurn();
      }
    },

    /** What other policies would have earned with the choices of the last 30 days. */
    policies: (): PolicyReport => reportPolicies(state.choices.since(dayOf(now()) - POLICY_DAYS)),

    stats: () => ({ running: running().length, units: [...units.values()].reduce((sum, count) => sum + count, 0) }),
    close: follow,
  };
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
