// Candidates, features and ranks: who is considered and why, what a scorer sees, and what no consent leaves.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CatalogueTitle } from '../../../agent/catalogue.ts';
import { generateCandidates } from '../../../agent/predict/candidates.ts';
import { indexCatalogue, type PredictTitle } from '../../../agent/predict/catalogue-index.ts';
import { expectDemand } from '../../../agent/predict/demand.ts';
import { FEATURE_NAMES, featureRows } from '../../../agent/predict/features.ts';
import type { PredictSession } from '../../../agent/predict/profile.ts';
import { RULES, rankPlainly } from '../../../agent/predict/rank.ts';
import { isSoundScorer, scoreRows } from '../../../agent/predict/scorer.ts';
import { raw } from '../../../agent/telemetry/event.ts';
import type { Session } from '../../../agent/telemetry/session.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 0, 1);
const TITLES: readonly PredictTitle[] = [
  { id: 's1e1', series: 's', season: 1, episode: 1, durationSeconds: 1000, genres: ['drama'] },
  { id: 's1e2', series: 's', season: 1, episode: 2, durationSeconds: 1000, genres: ['drama'] },
  { id: 's2e1', series: 's', season: 2, episode: 1, durationSeconds: 1000, genres: ['drama'] },
  { id: 'film', durationSeconds: 5000, genres: ['comedy'] },
  { id: 'sequel', durationSeconds: 5000, genres: ['comedy'] },
  { id: 'prequel', durationSeconds: 5000, nextId: 'sequel' },
  { id: 'launch', durationSeconds: 5000, releaseAt: NOW - DAY },
  { id: 'coming', durationSeconds: 5000, releaseAt: NOW + DAY },
];
const index = indexCatalogue(TITLES);
const shares = [
  { titleId: 'film', share: 0.6 },
  { titleId: 's1e1', share: 0.4 },
];
const viewing = (titleId: string, positionSeconds: number, hoursAgo = 1, isCompleted = false) => ({
  titleId,
  positionSeconds,
  at: NOW - hoursAgo * 3_600_000,
  isCompleted,
});
const ask = (session?: PredictSession, depth = 10) => generateCandidates({ index, shares, session, now: NOW, depth });
const reasonsOf = (session?: PredictSession) =>
  Object.fromEntries(ask(session).map((one) => [one.titleId, one.reasons]));

// Compiles only while telemetry's session and the catalogue's lines are what the predictor reads.
const readsSession = (session: Session): PredictSession => session;
const readsTitle = (title: CatalogueTitle): PredictTitle => title;
test('a session without anything in it, and a line with nothing but an id, are enough', () => {
  const session = readsSession({ sid: raw('s'), viewer: raw('v'), history: [], hovers: [], actions: [] });
  const bare = indexCatalogue([readsTitle({ id: 'only' })]);
  expect(generateCandidates({ index: bare, shares: [], session, now: NOW, depth: 5 })).toEqual([]);
  expect(expectDemand(bare, [], NOW, 5)).toMatchObject([{ titleId: 'only', reasons: ['catalogue'] }]);
});

describe('what follows', () => {
  test.each([
    ['s1e1', 's1e2'],
    ['s1e2', 's2e1'],
    ['s2e1', undefined],
    ['prequel', 'sequel'],
    ['film', undefined],
    ['unknown', undefined],
  ])('%s is followed by %s', (titleId, next) => {
    expect(index.nextOf(titleId)).toBe(next);
  });

  test('a nextId that leads nowhere or to itself gives way to the series', () => {
    const titles = TITLES.map((title) => (title.id === 's1e1' ? { ...title, nextId: 'gone' } : title));
    expect(indexCatalogue(titles).nextOf('s1e1')).toBe('s1e2');
    expect(indexCatalogue([{ id: 'a', nextId: 'a' }]).nextOf('a')).toBeUndefined();
  });
});

