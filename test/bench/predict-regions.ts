// The part of `npm run bench:predict` about regions: a week's demand on MovieLens by ZIP code, and Netflix' country lists,
// for a region with history and for one without.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  foretellCold,
  foretellWarm,
  learnHabits,
  mostSimilar,
  type RankedList,
  similarityOf,
  type WarmRegion,
} from '../../agent/predict/lists.ts';
import { createPopularity, DEFAULT_HALF_LIFE_MS } from '../../agent/predict/popularity.ts';
import { type Rating, readMovielens, splitByTime } from './predict-movielens.ts';

const WEEK_MS = 7 * 86_400_000;
const TOP = 100;

/** Share of the views of the next seven days, over weeks and regions, that each region's foretold top 100 covers. */
function coverageOf(
  ratings: readonly Rating[],
  from: number,
): { readonly coverage: number; readonly precision: number } {
  const [before, later] = splitByTime(ratings, from);
  const popularity = createPopularity({ halfLifeMs: DEFAULT_HALF_LIFE_MS });
  for (const { titleId, region, at } of before) popularity.add({ titleId, region, at }, at);
  const end = later.at(-1)?.at ?? 0;
  let covered = 0;
  let views = 0;
  let useful = 0;
  let foretold = 0;
  for (let now = later[0]?.at ?? 0; now < end; now += WEEK_MS) {
    const week = later.filter(({ at }) => at >= now && at < now + WEEK_MS);
    for (const region of new Set(week.map((view) => view.region))) {
      const top = new Set(popularity.shares(region, now, TOP).map(({ titleId }) => titleId));
      const own = week.filter((view) => view.region === region);
      const hits = own.filter(({ titleId }) => top.has(titleId));
      covered += hits.length;
      views += own.length;
      useful += new Set(hits.map(({ titleId }) => titleId)).size;
      foretold += TOP;
    }
    for (const { titleId, region, at } of week) popularity.add({ titleId, region, at }, at);
  }
  return { coverage: covered / views, precision: useful / foretold };
}

/** Weekly lists by country. */
type Lists = ReadonlyMap<string, readonly RankedList[]>;

function readLists(dir: string, category: string): Lists {
  const rows = readFileSync(join(dir, 'all-weeks-countries_2021-07_2022-01.tsv'), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'));
  const weeks = [...new Set(rows.map(([, , week = '']) => week))].sort();
  const lists = new Map<string, string[][]>();
  for (const [, country = '', week = '', kind, rank = '', show = '', season = ''] of rows) {
    if (kind !== category) continue;
    const own = lists.get(country) ?? weeks.map(() => []);
    lists.set(country, own);
    const list = own[weeks.indexOf(week)];
    if (list !== undefined) list[Number(rank) - 1] = `${show}|${season}`;
  }
  return lists;
}

/** Weeks that settings and likeness come from; figures are of those after them. */
const LEARN_WEEKS = 15;
const LIST = 10;

/** Mean share of ten foretold titles that are in the next list. */
function listFigures(lists: Lists): { readonly warm: number; readonly cold: number; readonly lastWeek: number } {
  const countries = [...lists.keys()];
  const of = (country: string): readonly RankedList[] => lists.get(country) ?? [];
  const learnt = (country: string) => of(country).slice(0, LEARN_WEEKS);
  const similar = new Map(
    countries.map((country) => {
      const others = countries.filter((other) => other !== country);
      return [country, others.map((other) => ({ other, similarity: similarityOf(learnt(country), learnt(other)) }))];
    }),
  );
  const recent = (country: string, week: number) => ({
    latest: of(country)[week - 1] ?? [],
    before: of(country)[week - 2] ?? [],
  });
  const warmAt = (country: string, week: number): WarmRegion => ({
    own: of(country).slice(0, week),
    neighbours: mostSimilar(similar.get(country) ?? []).map(({ other }) => recent(other, week)),
  });
  const learnWeeks = Array.from({ length: LEARN_WEEKS - 2 }, (_, at) => at + 2);
  const habits = learnHabits(
    countries.flatMap((country) =>
      learnWeeks.map((week) => ({ ...warmAt(country, week), next: of(country)[week] ?? [] })),
    ),
  );
  const hits = { warm: 0, cold: 0, lastWeek: 0 };
  let places = 0;
  for (const country of countries) {
    for (let week = LEARN_WEEKS; week < of(country).length; week += 1) {
      const truth = new Set(of(country)[week]);
      const right = (list: RankedList): number => list.filter((titleId) => truth.has(titleId)).length;
      const others = (similar.get(country) ?? []).map(({ other, similarity }) => ({
        similarity,
        lists: recent(other, week),
      }));
      hits.warm += right(foretellWarm(warmAt(country, week), habits, LIST));
      hits.cold += right(foretellCold(others, LIST));
      hits.lastWeek += right(of(country)[week - 1] ?? []);
      places += LIST;
    }
  }
  return { warm: hits.warm / places, cold: hits.cold / places, lastWeek: hits.lastWeek / places };
}

/** Figures about regions, from the folder of evaluation data. */
export function runRegions(data: string, print: (text: string) => void): Record<string, number> {
  const { coverage, precision } = coverageOf(readMovielens(join(data, 'ml-100k')), 0.8);
  print(
    `MovieLens, top 100 of a region's next seven days: coverage ${coverage.toFixed(3)}, precision ${precision.toFixed(3)}`,
  );
  const films = listFigures(readLists(join(data, 'netflix-top10'), 'Films'));
  const tv = listFigures(readLists(join(data, 'netflix-top10'), 'TV'));
  for (const [name, { warm, cold, lastWeek }] of Object.entries({ films, tv })) {
    print(
      `Netflix ${name}, precision of ten: warm ${warm.toFixed(3)} (last week's list ${lastWeek.toFixed(3)}), cold ${cold.toFixed(3)}`,
    );
  }
  return {
    coverage_top100: coverage,
    netflix_warm_films: films.warm,
    netflix_warm_tv: tv.warm,
    netflix_lastweek_films: films.lastWeek,
    netflix_lastweek_tv: tv.lastWeek,
    netflix_cold_films: films.cold,
    netflix_cold_tv: tv.cold,
  };
}
