// What somebody knows who knows the generator's parameters, and not what it drew: how often each part of each title is begun
// on each day, next episodes, resumed and repeated views among them. Pure.
import { type EdgeWorkload, hoursOn, tasteOf, type WorkloadTitle } from './workload.ts';

/** Views a day of each part of a title that begin at its first chunk, by part and day. */
type Begun = readonly Float64Array[];

/** Views of a title that begin of themselves, by day of the window. */
function ownByDay({ days }: EdgeWorkload, { releaseDay }: WorkloadTitle, views: number): Float64Array {
  const hours = Float64Array.from({ length: days }, (_, day) => hoursOn(day, releaseDay));
  const sum = hours.reduce((total, hour) => total + hour, 0);
  return hours.map((hour) => (sum === 0 ? 0 : (views * hour) / sum));
}

/** Adds an even part of `views` to each of `span` days from `day` on, as far as they lie in the window. */
function spread(
  to: Float64Array | undefined,
  views: number,
  { day, span }: { readonly day: number; readonly span: number },
): void {
  for (let at = day; to !== undefined && at < Math.min(to.length, day + span); at += 1)
    to[at] = (to[at] ?? 0) + views / span;
}

/** All that begins of a title. As the views of workload.ts are drawn: a day passes in chunk after chunk of part after part. */
function begunOf(workload: EdgeWorkload, title: WorkloadTitle, own: Float64Array): Begun {
  const { days, leaves, series, resume, repeat } = workload;
  const { chunks } = title;
  const isSeries = chunks.length > 1;
  // By part, by the chunk that a view begins at, by day.
  const from = chunks.map((count) => Array.from({ length: count }, () => new Float64Array(days)));
  const begun = chunks.map(() => new Float64Array(days));
  for (let day = 0; day < days; day += 1) {
    for (const [part, count] of chunks.entries()) {
      const share = isSeries ? (part === 0 ? 0.5 : 0) + 0.5 / chunks.length : 1;
      spread(from[part]?.[0], (own[day] ?? 0) * share, { day, span: 1 });
      let ends = 0;
      for (let first = 0; first < count; first += 1) {
        let watching = from[part]?.[first]?.[day] ?? 0;
        if (first === 0 && begun[part] !== undefined) begun[part][day] = watching;
        for (let at = first + 1; at < count; at += 1) {
          const left = watching * (at === 1 ? leaves.first : leaves.later);
          if (at > 1) spread(from[part]?.[at], left * resume, { day: day + 1, span: 3 });
          watching -= left;
        }
        ends += watching;
      }
      if (!isSeries) spread(from[part]?.[0], ends * repeat, { day: day + 1, span: 7 });
      else {
        spread(from[part + 1]?.[0], ends * series.next, { day, span: 1 });
        spread(from[part + 1]?.[0], ends * (1 - series.next) * series.later, { day: day + 1, span: 2 });
      }
    }
  }
  return begun;
}

/**
 * The true rates: views of each part of each title that are expected to begin on a day of the window, 0 to `days` - 1. For
 * what must not be beaten by who only counts: that would be reading the future.
 */
export function trueRates(
  workload: EdgeWorkload,
  titles: readonly WorkloadTitle[],
  region = 0,
): (title: number, part: number, day: number) => number {
  const { masses } = tasteOf(workload, titles, region);
  const total = masses.reduce((sum, mass) => sum + mass, 0);
  const all = titles.map((title, number) => {
    const views = (workload.viewsPerDay * workload.days * (masses[number] ?? 0)) / total;
    return begunOf(workload, title, ownByDay(workload, title, views));
  });
  return (title, part, day) => all[title]?.[part]?.[day] ?? 0;
}