describe('candidates', () => {
  test('without a session: what many watch and what is new, nothing else', () => {
    expect(reasonsOf()).toEqual({ film: ['popular'], s1e1: ['popular'], launch: ['launch'] });
    for (const { facts } of ask()) {
      expect(facts).toMatchObject({ isHovered: false, genreRatio: 0, seriesRatio: 0, isFinished: false });
      expect([facts.follows, facts.begun]).toEqual([undefined, undefined]);
    }
  });

  test.each([
    ['just opened', viewing('s1e1', 10), ['popular'], undefined],
    ['2 % in: to go on with', viewing('s1e1', 20), ['continue', 'popular'], undefined],
    ['half-way: what follows comes into sight', viewing('s1e1', 500), ['continue', 'popular'], ['next-episode']],
    ['94.9 %', viewing('s1e1', 949), ['continue', 'popular'], ['next-episode']],
    ['95 %: ended', viewing('s1e1', 950), ['popular'], ['next-episode']],
    ['said to be ended', viewing('s1e1', 3, 1, true), ['popular'], ['next-episode']],
  ])('%s', (_, watched, own, next) => {
    const reasons = reasonsOf({ history: [watched] });
    expect(reasons['s1e1']).toEqual(own);
    expect(reasons['s1e2']).toEqual(next);
  });

  test('a hovered title is one, with all its reasons in one line', () => {
    const session = { history: [viewing('s1e1', 990)], hovered: { titleId: 's1e2' } };
    expect(reasonsOf(session)['s1e2']).toEqual(['hovered', 'next-episode']);
  });

  test('what the player asks for next follows at once, whatever the catalogue says', () => {
    const candidates = ask({ history: [viewing('film', 100)], announced: { titleId: 'sequel' } });
    expect(candidates.find(({ titleId }) => titleId === 'sequel')).toMatchObject({
      reasons: ['announced'],
      facts: { follows: { progressRatio: 1, hoursAgo: 0 } },
    });
  });

  test('item-to-item: what goes with the latest titles, the latest most, and never more than 1', () => {
    const titleIds = ['film', 'prequel', 'sequel', 's1e2', 'coming'];
    const neighbours = {
      ...{ titleIds, width: 2 },
      ids: Int32Array.from([2, 3, 3, -1, -1, -1, -1, -1, -1, -1]),
      weights: Float32Array.from([0.5, 0.2, 0.8, 0, 0, 0, 0, 0, 0, 0]),
    };
    const session = { history: [viewing('film', 100), viewing('prequel', 100)] };
    const candidates = generateCandidates({ index, shares, session, knowledge: { neighbours }, now: NOW, depth: 10 });
    const similarityOf = (id: string) => candidates.find(({ titleId }) => titleId === id)?.facts.similarity ?? 0;
    expect(similarityOf('sequel')).toBeCloseTo(0.5, 6);
    expect(similarityOf('s1e2')).toBeCloseTo(0.2 + 0.9 * 0.8, 6);
    expect(candidates.find(({ titleId }) => titleId === 'sequel')?.reasons).toEqual(['similar']);
    expect(candidates.every(({ facts }) => facts.similarity <= 1)).toBe(true);
  });

  test('each title once, at most depth popular ones, and nothing that is not yet released', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.constantFrom(...TITLES.map(({ id }) => id), 'unknown'), { maxLength: 6 }),
        fc.double({ min: -10, max: 1e6, noNaN: true }),
        fc.integer({ min: 0, max: 3 }),
        (ids, position, depth) => {
          const candidates = ask({ history: ids.map((id) => viewing(id, position)) }, depth);
          const found = candidates.map(({ titleId }) => titleId);
          expect(new Set(found).size).toBe(found.length);
          expect(candidates.filter(({ reasons }) => reasons.includes('popular')).length).toBeLessThanOrEqual(depth);
          expect(found.includes('coming')).toBe(
            ids.includes('coming') && position / 5000 >= 0.02 && position / 5000 < 0.95,
          );
          const rows = featureRows(candidates.map(({ facts }) => facts));
          expect(rows.every((value) => Number.isFinite(value) && value >= 0 && value <= 1)).toBe(true);
        },
      ),
    );
  });
});

