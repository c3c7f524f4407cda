// Foretells a region's list of the most watched: of a region without history from the regions most like it, of another
// from what its own list and theirs did in earlier weeks.

/** A list, best first. */
export type RankedList = readonly string[];

/** A region's latest list and the one before it. */
export type RecentLists = { readonly latest: RankedList; readonly before: RankedList };

/** Settings chosen on Netflix' country lists of the first 15 weeks (test/bench/predict-regions.ts measures later ones). */
const SIMILAR_REGIONS = 8;
const SIMILARITY_POWER = 3;
/** What a place in the week before takes off: a title that is new rises, one that was there falls. */
const BEFORE_WEIGHT = 0.3;
/** Places beyond the list that still have worth, so that the last place is not nothing. */
const BASE_PLACES = 6;
const WORTH_PLACES = 10;

const worthOf = (place: number): number => Math.max(0, WORTH_PLACES - place) + BASE_PLACES;

/** How alike two regions' lists of the same weeks are, 0..1: shared titles by the lower of their two places. */
export function similarityOf(one: readonly RankedList[], other: readonly RankedList[]): number {
  let shared = 0;
  let all = 0;
  one.forEach((list, week) => {
    list.forEach((titleId, place) => {
      const there = other[week]?.indexOf(titleId) ?? -1;
      all += WORTH_PLACES - Math.min(WORTH_PLACES, place);
      if (there >= 0) shared += WORTH_PLACES - Math.min(WORTH_PLACES, Math.max(place, there));
    });
  });
  return all > 0 ? shared / all : 0;
}

/** Those regions that are most like one. */
export const mostSimilar = <T extends { readonly similarity: number }>(regions: readonly T[]): readonly T[] =>
  [...regions].sort((one, other) => other.similarity - one.similarity).slice(0, SIMILAR_REGIONS);

/** The next list of a region of which no list is known: those of similar regions, added up. Ties by id. */
export function foretellCold(
  regions: readonly { readonly similarity: number; readonly lists: RecentLists }[],
  limit: number,
): RankedList {
  const worths = new Map<string, number>();
  for (const { similarity, lists } of mostSimilar(regions)) {
    const weight = similarity ** SIMILARITY_POWER;
    const add = (titleId: string, worth: number) => worths.set(titleId, (worths.get(titleId) ?? 0) + weight * worth);
    lists.latest.forEach((titleId, place) => {
      add(titleId, worthOf(place));
    });
    lists.before.forEach((titleId, place) => {
      add(titleId, -BEFORE_WEIGHT * worthOf(place));
    });
  }
  return best(worths, limit);
}

const best = (worths: ReadonlyMap<string, number>, limit: number): RankedList =>
  [...worths]
    .sort(([one, less], [other, more]) => more - less || (one < other ? -1 : 1))
    .slice(0, limit)
    .map(([titleId]) => titleId);

/** What a region with history goes by: its lists of all weeks so far, the latest last, and its neighbours' recent ones. */
export type WarmRegion = { readonly own: readonly RankedList[]; readonly neighbours: readonly RecentLists[] };

/** How often titles in some situation were in the next list. */
export type ListHabits = ReadonlyMap<string, { readonly stayed: number; readonly seen: number }>;

/** A situation is trusted over the plain one (place and weeks alone) as if it had been seen this often before. */
const PRIOR = 20;

/** Titles that may be in the next list, with their situation in words: fine and plain. */
function situationsOf({ own, neighbours }: WarmRegion): ReadonlyMap<string, { fine: string; plain: string }> {
  const latest = own.at(-1) ?? [];
  const before = own.at(-2) ?? [];
  const titles = new Set([...latest, ...neighbours.flatMap((lists) => lists.latest)]);
  const bucket = (count: number, limits: readonly number[]): number => limits.filter((limit) => count >= limit).length;
  return new Map(
    [...titles].map((titleId) => {
      const place = latest.indexOf(titleId);
      const earlier = before.indexOf(titleId);
      const weeks = Math.min(2, own.slice(0, -1).filter((list) => list.includes(titleId)).length);
      const near = bucket(neighbours.filter((lists) => lists.latest.includes(titleId)).length, [1, 3, 6]);
      const nearBefore = neighbours.filter((lists) => lists.before.includes(titleId)).length;
      const plain = `${place} ${weeks}`;
      // In the list: rising, falling or new. Not in it: whether the neighbours have it longer.
      const trend = place < 0 ? bucket(nearBefore, [1, 3]) : earlier < 0 ? 'new' : earlier < place ? 'falls' : 'holds';
      return [titleId, { fine: `${plain} ${near} ${trend}`, plain }];
    }),
  );
}

/** Counts over regions and weeks that are over: `next` is the list that came. */
export function learnHabits(examples: Iterable<WarmRegion & { readonly next: RankedList }>): ListHabits {
  const habits = new Map<string, { stayed: number; seen: number }>();
  for (const example of examples) {
    for (const [titleId, { fine, plain }] of situationsOf(example)) {
      for (const situation of [fine, plain]) {
        const habit = habits.get(situation) ?? { stayed: 0, seen: 0 };
        habits.set(situation, habit);
        habit.seen += 1;
        if (example.next.includes(titleId)) habit.stayed += 1;
      }
    }
  }
  return habits;
}

/** The next list of a region with history: the titles most often seen to come or stay in such situations. */
export function foretellWarm(region: WarmRegion, habits: ListHabits, limit: number): RankedList {
  const none = { stayed: 0, seen: 0 };
  const chances = new Map<string, number>();
  for (const [titleId, { fine, plain }] of situationsOf(region)) {
    const rough = habits.get(plain) ?? none;
    const close = habits.get(fine) ?? none;
    const prior = (rough.stayed + 1) / (rough.seen + 4);
    chances.set(titleId, (close.stayed + PRIOR * prior) / (close.seen + PRIOR));
  }
  return best(chances, limit);
}
