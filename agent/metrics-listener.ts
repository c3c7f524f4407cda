// Metrics of the viewer listener's TLS and HTTP/2, and of reloads: certificates, handshakes, misuse, configuration.
import { by, type Entry, one } from './metric.ts';

/** What the listener counts beside requests, and what was read again while it served. */
export const LISTENER: readonly Entry[] = [
  {
    name: 'nearcast_http2_misuse_total',
    type: 'counter',
    labels: ['reason'],
    help: 'HTTP/2 sessions (slow: streams) that were ended for their misuse. Rising: an attack, or a broken player.',
    read: ({ cache }) => by('reason', cache.misuse),
  },
  {
    name: 'nearcast_tls_handshake_failures_total',
    type: 'counter',
    labels: [],
    help: 'TLS handshakes that failed. A step after a new certificate: its chain is incomplete, or lacks a name.',
    read: ({ cache }) => one(cache.handshakeFailures),
  },
  {
    name: 'nearcast_certificate_expiry_timestamp_seconds',
    type: 'gauge',
    labels: ['host'],
    help: 'When the certificate of a host ends; default: that of every other name. Soon: renew its files, without a restart.',
    read: ({ cache }) => cache.certificates.expiresAt.map(({ host, at }) => ({ labels: { host }, value: at / 1000 })),
  },
  {
    name: 'nearcast_certificate_reloads_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Certificate files that changed. Failed: the old pair stays in use; log event certificate.reload-failed says why.',
    read: ({ cache: { certificates } }) => by('outcome', { ok: certificates.reloads, failed: certificates.failures }),
  },
  {
    name: 'nearcast_config_reloads_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Reloads of the configuration. Failed: the old one stays in force; log event config.reload-failed has the problems.',
    read: ({ configReloads }) => by('outcome', configReloads),
  },
];
