// The catalogue of metrics: name, type, labels, what it means and what to do about it. The hot paths count in plain
// integers; this file reads them at scrape. The one place that knows prom-client.
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import { HISTOGRAM_SECONDS } from '../cache/cache.ts';
import { by, type Entry, type HistogramEntry, one, type Sample } from './metric.ts';
import { EXPECTATION } from './metrics-expectation.ts';
import { LISTENER } from './metrics-listener.ts';
import { MODEL } from './metrics-model.ts';
import { ORIGINS } from './metrics-origin.ts';
import { POWER } from './metrics-power.ts';
import { PREVIEW, PREVIEW_SECONDS } from './metrics-preview.ts';
import { IN_SESSION } from './metrics-session.ts';
import { STORE } from './metrics-store.ts';
import { WORKERS } from './metrics-workers.ts';
import type { NodeStats } from './node-stats.ts';

const CACHE: readonly Entry[] = [
  {
    name: 'nearcast_cache_requests_total',
    type: 'counter',
    labels: ['result', 'kind'],
    help: 'Viewer requests by how they were answered. A falling share of hit: see nearcast explain URL.',
    read: ({ cache }) =>
      Object.entries(cache.requests).flatMap(([result, kinds]) =>
        Object.entries(kinds).map(([kind, value]) => ({ labels: { result, kind }, value })),
      ),
  },
  {
    name: 'nearcast_cache_sent_bytes_total',
    type: 'counter',
    labels: ['result'],
    help: 'Body bytes sent to viewers.',
    read: ({ cache }) => by('result', cache.sentBytes),
  },
  {
    name: 'nearcast_cache_coalesced_total',
    type: 'counter',
    labels: [],
    help: 'Viewers who joined a fill that was already under way.',
    read: ({ cache }) => one(cache.coalesced),
  },
  {
    name: 'nearcast_cache_route_errors_total',
    type: 'counter',
    labels: [],
    help: 'Requests to the node itself (/.nearcast) that failed or ran out of time.',
    read: ({ cache }) => one(cache.routeErrors),
  },
  {
    name: 'nearcast_cache_malformed_requests_total',
    type: 'counter',
    labels: [],
    help: 'Requests refused with 400 as malformed or ambiguous.',
    read: ({ cache }) => one(cache.malformed),
  },
  {
    name: 'nearcast_cache_shed_total',
    type: 'counter',
    labels: ['reason'],
    help: 'Viewers turned away by listen.maxConnections, maxRequests or addressLimit, for overload, or by the quota of a host. Rising: overload or an attack.',
    read: ({ cache }) => by('reason', cache.shed),
  },
  {
    name: 'nearcast_cache_not_admitted_total',
    type: 'counter',
    labels: [],
    help: 'Answers not stored because their query was new and its path had many such. Rising: a flood of random queries.',
    read: ({ cache }) => one(cache.notAdmitted),
  },
  {
    name: 'nearcast_cache_denied_total',
    type: 'counter',
    labels: ['reason'],
    help: 'Requests refused with 403 by hosts[].signing. Rising: tokens are stolen, or a key or clock is wrong.',
    read: ({ cache }) => by('reason', cache.denied),
  },
  {
    name: 'nearcast_cache_unknown_host_requests_total',
    type: 'counter',
    labels: [],
    help: 'Requests answered with 421 because hosts has no such name. Rising: a name that points here and is not configured.',
    read: ({ cache }) => one(cache.unknownHosts),
  },
  {
    name: 'nearcast_cache_open_connections',
    type: 'gauge',
    labels: [],
    help: 'Viewer connections open now.',
    read: ({ cache }) => one(cache.openConnections),
  },
  {
    name: 'nearcast_cache_active_fills',
    type: 'gauge',
    labels: [],
    help: 'Origin fetches under way now.',
    read: ({ cache }) => one(cache.activeFills),
  },
  {
    name: 'nearcast_memory_tight',
    type: 'gauge',
    labels: [],
    help: 'Memory is short: background work waits and the RAM tier shrinks (nearcast_store_limit_bytes). Lower store.ramBytes.',
    read: ({ cache }) => one(cache.isTight ? 1 : 0),
  },
];

