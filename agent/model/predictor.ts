// Answers "what will be watched next": the model within the deadline, else plain code. The one place where the pure
// predictor, live popularity and the model process meet.

import { type Candidate, generateCandidates } from '../predict/candidates.ts';
import type { CatalogueIndex, PredictTitle } from '../predict/catalogue-index.ts';
import { indexCatalogue } from '../predict/catalogue-index.ts';
import { expectDemand, type TitleDemand } from '../predict/demand.ts';
import { featureRows } from '../predict/features.ts';
import { type Popularity, sharesTtlMs, type TitleShare } from '../predict/popularity.ts';
import type { PredictSession } from '../predict/profile.ts';
import { orderByScore, type RankedTitle, RULES } from '../predict/rank.ts';
import { scoreRows } from '../predict/scorer.ts';
import type { Transitions } from '../predict/transitions.ts';
import type { Champion } from './champion.ts';
import { type LearntTables, openKnowledge } from './knowledge.ts';
import type { Scored } from './questions.ts';
import type { ModelRuntime } from './runtime-contract.ts';
import type { About } from './sequence.ts';

/** What the predictor works with. */
export type PredictorOptions = {
  /** Titles in any order; asked again once `catalogueVersion` differs. */
  readonly titles: () => Iterable<PredictTitle>;
  /** Anything that changes when the titles do, such as the catalogue's count of reloads. */
  readonly catalogueVersion: () => number;
  readonly popularity: Popularity;
  readonly region: string;
  /** Absent: prediction by rules alone. */
  readonly runtime?: Pick<ModelRuntime, 'score'> | undefined;
  /** Its weights answer when its process does not. */
  readonly champion?: (() => Champion | undefined) | undefined;
  /** What training learnt of titles; absent: metadata alone. */
  readonly tables?: (() => LearntTables | undefined) | undefined;
  /** What viewers turn to, as far as it is known before; absent: nothing. */
  readonly transitions?: Transitions | undefined;
  readonly now: () => number;
};

/** A ranking. `rules` is plain code: with a modelVersion, that model's weights; without, the rules set by hand. */
export type Ranking = {
  readonly answeredBy: 'model' | 'rules';
  readonly modelVersion?: string;
  readonly titles: readonly RankedTitle[];
};

/** A question. Without a session (no consent) the answer is the same for everybody in the region. */
export type RankQuestion = { readonly session?: PredictSession | undefined; readonly limit: number };

/** An open predictor. Never rejects on account of the model. */
export type Predictor = {
  readonly rank: (question: RankQuestion) => Promise<Ranking>;
  /** All candidates of a session with their features and scores, in no order. */
  readonly score: (session: PredictSession) => Promise<Scored>;
  /** One title's place, score and features among all candidates; undefined when it is none. */
  readonly explain: (
    titleId: string,
    session?: PredictSession,
  ) => Promise<
    (RankedTitle & { readonly place: number; readonly candidates: number } & Omit<Ranking, 'titles'>) | undefined
  >;
  /** The title that follows, by the catalogue. */
  readonly nextOf: (titleId: string) => string | undefined;
  /** When a title came out, by the catalogue. */
  readonly releaseOf: (titleId: string) => number | undefined;
  /** Expected share of the region's next views by title, 0..1, as of at most a minute ago. */
  readonly shares: () => readonly TitleShare[];
  /** What the region is expected to watch, for the nightly fill; of nobody in particular. */
  readonly demand: (limit: number) => readonly TitleDemand[];
  /** A viewer turned to a title after others, newest first: learnt for all viewers together. */
  readonly turned: (titleId: string, before: readonly string[]) => void;
  /** Resolves when the index of a new catalogue or model is built; until then the former answers. */
  readonly settled: () => Promise<void>;
  readonly stats: () => { readonly byModel: number; readonly byRules: number };
  readonly close: () => void;
};

