// Metrics of the worker processes.
import { type Entry, one } from './metric.ts';

/** Workers, and what became of them. */
export const WORKERS: readonly Entry[] = [
  {
    name: 'nearcast_workers',
    type: 'gauge',
    labels: [],
    help: 'Worker processes that serve viewers; 0 without workers.',
    read: ({ cache }) => one(cache.workers.running),
  },
  {
    name: 'nearcast_worker_restarts_total',
    type: 'counter',
    labels: [],
    help: 'Workers that died or hung and were replaced; log events worker.died, worker.silent and worker.purge-late say why.',
    read: ({ cache }) => one(cache.workers.restarts),
  },
  {
    name: 'nearcast_worker_records_dropped_total',
    type: 'counter',
    labels: [],
    help: 'Served requests of which the agent did not hear, because the way from a worker was full.',
    read: ({ cache }) => one(cache.workers.droppedRecords),
  },
];
