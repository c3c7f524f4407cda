// Metrics of the store: what it holds, of whom, and what its disks have suffered.
import { by, type Entry, one } from './metric.ts';

/** Both tiers, the disks, and hosts with a quota of disk. */
export const STORE: readonly Entry[] = [
  {
    name: 'nearcast_store_objects',
    type: 'gauge',
    labels: [],
    help: 'Objects stored.',
    read: ({ cache }) => one(cache.store.objects),
  },
  {
    name: 'nearcast_store_used_bytes',
    type: 'gauge',
    labels: ['tier'],
    help: 'Bytes stored, by tier.',
    read: ({ cache }) => by('tier', cache.store.usedBytes),
  },
  {
    name: 'nearcast_store_limit_bytes',
    type: 'gauge',
    labels: ['tier'],
    help: 'Bytes allowed, by tier. Below the configured figure: a disk filled up or was taken out.',
    read: ({ cache }) => by('tier', cache.store.limitBytes),
  },
  {
    name: 'nearcast_store_evictions_total',
    type: 'counter',
    labels: ['tier'],
    help: 'Objects evicted for room.',
    read: ({ cache }) => by('tier', cache.store.evictions),
  },
  {
    name: 'nearcast_store_corrupt_blocks_total',
    type: 'counter',
    labels: [],
    help: 'Blocks whose checksum failed on read; none was served. Any: suspect that disk.',
    read: ({ cache }) => one(cache.store.corruptBlocks),
  },
  {
    name: 'nearcast_store_scrubbed_bytes_total',
    type: 'counter',
    labels: [],
    help: 'Bytes of stored bodies that the scrub has read and verified. Standing still: no disk is usable.',
    read: ({ cache }) => one(cache.store.scrub.bytes),
  },
  {
    name: 'nearcast_store_scrub_damaged_total',
    type: 'counter',
    labels: [],
    help: 'Objects that the scrub found damaged and took out; each is among the corrupt blocks, too. Any: suspect that disk.',
    read: ({ cache }) => one(cache.store.scrub.damaged),
  },
  {
    name: 'nearcast_store_degraded',
    type: 'gauge',
    labels: [],
    help: '1 while a disk is out of use and memory serves alone. Look at nearcast_store_errors_total.',
    read: ({ cache }) => one(cache.store.isDegraded ? 1 : 0),
  },
  {
    name: 'nearcast_store_errors_total',
    type: 'counter',
    labels: ['disk', 'op'],
    help: 'Failed disk operations. Rising: the disk is full, read-only or dying.',
    read: ({ cache }) => cache.store.errors.map(({ disk, op, count }) => ({ labels: { disk, op }, value: count })),
  },
  {
    name: 'nearcast_store_host_used_bytes',
    type: 'gauge',
    labels: ['host'],
    help: 'Bytes on disk of what was fetched for a host with quota.diskBytes, by its first name.',
    read: ({ cache }) => cache.store.hosts.map(({ name, usedBytes }) => ({ labels: { host: name }, value: usedBytes })),
  },
  {
    name: 'nearcast_store_host_limit_bytes',
    type: 'gauge',
    labels: ['host'],
    help: 'Its quota.diskBytes. Used bytes near it: the host evicts its own objects, and a larger quota would serve more of them.',
    read: ({ cache }) =>
      cache.store.hosts.map(({ name, limitBytes }) => ({ labels: { host: name }, value: limitBytes })),
  },
];
