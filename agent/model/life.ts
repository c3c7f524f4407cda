// The life of models: trained at night, compared with the champion on live questions without anybody waiting for it, put
// in its place when it wins, taken back when it falls. Everything here happens behind the viewers' back.
import { AgentError } from '../errors.ts';
import { FEATURE_NAMES } from '../predict/features.ts';
import { RULES } from '../predict/rank.ts';
import { scoreRows } from '../predict/scorer.ts';
import { runnableOf } from './champion.ts';
import { rankBin } from './drift.ts';
import type { KeptLife, LifeOptions, LifeReport, ListedModel, ModelLife } from './life-contract.ts';
import type { ModelFiles } from './manifest.ts';
import type { AnsweredQuestion } from './questions.ts';
import type { VerifiedModel } from './registry.ts';
import type { TrainingEnd } from './retrain.ts';
import type { DisableReason } from './runtime-contract.ts';
import { gainAt, type OtherRole, openTrial, placeOf, type Trial } from './trial.ts';

/** Which model is tried beside the champion, and the trial of both. */
type Contest = {
  readonly champion: string | undefined;
  readonly other: { readonly role: OtherRole; readonly version: string } | undefined;
  readonly trial: Trial;
  readonly since: number;
};

/** A predecessor is watched for so many questions after it was replaced. */
const GUARD_QUESTIONS = 16_000;
/** A challenger that has decided nothing for so long makes way for a newer one. */
const LONGEST_TRIAL_MS = 7 * 86_400_000;
/** A file that is damaged may be whole again when it is stored anew, a slow host fast again: the model keeps its place. */
const NOT_ITS_FAULT: ReadonlySet<DisableReason> = new Set(['missing', 'wrong-hash', 'late']);
const SHARE_COLUMN = FEATURE_NAMES.indexOf('log_share');

/** What plain code would have answered. */
const BASELINES: Readonly<Record<string, (question: AnsweredQuestion) => ArrayLike<number>>> = {
  rules: ({ features, titleIds }) => scoreRows(RULES, features, titleIds.length),
  popularity: ({ features, titleIds }) =>
    titleIds.map((_, row) => features[row * FEATURE_NAMES.length + SHARE_COLUMN] ?? 0),
};

/** Opens it; nothing is loaded before start(). */
export function openLife(options: LifeOptions): ModelLife {
  return new Life(options).face();
}

class Life {
  readonly #options: LifeOptions;
  #contest: Contest = { champion: undefined, other: undefined, trial: openTrial(), since: 0 };
  #lastLook: LifeReport['lastLook'];
  #lastRun: LifeReport['lastRun'];
  #training: { ratio: number; readonly stop: AbortController } | undefined;
  #isPaused = false;
  /** Changes of aliases wait for each other. */
  #turn: Promise<unknown> = Promise.resolve();
  readonly #counts = { promoted: 0, rolledBack: 0, withdrawn: 0, demoted: 0 };
  readonly #runs: Record<string, number> = {};
  #lastTrainedSeconds = 0;
  /** Until a trial goes on where the last process left it, or another one begins. */
  #kept: KeptLife | undefined;
  #guarded: string | undefined;
  /** Models that were always late: better or not, they do not come back before the next start. */
  readonly #late = new Set<string>();

  constructor(options: LifeOptions) {
    this.#options = options;
    this.#kept = options.kept;
    this.#guarded = options.kept?.guarded;
  }