const AGENT: readonly Entry[] = [
  {
    name: 'nearcast_prefetch_bytes_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Prefetched bytes: stored, then useful when first served or wasted when evicted unused. Much waste: lower prefetch.bytesPerDay.',
    read: ({ cache: { prefetch } }) =>
      by('outcome', { stored: prefetch.storedBytes, useful: prefetch.usefulBytes, wasted: prefetch.wastedBytes }),
  },
  {
    name: 'nearcast_prefetch_items_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Objects that prefetch asked for, by how it ended.',
    read: ({ prefetch }) => by('outcome', prefetch.outcomes),
  },
  {
    name: 'nearcast_prefetch_paused',
    type: 'gauge',
    labels: [],
    help: '1 while prefetch is paused by an operator or by a failing origin.',
    read: ({ prefetch }) => one(prefetch.isPaused ? 1 : 0),
  },
  {
    name: 'nearcast_offpeak_runs_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Off-peak fills that ended.',
    read: ({ offPeak }) => by('outcome', offPeak.runs),
  },
  {
    name: 'nearcast_offpeak_last_success_timestamp_seconds',
    type: 'gauge',
    labels: [],
    help: 'When an off-peak fill last completed; 0 before the first.',
    read: ({ offPeak }) => one(offPeak.lastSuccessSeconds),
  },
  {
    name: 'nearcast_predict_answers_total',
    type: 'counter',
    labels: ['by'],
    help: 'Rankings answered by the model or by plain rules. All rules: the model child is down or slow.',
    read: ({ predict }) => by('by', predict.answers),
  },
  {
    name: 'nearcast_model_child_restarts_total',
    type: 'counter',
    labels: [],
    help: 'Restarts of the inference process.',
    read: ({ predict }) => one(predict.childRestarts),
  },
  {
    name: 'nearcast_model_info',
    type: 'gauge',
    labels: ['alias', 'version'],
    help: 'The models in use, always 1.',
    read: ({ predict }) => predict.models.map((labels) => ({ labels, value: 1 })),
  },
  {
    name: 'nearcast_encode_jobs_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Encode jobs. Failed: the log event encode.failed names the code.',
    read: ({ encode }) => by('outcome', encode.jobs),
  },
  {
    name: 'nearcast_encode_active',
    type: 'gauge',
    labels: [],
    help: 'Encode jobs running now.',
    read: ({ encode }) => one(encode.active),
  },
  {
    name: 'nearcast_encode_progress_ratio',
    type: 'gauge',
    labels: [],
    help: 'Progress of the running job, 0..1.',
    read: ({ encode }) => one(encode.progressRatio),
  },
  {
    name: 'nearcast_encode_cpu_seconds_total',
    type: 'counter',
    labels: [],
    help: 'CPU time that finished encodes took.',
    read: ({ encode }) => one(encode.cpuSeconds),
  },
  {
    name: 'nearcast_encode_saved_bytes_total',
    type: 'counter',
    labels: ['cause'],
    help: 'Bytes that one full play of each published title saves against the reference ladder, by cause.',
    read: ({ encode }) => by('cause', encode.savedBytes),
  },
  {
    name: 'nearcast_encode_last_success_timestamp_seconds',
    type: 'gauge',
    labels: [],
    help: 'When a title was last published; 0 before the first.',
    read: ({ encode }) => one(encode.lastSuccessSeconds),
  },
  ...PREVIEW,
  {
    name: 'nearcast_preview_choices_total',
    type: 'counter',
    labels: ['slot'],
    help: 'Choices of an arm that were shown.',
    read: ({ preview }) => by('slot', preview.choices),
  },
  {
    name: 'nearcast_preview_earned_total',
    type: 'counter',
    labels: [],
    help: 'Sum of the rewards of these choices, each at most 1; beside the choices, how good they are.',
    read: ({ preview }) => one(preview.earned),
  },
  {
    name: 'nearcast_preview_drifts_total',
    type: 'counter',
    labels: [],
    help: 'Times that viewers were found to like other arms than before, and what was learnt gave way.',
    read: ({ preview }) => one(preview.drifts),
  },
  {
    name: 'nearcast_preview_stopped_arms',
    type: 'gauge',
    labels: [],
    help: 'Arms that are stopped, because titles that they got played were not watched to their end.',
    read: ({ preview }) => one(preview.stoppedArms),
  },
  {
    name: 'nearcast_experiments_running',
    type: 'gauge',
    labels: [],
    help: 'Experiments that take sessions now.',
    read: ({ preview }) => one(preview.experiments),
  },
  {
    name: 'nearcast_events_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Telemetry events. Dropped: over an allowance. Capped: plays that one title had too many of to count.',
    read: ({ events }) => by('outcome', events),
  },
  {
    name: 'nearcast_access_log_lines_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Lines of telemetry.accessLogs: requests that were learnt from, malformed ones, and those longer than a line may be.',
    read: ({ accessLogs: { requests, malformed, tooLong } }) =>
      by('outcome', { request: requests, malformed, 'too-long': tooLong }),
  },
  {
    name: 'nearcast_sessions',
    type: 'gauge',
    labels: [],
    help: 'Sessions in memory, of viewers who consented.',
    read: ({ sessions }) => one(sessions),
  },
  {
    name: 'nearcast_whatif_origin_bytes_total',
    type: 'counter',
    labels: ['cache'],
    help: 'Estimated origin bytes, prefetch included, of this cache as it is, with plain LRU, without prefetch, with twice the disk: nearcast report says how sure that is.',
    read: ({ whatIf }) => by('cache', whatIf.originBytes),
  },
  {
    name: 'nearcast_whatif_origin_p95_bytes_per_second',
    type: 'gauge',
    labels: ['cache'],
    help: 'Estimated 95th percentile of 5-minute origin bandwidth over the last 30 days, of the same caches. What 95/5 billing charges.',
    read: ({ whatIf }) => by('cache', whatIf.p95BytesPerSecond),
  },
  {
    name: 'nearcast_event_loop_lag_seconds',
    type: 'gauge',
    labels: [],
    help: 'Worst delay of the event loop in the last 15 to 30 s. Above 0.1: viewers feel it.',
    read: ({ loopLagSeconds }) => one(loopLagSeconds),
  },
  {
    name: 'nearcast_log_dropped_total',
    type: 'counter',
    labels: [],
    help: 'Log lines lost because standard output was blocked or closed.',
    read: ({ logDropped }) => one(logDropped),
  },
  {
    name: 'nearcast_build_info',
    type: 'gauge',
    labels: ['version', 'node'],
    help: 'Always 1.',
    read: ({ build }) => [{ labels: build, value: 1 }],
  },
];

