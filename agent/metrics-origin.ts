// Metrics of origins and their servers.
import type { OriginServerStats } from '../cache/cache.ts';
import { by, type Entry, one, type Sample } from './metric.ts';
import type { NodeStats } from './node-stats.ts';

/** One value for each server of each origin; as many as the configuration names. */
function perServer({ cache }: NodeStats, value: (server: OriginServerStats) => number): readonly Sample[] {
  return cache.origins.flatMap(({ origin, servers }) =>
    servers.map((server) => ({ labels: { origin, server: server.server }, value: value(server) })),
  );
}

/** What is asked of origins, how they answer, and what is known of their servers. */
export const ORIGINS: readonly Entry[] = [
  {
    name: 'nearcast_origin_received_bytes_total',
    type: 'counter',
    labels: ['purpose'],
    help: 'Body bytes received from origins, by what asked for them.',
    read: ({ cache }) => by('purpose', cache.originBytes),
  },
  {
    name: 'nearcast_origin_requests_total',
    type: 'counter',
    labels: ['purpose'],
    help: 'Requests sent to origins.',
    read: ({ cache }) => by('purpose', cache.originRequests),
  },
  {
    name: 'nearcast_origin_errors_total',
    type: 'counter',
    labels: [],
    help: 'Origin requests that failed, broke off or got a 5xx. Rising: look at the origin and at log event origin.failed.',
    read: ({ cache }) => one(cache.originErrors),
  },
  {
    name: 'nearcast_origin_server_requests_total',
    type: 'counter',
    labels: ['origin', 'server'],
    help: 'Requests sent to each server of an origin, retries included, checks of health not.',
    read: (stats) => perServer(stats, ({ requests }) => requests),
  },
  {
    name: 'nearcast_origin_server_errors_total',
    type: 'counter',
    labels: ['origin', 'server'],
    help: 'Those of them that failed, broke off or got a 5xx. Rising for one server alone: look at that server.',
    read: (stats) => perServer(stats, ({ failures }) => failures),
  },
  {
    name: 'nearcast_origin_server_up',
    type: 'gauge',
    labels: ['origin', 'server'],
    help: '0 while the breaker of a server is open or its checks of health fail. See log events origin.open and origin.server-down.',
    read: (stats) => perServer(stats, ({ isUp }) => (isUp ? 1 : 0)),
  },
  {
    name: 'nearcast_origin_breaker_open',
    type: 'gauge',
    labels: ['origin', 'server'],
    help: '1 while a server is left alone after failures, 0.5 while it comes back and gets few requests at once.',
    read: (stats) => perServer(stats, ({ breaker }) => ({ open: 1, recovering: 0.5, closed: 0 })[breaker]),
  },
  {
    name: 'nearcast_origin_retries_total',
    type: 'counter',
    labels: ['origin', 'kind'],
    help: 'Requests sent again: repeat on a new connection, failover to another server, resume of a broken body. Denied: there was no budget left, so the viewer saw the failure.',
    read: ({ cache }) =>
      cache.origins.flatMap(({ origin, retries }) =>
        by('kind', retries).map(({ labels, value }) => ({ labels: { origin, ...labels }, value })),
      ),
  },
];