  face(): ModelLife {
    return {
      start: () => this.#inTurn(() => this.#meet()),
      answered: (question) => void this.#answered(question),
      forget: (viewers) => this.#contest.trial.forget(viewers),
      sweep: () => this.#inTurn(() => this.#look()),
      retrain: (run, signal) => this.#retrain(run, signal),
      progress: (ratio) => {
        if (this.#training !== undefined) this.#training.ratio = ratio;
      },
      setPaused: (isPaused) => {
        this.#isPaused = isPaused;
        if (isPaused) this.#training?.stop.abort();
      },
      gaveUp: (modelVersion, reason) => this.#inTurn(() => this.#gaveUp(modelVersion, reason)),
      promote: (sha256) => this.#inTurn(() => this.#promote(sha256)),
      rollBack: () => this.#inTurn(() => this.#rollBack()),
      list: () => this.#list(),
      report: () => this.#report(),
      kept: () => this.#keep(),
      counts: () => ({ ...this.#counts, runs: { ...this.#runs }, lastTrainedSeconds: this.#lastTrainedSeconds }),
    };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** Who stands beside the champion: a challenger, else the model that it replaced. */
  async #otherOf(champion: string | undefined): Promise<{ role: OtherRole; model: VerifiedModel } | undefined> {
    const { registry } = this.#options;
    const except = new Set(champion === undefined ? this.#late : [...this.#late, champion]);
    const { model: challenger } = await registry.resolve('challenger', except);
    if (challenger !== undefined) return { role: 'challenger', model: challenger };
    const isAlone = champion === undefined || champion === this.#guarded;
    const { model: before } = isAlone ? { model: undefined } : await registry.resolve('champion', except);
    return before && { role: 'predecessor', model: before };
  }

  /** Loads whoever the aliases name now and begins a new trial, unless they are the same as before. */
  async #meet(): Promise<void> {
    const { keeper, shadow, log } = this.#options;
    const champion = keeper.current()?.modelVersion;
    const other = await this.#otherOf(champion);
    const known = this.#contest;
    if (known.champion === champion && known.other?.version === other?.model.sha256) return;
    const state = await shadow.load(other && runnableOf(other.model));
    const isReady = other !== undefined && state === 'ready';
    const beside = isReady ? { role: other.role, version: other.model.sha256 } : undefined;
    const kept = this.#kept;
    const isSame = kept !== undefined && kept.champion === champion && kept.other?.version === beside?.version;
    // A model whose process is not there yet may go on with its trial a minute later.
    if (isSame || isReady || other === undefined) this.#kept = undefined;
    const from = isSame ? { trial: openTrial(kept.trial), since: kept.since } : undefined;
    this.#contest = { champion, other: beside, trial: openTrial(), since: this.#options.now(), ...from };
    log('info', 'model.trial', { champion: champion ?? null, other: other?.model.sha256 ?? null, state });
    if (other?.role === 'challenger' && state === 'disabled') await this.#withdraw(other.model.sha256, 'cannot run');
  }

  /** Whoever moved an alias need not wait for the process of the model beside the champion. */
  #meetLater(): void {
    this.#inTurn(() => this.#meet()).catch((error: unknown) =>
      this.#options.log('error', 'model.registry', { message: String(error) }),
    );
  }

  async #answered(question: AnsweredQuestion): Promise<void> {
    const { champion, other, trial } = this.#contest;
    const { scores, chosen, features, titleIds, modelVersion, viewer } = question;
    const place = chosen < 0 ? undefined : placeOf(scores, chosen);
    this.#options.onRanked(rankBin(place));
    // Asked of another champion than today's: it says nothing of this one.
    if (modelVersion !== undefined && modelVersion !== champion) return;
    const about = { titleIds, history: question.history };
    const answer = other && (await this.#options.shadow.score(features, titleIds.length, about));
    const isStill = this.#contest.trial === trial;
    if (!isStill) return;
    const gains = Object.entries(BASELINES).map(
      ([name, scoresOf]) => [name, placeOf(scoresOf(question), chosen)] as const,
    );
    const byEase = answer?.ease ?? question.ease;
    const ease = byEase === undefined ? [] : [['ease', placeOf(byEase, chosen)] as const];
    const baselines = Object.fromEntries([...gains, ...ease].map(([name, at]) => [name, gainAt(at)]));
    trial.add(viewer, {
      champion: gainAt(place),
      other: answer === undefined ? undefined : gainAt(placeOf(answer.scores, chosen)),
      baselines,
    });
  }

  async #look(): Promise<void> {
    const { log, now, isAutomatic } = this.#options;
    await this.#meet();
    const { trial, other } = this.#contest;
    if (other?.role === 'challenger' && this.#options.shadow.stats().state === 'disabled') {
      return await this.#withdraw(other.version, 'it went wrong');
    }
    const look = trial.look(other?.role);
    if (look === undefined) return;
    this.#lastLook = { at: now(), ...look };
    log('info', 'model.look', { verdict: look.verdict, differences: look.differences });
    if (look.verdict === 'promote' && other !== undefined && isAutomatic) await this.#promote(other.version);
    else if (look.verdict === 'withdraw' && other !== undefined) await this.#withdraw(other.version, 'it lost');
    else if (look.verdict === 'rollBack' && isAutomatic) await this.#fall();
    else if (other?.role === 'predecessor' && trial.report().questions >= GUARD_QUESTIONS) {
      this.#guarded = this.#contest.champion;
      await this.#meet();
    }
  }

  #keep(): KeptLife {
    if (this.#kept !== undefined) return this.#kept;
    const { champion, other, trial, since } = this.#contest;
    return { version: 1, champion, other, since, guarded: this.#guarded, trial: trial.kept() };
  }

  /** The champion goes; one with nothing before it only until the next start, and rules answer meanwhile. */
  async #fall(): Promise<void> {
    const { keeper, log, registry } = this.#options;
    const champion = keeper.current();
    if (champion === undefined) return;
    const { model: before } = await registry.resolve('champion', new Set([champion.modelVersion]));
    if (champion.trainedOn === 'site' && before !== undefined) return await this.#rollBack();
    log('warn', 'model.rolled-back', { modelVersion: champion.modelVersion, to: null });
    this.#counts.rolledBack += 1;
    await keeper.giveUp(champion.modelVersion);
    this.#meetLater();
  }

