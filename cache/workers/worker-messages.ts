// What the primary and its workers tell each other over the channel between their processes. Both run the same version.
import type { CacheStats, Listen, Log, ServedRecord } from '../contract.ts';
import type { PurgeSelector } from '../contract-rights.ts';
import type { WorkerOptions, WorkerReload } from './tier.ts';

/** Where workers listen. */
export type Where = { readonly plain: Listen; readonly secure: Listen | undefined };
/** The ports that they got. */
export type Ports = { readonly port: number; readonly securePort?: number };

/** What the primary tells a worker. Purges and reloads are answered by `done` with their id. */
export type ToWorker =
  | { readonly type: 'start'; readonly options: WorkerOptions; readonly where: Where; readonly socketPath: string }
  | { readonly type: 'purge'; readonly id: number; readonly selector: PurgeSelector }
  | { readonly type: 'reload'; readonly id: number; readonly next: WorkerReload }
  | { readonly type: 'drain'; readonly drainMs: number };

/** What a worker tells the primary. In `served`, remoteHash is the viewer's address, which the primary hashes. */
export type FromWorker =
  | { readonly type: 'listening'; readonly ports: Ports }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'done'; readonly id: number }
  | { readonly type: 'served'; readonly records: readonly ServedRecord[]; readonly keys: readonly string[] }
  | { readonly type: 'stats'; readonly stats: CacheStats; readonly dropped: number }
  | {
      readonly type: 'log';
      readonly level: Parameters<Log>[0];
      readonly event: string;
      readonly fields: Parameters<Log>[2];
    };
