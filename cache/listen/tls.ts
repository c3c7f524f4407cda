// The TLS side of the viewer listener: protocol settings, certificates by name, and ticket keys that change.
import { constants, randomBytes } from 'node:crypto';
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import type { Log } from '../contract.ts';
import { type CertificateChoice, type Certificates, openCertificates } from './certificates.ts';

/** A key of tickets is used so long. What it has sealed stays secret only as long as the key does, so not for days. */
const TICKET_KEY_MS = 6 * 3_600_000;
/** Name, cipher key and MAC key of tickets, 16 bytes each. */
const TICKET_KEY_BYTES = 48;

/**
 * Versions, ciphers and groups. Ciphers: those of Mozilla's "intermediate" with forward secrecy and AEAD alone, AES-128
 * first, ChaCha20 first for viewers who ask for it first, since they have no AES in hardware. Groups: the hybrid
 * with ML-KEM-768 is taken from whoever knows it, even at the price of a round trip (the slash); then X25519 or P-256.
 */
export const TLS_SETTINGS: SecureContextOptions & { readonly ALPNProtocols: string[] } = {
  minVersion: 'TLSv1.2',
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':'),
  honorCipherOrder: true,
  ecdhCurve: 'X25519MLKEM768/X25519:P-256',
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_PRIORITIZE_CHACHA,
  ALPNProtocols: ['h2', 'http/1.1'],
};

/** What the TLS side needs. */
export type TlsOptions = CertificateChoice & {
  readonly certificatePollMs?: number | undefined;
  /** From accept to the end of the handshake. */
  readonly handshakeTimeoutMs: number;
  readonly now: () => number;
  readonly log: Log;
  /** Gets each connection whose handshake succeeded. */
  readonly onSocket: (socket: TLSSocket) => unknown;
};

/** The TLS side. */
export type Tls = {
  /** Not yet listening; its plain connections come as `connection` events. */
  readonly server: Server;
  readonly certificates: Certificates;
  /** Handshakes that failed. */
  readonly failures: () => number;
  readonly close: () => void;
};

/** Opens it. Rejects with CACHE_CERTIFICATE_UNUSABLE. */
export async function openTls(options: TlsOptions): Promise<Tls> {
  let failures = 0;
  let ticketKeys = randomBytes(TICKET_KEY_BYTES);
  const { now, log, certificatePollMs: pollMs } = options;
  const certificates = await openCertificates(options, { settings: TLS_SETTINGS, now, log, pollMs }, () => {
    server.setSecureContext({ ...TLS_SETTINGS, ...certificates.fallback() });
    server.setTicketKeys(ticketKeys);
  });
  const server = createServer(
    {
      ...TLS_SETTINGS,
      ...certificates.fallback(),
      ticketKeys,
      handshakeTimeout: options.handshakeTimeoutMs,
      SNICallback: (name, done) => done(null, certificates.contextFor(name)),
    },
    options.onSocket,
  );
  server.on('tlsClientError', (_error, socket) => {
    failures += 1;
    socket.destroy();
  });
  const rotation = setInterval(() => {
    ticketKeys = randomBytes(TICKET_KEY_BYTES);
    server.setTicketKeys(ticketKeys);
  }, TICKET_KEY_MS);
  rotation.unref();
  return {
    ...{ server, certificates },
    failures: () => failures,
    close: () => {
      clearInterval(rotation);
      certificates.close();
    },
  };
}
