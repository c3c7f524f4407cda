// Metrics of prefetch in sessions and of what it anticipates.
import { type Entry, one } from './metric.ts';

/** In the order in which an operator asks: what came of it, how much was wasted, what is fetched for. */
export const IN_SESSION: readonly Entry[] = [
  {
    name: 'nearcast_prefetch_objects_total',
    type: 'counter',
    labels: ['reason', 'use'],
    help: 'Objects fetched in sessions: useful (there when asked for), late (asked for on their way) or wasted (not asked for in time). Much late: a slow origin, or too many viewers for it.',
    read: ({ inSession }) =>
      Object.entries(inSession?.use.objects ?? {}).flatMap(([reason, uses]) =>
        Object.entries(uses).map(([use, value]) => ({ labels: { reason, use }, value })),
      ),
  },
  {
    name: 'nearcast_prefetch_wasted_ratio',
    type: 'gauge',
    labels: [],
    help: 'Share of the bytes fetched in sessions lately that nobody asked for. Above prefetch.maxWastedRatio for long: lower prefetch.aheadSeconds.',
    read: ({ inSession }) => one(inSession?.use.wastedRatio ?? 0),
  },
  {
    name: 'nearcast_prefetch_threshold_ratio',
    type: 'gauge',
    labels: [],
    help: 'The least chance of being asked for that is fetched for in sessions; it rises with waste.',
    read: ({ inSession }) => one(inSession?.use.threshold ?? 0),
  },
  {
    name: 'nearcast_prefetch_switched_off',
    type: 'gauge',
    labels: [],
    help: '1 while prefetch has switched itself off because it costs the origin more than prefetch.maxCostRatio: nearcast status says what was measured and when it tries again.',
    read: ({ inSession }) => one(inSession?.switched.isOn === false ? 1 : 0),
  },
  {
    name: 'nearcast_prefetch_switched_off_total',
    type: 'counter',
    labels: [],
    help: 'Times that prefetch switched itself off since start.',
    read: ({ inSession }) => one(inSession?.switched.offs ?? 0),
  },
  {
    name: 'nearcast_anticipation_sessions',
    type: 'gauge',
    labels: [],
    help: 'Consented sessions whose next actions are anticipated.',
    read: ({ inSession }) => one(inSession?.anticipation.sessions ?? 0),
  },
  {
    name: 'nearcast_anticipation_observed_total',
    type: 'counter',
    labels: [],
    help: 'Actions of viewers that were learned from since start. 0 for long: no player tells what its viewer does.',
    read: ({ inSession }) => one(inSession?.anticipation.observed ?? 0),
  },
];