/** Candidates, their features [candidates, FEATURE_NAMES.length] and scores, and who scored. */
type Asked = Omit<Ranking, 'titles'> & {
  readonly candidates: readonly Candidate[];
  readonly features: Float32Array;
  readonly scores: Float32Array;
  readonly ease: Float32Array | undefined;
};

/** Most popular titles that every question considers, and half as many launches. */
const DEPTH = 150;
const MAX_SHARES = 5_000;
/** Titles of a session that a sequence model is told; it reads 50. */
const MAX_HISTORY = 50;

/** What a sequence model reads of a question. */
const aboutOf = (candidates: readonly Candidate[], session: PredictSession | undefined): About => ({
  titleIds: candidates.map(({ titleId }) => titleId),
  history: (session?.history ?? []).slice(0, MAX_HISTORY).map(({ titleId }) => titleId),
});

/** Opens a predictor. */
export function openPredictor(options: PredictorOptions): Predictor {
  const { popularity, region, runtime, champion, now } = options;
  const count = { byModel: 0, byRules: 0 };
  const known = openKnowledge(() => options.tables?.(), options.transitions);
  let indexed: { readonly version: number; readonly index: CatalogueIndex } | undefined;
  let summed: { readonly at: number; readonly list: readonly TitleShare[] } | undefined;

  const index = (): CatalogueIndex => {
    const version = options.catalogueVersion();
    if (indexed?.version !== version) indexed = { version, index: indexCatalogue(options.titles()) };
    return indexed.index;
  };
  const shares = (): readonly TitleShare[] => {
    const at = now();
    if (summed === undefined || at - summed.at >= sharesTtlMs(summed.list)) {
      summed = { at, list: popularity.shares(region, at, MAX_SHARES) };
    }
    return summed.list;
  };
  const ask = async (session: PredictSession | undefined): Promise<Asked> => {
    const titles = index();
    const asked = { index: titles, knowledge: known.of(titles), shares: shares(), session, now: now(), depth: DEPTH };
    const candidates = generateCandidates(asked);
    const features = featureRows(candidates.map(({ facts }) => facts));
    const isAsked = champion?.()?.kind === 'sequence';
    const answer = await runtime?.score(
      features,
      candidates.length,
      isAsked ? aboutOf(candidates, session) : undefined,
    );
    if (answer !== undefined) {
      count.byModel += 1;
      const { scores, version: modelVersion, ease } = answer;
      return { candidates, features, scores, ease, answeredBy: 'model', modelVersion };
    }
    count.byRules += 1;
    const model = champion?.();
    const scores = scoreRows(model?.weights ?? RULES, features, candidates.length);
    const plain = { candidates, features, scores, ease: undefined, answeredBy: 'rules' as const };
    return model?.weights === undefined ? plain : { ...plain, modelVersion: model.modelVersion };
  };
  const rank = async ({ session, limit }: RankQuestion): Promise<Ranking> => {
    const { candidates, features, scores, ease: _ease, ...by } = await ask(session);
    return { ...by, titles: orderByScore(candidates, features, scores, limit) };
  };

  return {
    rank,
    score: async (session) => {
      const { candidates, features, scores, modelVersion, ease } = await ask(session);
      return { titleIds: candidates.map(({ titleId }) => titleId), features, scores, modelVersion, ease };
    },
    shares,
    explain: async (titleId, session) => {
      const { titles, ...by } = await rank({ session, limit: Number.POSITIVE_INFINITY });
      const place = titles.findIndex((ranked) => ranked.titleId === titleId);
      const ranked = titles[place];
      return ranked && { ...ranked, ...by, place: place + 1, candidates: titles.length };
    },
    nextOf: (titleId) => index().nextOf(titleId),
    releaseOf: (titleId) => index().titles.get(titleId)?.releaseAt,
    demand: (limit) => expectDemand(index(), shares(), now(), limit),
    turned: (titleId, before) => known.transitions.add(titleId, before, now()),
    settled: known.settled,
    stats: () => ({ ...count }),
    close: known.close,
  };
}