describe('features', () => {
  test('have unique names and are laid out row by row in their order', () => {
    expect(new Set(FEATURE_NAMES).size).toBe(FEATURE_NAMES.length);
    const candidates = ask({ history: [viewing('s1e1', 500, 24)], hovered: { titleId: 'film' } });
    const rows = featureRows(candidates.map(({ facts }) => facts));
    const featureOf = (titleId: string, name: (typeof FEATURE_NAMES)[number]) =>
      rows[candidates.findIndex((one) => one.titleId === titleId) * FEATURE_NAMES.length + FEATURE_NAMES.indexOf(name)];
    expect(featureOf('film', 'is_hovered')).toBe(1);
    expect(featureOf('s1e1', 'position')).toBe(0.5);
    expect(featureOf('s1e1', 'begun_recency')).toBe(0.5);
    expect(featureOf('s1e2', 'previous_progress')).toBe(0.5);
    expect(featureOf('s1e2', 'genre_ratio')).toBe(1);
    expect(featureOf('film', 'genre_ratio')).toBe(0);
    expect(featureOf('launch', 'launch')).toBeCloseTo(0.89, 6);
    expect(featureOf('launch', 'log_share')).toBe(0);
  });

  test('a fact that is not a number is a programmer error', () => {
    const [candidate] = ask();
    if (candidate === undefined) throw new Error('no candidate');
    expect(() => featureRows([{ ...candidate.facts, share: Number.NaN }])).toThrow(/log_share/);
  });
});

describe('the rules', () => {
  const rankOf = (session?: PredictSession) => rankPlainly(ask(session), RULES, 10).map(({ titleId }) => titleId);

  test('are a sound scorer of these features', () => {
    expect(isSoundScorer(RULES)).toBe(true);
    expect(RULES.features).toEqual(FEATURE_NAMES);
  });

  test('put first: the crowd for nobody, the next episode after one, what is begun, what is looked at', () => {
    expect(rankOf()[0]).toBe('film');
    expect(rankOf({ history: [viewing('s1e1', 990)] })[0]).toBe('s1e2');
    expect(rankOf({ history: [viewing('prequel', 1000)] })[0]).toBe('prequel');
    expect(rankOf({ history: [viewing('s1e1', 990)], hovered: { titleId: 'launch' } })[0]).toBe('launch');
  });

  test('the answer carries reasons and named features, and its scores are those of the scorer', () => {
    const candidates = ask({ history: [viewing('s1e1', 990)] });
    const ranked = rankPlainly(candidates, RULES, 3);
    expect(ranked).toHaveLength(3);
    const rows = featureRows(candidates.map(({ facts }) => facts));
    const scores = scoreRows(RULES, rows, candidates.length);
    for (const { titleId, score, reasons, features } of ranked) {
      const row = candidates.findIndex((one) => one.titleId === titleId);
      expect(score).toBe(scores[row]);
      expect(reasons).toEqual(candidates[row]?.reasons);
      expect(Object.keys(features)).toEqual(FEATURE_NAMES);
    }
    expect(ranked.map(({ score }) => score)).toEqual([...ranked.map(({ score }) => score)].sort((a, b) => b - a));
  });

  test('no candidates, no answer, no error', () => {
    expect(rankPlainly([], RULES, 10)).toEqual([]);
  });
});

describe('demand of a region', () => {
  const demandOf = (limit = 20) => expectDemand(index, shares, NOW, limit);

  test('popular first, a launch as good as a hit in its week, the rest of the catalogue behind, the future not at all', () => {
    const demand = demandOf();
    expect(demand.map(({ titleId }) => titleId).slice(0, 3)).toEqual(['film', 'launch', 's1e1']);
    expect(demand.find(({ titleId }) => titleId === 'launch')).toMatchObject({
      reasons: ['launch'],
      score: 0.5 * 0.89,
    });
    expect(demand.find(({ titleId }) => titleId === 's1e2')?.reasons).toEqual(['catalogue']);
    expect(demand.map(({ titleId }) => titleId)).not.toContain('coming');
    expect(demandOf(2)).toHaveLength(2);
  });

  test('a node without any history still has an order: launches, then everything', () => {
    const demand = expectDemand(index, [], NOW, 20);
    expect(demand).toHaveLength(TITLES.length - 1);
    expect(demand.every(({ score }) => score > 0)).toBe(true);
  });
});