  async #gaveUp(modelVersion: string, reason: DisableReason): Promise<void> {
    const { registry, keeper, log } = this.#options;
    const { model: before } = await registry.resolve('champion', new Set([modelVersion]));
    // With nothing before it, a process that ends again and again is better than none: it may be the host's fault.
    if (reason === 'crashes' && before === undefined) return;
    const isItsFault = keeper.current()?.trainedOn === 'site' && !NOT_ITS_FAULT.has(reason);
    if (reason === 'late') {
      this.#counts.demoted += 1;
      this.#late.add(modelVersion);
    }
    log('warn', 'model.given-up', { modelVersion, reason, to: before?.sha256 ?? null });
    await keeper.giveUp(modelVersion);
    if (isItsFault) await registry.withdraw('champion', modelVersion);
    this.#meetLater();
  }

  async #promote(sha256: string): Promise<void> {
    const { registry, keeper, log } = this.#options;
    await registry.point('champion', sha256);
    await registry.withdraw('challenger', sha256);
    await keeper.reload();
    this.#counts.promoted += 1;
    log('info', 'model.promoted', { modelVersion: sha256 });
    this.#meetLater();
  }

  async #rollBack(): Promise<void> {
    const { registry, keeper, log } = this.#options;
    const from = keeper.current()?.modelVersion;
    const { model: before } = await registry.resolve('champion', new Set(from === undefined ? [] : [from]));
    if (from === undefined || before === undefined) {
      throw new AgentError('AGENT_MODEL_UNKNOWN', 'there is no sound model before the champion to go back to');
    }
    await registry.point('champion', before.sha256);
    await registry.withdraw('champion', from);
    await keeper.reload();
    this.#counts.rolledBack += 1;
    log('warn', 'model.rolled-back', { modelVersion: from, to: before.sha256 });
    this.#meetLater();
  }

  async #withdraw(sha256: string, why: string): Promise<void> {
    const { registry, log } = this.#options;
    await registry.withdraw('challenger', sha256);
    this.#counts.withdrawn += 1;
    log('info', 'model.withdrawn', { modelVersion: sha256, why });
    this.#meetLater();
  }

  async #retrain({ seed, isUrgent }: Parameters<ModelLife['retrain']>[0], signal: AbortSignal): Promise<string> {
    if (this.#training !== undefined) return 'busy';
    if (this.#isPaused) return 'paused';
    if (!isUrgent && this.#isOnTrial()) return 'on-trial';
    const { train, now, log } = this.#options;
    const training = { ratio: 0, stop: new AbortController() };
    this.#training = training;
    log('info', 'model.training', { seed });
    try {
      const end = await train(seed, AbortSignal.any([signal, training.stop.signal]));
      const outcome =
        end.outcome === 'trained' ? await this.#inTurn(() => this.#challenge(end.model, seed)) : end.outcome;
      this.#ended(outcome, end.outcome === 'trained' ? '' : end.message);
      if (outcome === 'trained') this.#lastTrainedSeconds = now() / 1000;
      return outcome;
    } catch (error) {
      this.#ended('failed', String(error));
      return 'failed';
    } finally {
      this.#training = undefined;
    }
  }

  #isOnTrial(): boolean {
    const { other, since } = this.#contest;
    return other?.role === 'challenger' && this.#options.now() - since < LONGEST_TRIAL_MS;
  }

  #ended(outcome: string, message: string): void {
    this.#runs[outcome] = (this.#runs[outcome] ?? 0) + 1;
    this.#lastRun = { at: this.#options.now(), outcome, message: message.slice(0, 300) };
    this.#options.log('info', 'model.trained', { outcome, message: message.slice(0, 300) });
  }

  /** Stores what was trained as the challenger; `same` when it is what serves already, `narrow` when it shows too little. */
  async #challenge(
    model: Extract<TrainingEnd, { outcome: 'trained' }>['model'],
    seed: number,
  ): Promise<'trained' | 'same' | 'narrow'> {
    const { registry, keeper, now, leastReachRatio } = this.#options;
    if ((model.metrics['reachRatio'] ?? 1) < leastReachRatio) return 'narrow';
    const parent = keeper.current()?.modelVersion;
    const files: ModelFiles = new Map(model.files);
    const sha256 = await registry.add(files, {
      ...{ kind: model.kind, features: FEATURE_NAMES, createdAt: now(), seed, trainedOn: 'site' },
      ...{ data: model.data, metrics: model.metrics },
      ...(model.sequenceWeight !== undefined && { sequenceWeight: model.sequenceWeight }),
      ...(parent !== undefined && { parent }),
      scorer: model.scorer,
    });
    if (sha256 === parent) return 'same';
    const { aliases } = await registry.list();
    for (const former of aliases.challenger) if (former !== sha256) await registry.withdraw('challenger', former);
    await registry.point('challenger', sha256);
    await this.#meet();
    return 'trained';
  }

  async #list(): Promise<readonly ListedModel[]> {
    const { models, aliases } = await this.#options.registry.list();
    return models.map(({ scorer: _weights, ...manifest }) => ({
      ...manifest,
      aliases: (['champion', 'challenger'] as const).filter((alias) => aliases[alias][0] === manifest.sha256),
    }));
  }

  #report(): LifeReport {
    const { champion, other, trial } = this.#contest;
    return {
      ...{ champion, other, trial: trial.report(), lastLook: this.#lastLook, lastRun: this.#lastRun },
      training: this.#training && { ratio: this.#training.ratio },
      isPaused: this.#isPaused,
    };
  }
}
