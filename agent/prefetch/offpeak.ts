// One run of the nightly fill: ask what the region will watch, plan what is worth its place, fill it, and say why.
import type { Decision } from './decisions.ts';
import type { Fetcher, FetchItem } from './fetcher.ts';
import { type Plan, type PlanCandidate, type PlanOptions, planFills } from './plan.ts';
import type { Timeline } from './timeline.ts';

/** A title the region is expected to watch; `score` only needs to be comparable with the others of one list. */
export type Demand = { readonly titleId: string; readonly score: number; readonly reasons: readonly string[] };

/** What a run works with. */
export type OffPeakOptions = {
  /** Expected demand, likeliest first, at most `limit`. */
  readonly demand: (limit: number) => readonly Demand[];
  /** Undefined for a title that has no package and no readable manifest. A live one is passed over. */
  readonly timelineOf: (titleId: string) => Promise<Timeline | undefined>;
  readonly isHeld: (url: string) => boolean;
  /** Titles whose timelines are at hand are considered too: what is expected of them. */
  readonly known: () => readonly Timeline[];
  /** A title may be filled: what is expected of its parts is asked from now on. */
  readonly open: (timeline: Timeline) => void;
  /** Requests expected of the part of a track, by its place in the timeline, that begins at a time. */
  readonly expected: (titleId: string, track: number, seconds: number) => number;
  /** Chance that anybody asks for what of a title is expected so often, 0..1. */
  readonly chance: (titleId: string, expected: number) => number;
  /** All titles are open: chooses whose first seconds are protected. */
  readonly protect: () => void;
  readonly isProtected: (titleId: string, track: number) => boolean;
  /** Of a byte of a title, beside others'. */
  readonly costOf: (titleId: string) => number;
  /** Room that is left, and all room. */
  readonly freeBytes: number;
  readonly capacityBytes: number;
  readonly fetcher: Pick<Fetcher, 'push' | 'cancel'>;
  readonly budgetBytes: number;
  /** Titles of the demand that are considered, and read for it; default 1000. */
  readonly limit?: number;
  readonly plan?: PlanOptions;
  readonly now: () => number;
  /** Aborts when the window ends; what is left is cancelled. */
  readonly signal: AbortSignal;
};

/** What a run did. Each decision carries why its URL was chosen. */
export type OffPeakSummary = {
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: 'done' | 'stopped' | 'no-demand';
  readonly considered: number;
  readonly withoutTimeline: number;
  readonly plan: Omit<Plan, 'items'> & { readonly items: number };
  /** The chances that it needed. */
  readonly needed: PlanOptions;
  readonly storedBytes: number;
  readonly counts: Readonly<Record<string, number>>;
  /** Latest decisions, at most MAX_SUMMARY_ITEMS. */
  readonly decisions: readonly Decision[];
};

/** Timelines are read for so long at most; what was not read until then is left for another night. */
const READ_MS = 900_000;
/** Decisions kept in a summary; all of them are in the decision log and the counts. */
const MAX_SUMMARY_ITEMS = 500;

async function planRun(options: OffPeakOptions): Promise<{ plan: Plan; considered: number; withoutTimeline: number }> {
  const demand = options.demand(options.limit ?? 1000);
  const candidates: PlanCandidate[] = [];
  const consider = (timeline: Timeline, reasons: readonly string[]): void => {
    const expected = (track: number, seconds: number): number => options.expected(timeline.titleId, track, seconds);
    candidates.push({
      ...{ timeline, expected, reasons, cost: options.costOf(timeline.titleId) },
      chance: (each) => options.chance(timeline.titleId, each),
      isProtected: (track) => options.isProtected(timeline.titleId, track),
    });
  };
  const readUntil = options.now() + READ_MS;
  for (const { titleId, reasons } of demand) {
    if (options.signal.aborted || options.now() >= readUntil) break;
    const timeline = await options.timelineOf(titleId).catch(() => undefined);
    // What is live has passed by the evening.
    if (timeline === undefined || !Number.isFinite(timeline.durationSeconds)) continue;
    options.open(timeline);
    consider(timeline, reasons);
  }
  const { length: read } = candidates;
  const asked = new Set(demand.map(({ titleId }) => titleId));
  for (const timeline of options.known()) if (!asked.has(timeline.titleId)) consider(timeline, ['watched here']);
  options.protect();
  const { freeBytes, capacityBytes } = options;
  const plan = planFills({
    candidates,
    freeBytes,
    capacityBytes,
    isHeld: options.isHeld,
    budgetBytes: options.budgetBytes,
    ...(options.plan === undefined ? {} : { options: options.plan }),
  });
  return { plan, considered: demand.length, withoutTimeline: demand.length - read };
}

/** Pushes a plan's items and waits until each has ended or the signal aborts. */
async function runPlan(plan: Plan, { fetcher, signal }: OffPeakOptions): Promise<readonly Decision[]> {
  const decisions: Decision[] = [];
  const own = new Set<FetchItem>();
  const stop = (): void => void fetcher.cancel((item) => own.has(item));
  await new Promise<void>((resolve) => {
    let open = 1;
    const one = (): void => {
      open -= 1;
      if (open === 0) resolve();
    };
    for (const { url, titleId, bytes, why } of plan.items) {
      if (signal.aborted) break;
      const item: FetchItem = { url, titleId, bytes, why, reason: 'off-peak', priority: 'off-peak' };
      open += 1;
      own.add(item);
      const pushed = fetcher.push(item, (decision) => {
        own.delete(item);
        decisions.push(decision);
        one();
      });
      if (pushed !== 'queued') {
        own.delete(item);
        one();
      }
    }
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    one();
  });
  signal.removeEventListener('abort', stop);
  return decisions;
}

/** Runs once. A title whose timeline cannot be had is passed over. */
export async function runOffPeak(options: OffPeakOptions): Promise<OffPeakSummary> {
  const startedAt = options.now();
  const planned = await planRun(options);
  const { items, ...totals } = planned.plan;
  const decisions = await runPlan(planned.plan, options);
  const counts: Record<string, number> = {};
  for (const { outcome } of decisions) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return {
    startedAt,
    endedAt: options.now(),
    outcome: options.signal.aborted ? 'stopped' : planned.considered === 0 ? 'no-demand' : 'done',
    considered: planned.considered,
    withoutTimeline: planned.withoutTimeline,
    plan: { ...totals, items: items.length },
    needed: options.plan ?? {},
    storedBytes: decisions.reduce((sum, { bytes, outcome }) => sum + (outcome === 'stored' ? bytes : 0), 0),
    counts,
    decisions: decisions.slice(-MAX_SUMMARY_ITEMS),
  };
}