const HISTOGRAMS: readonly HistogramEntry[] = [
  {
    name: 'nearcast_cache_first_byte_seconds',
    labels: ['result'],
    help: 'From a viewer request to the first byte of its answer.',
    read: ({ cache }) =>
      Object.entries(cache.firstByteSeconds).map(([result, histogram]) => ({ labels: { result }, histogram })),
  },
  {
    name: 'nearcast_predict_duration_seconds',
    labels: ['step'],
    help: "One ranking, by what answered it; plan: from a viewer's event to the plan that it led to.",
    read: ({ predict }) =>
      Object.entries(predict.seconds).map(([step, histogram]) => ({ labels: { step }, histogram })),
  },
  PREVIEW_SECONDS,
];

function toValues(entry: HistogramEntry, stats: NodeStats) {
  return entry.read(stats).flatMap(({ labels, histogram }) => [
    ...histogram.counts.map((value, index) => ({
      metricName: `${entry.name}_bucket`,
      labels: { ...labels, le: String(HISTOGRAM_SECONDS[index] ?? '+Inf') },
      value,
    })),
    { metricName: `${entry.name}_sum`, labels, value: histogram.sum },
    { metricName: `${entry.name}_count`, labels, value: histogram.counts.at(-1) ?? 0 },
  ]);
}

function register(registry: Registry, entry: Entry | HistogramEntry, values: () => readonly Sample[]): void {
  const { name, help } = entry;
  const type = 'type' in entry ? entry.type : 'histogram';
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    get: async () => ({ name, help, type, aggregator: 'sum', values: values() }),
    reset: () => undefined,
  };
  // prom-client's registry asks no more of a metric than name and get() (its lib/registry.js); its classes keep their
  // own sums, which would be a second copy of ours, so a plain reader is registered in their place.
  registry.registerMetric(metric as unknown as Metric<string>);
}

/** Opens the registry over a reader of the node's counters. */
export function openMetrics(read: () => NodeStats): {
  readonly text: () => Promise<{ contentType: string; text: string }>;
} {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  // Gauges that bear a counter's suffix, which promtool rightly refuses.
  for (const name of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${name}_total`);
  let stats: NodeStats | undefined;
  const current = (): NodeStats => stats ?? read();
  const session = [...AGENT, ...EXPECTATION, ...IN_SESSION, ...MODEL];
  for (const entry of [...CACHE, ...STORE, ...LISTENER, ...WORKERS, ...ORIGINS, ...session, ...POWER])
    register(registry, entry, () => entry.read(current()));
  for (const entry of HISTOGRAMS) register(registry, entry, () => toValues(entry, current()));
  return {
    text: async () => {
      stats = read();
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}
