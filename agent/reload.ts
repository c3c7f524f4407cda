// Reads nearcast.yaml again while the node serves: applies what can change, keeps the old configuration when the new one
// cannot be used, and names what waits for a restart.
import { CacheError } from '../cache/cache.ts';
import { type Config, loadConfig } from './config.ts';
import { AgentError } from './errors.ts';
import type { AgentLog } from './log.ts';

/** Sections, or keys of one, that a reload applies. Everything else waits for a restart. */
const LIVE: ReadonlySet<string> = new Set([
  'origins',
  'hosts',
  'tls',
  'cache',
  'listen.maxConnections',
  'listen.maxRequests',
  'listen.addressLimit',
  'listen.exemptPrefixes',
  'log',
  'drainSeconds',
]);

/** What a reload did. */
export type Reloaded =
  | {
      readonly isApplied: true;
      /** Keys that changed and are in force. */
      readonly changed: readonly string[];
      /** Keys that differ from what runs, and will do so until a restart. */
      readonly needRestart: readonly string[];
      /** `FILE:LINE: message` each. */
      readonly warnings: readonly string[];
    }
  | { readonly isApplied: false; readonly problems: readonly string[] };

/** Reloads, one after the other. */
export type Reloader = {
  readonly reload: () => Promise<Reloaded>;
  /** What is in force now. */
  readonly config: () => Config;
  readonly counts: () => { readonly ok: number; readonly failed: number };
};

/** What a reloader needs. */
export type ReloaderOptions = {
  /** The configuration that the node was started with; its file; undefined: there is none, and every reload fails. */
  readonly config: Config;
  readonly file: string | undefined;
  /** Takes the configuration into use, or rejects with a CacheError or AgentError and has changed nothing. */
  readonly apply: (config: Config) => Promise<void>;
  readonly log: AgentLog;
};

type Json = Readonly<Record<string, unknown>>;
const isSection = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Sections, or keys of a section, in which two configurations differ; a live section counts as one key. */
function differences(from: Json, to: Json): readonly string[] {
  return [...new Set([...Object.keys(from), ...Object.keys(to)])].flatMap((section) => {
    const [before, after] = [from[section], to[section]];
    if (JSON.stringify(before) === JSON.stringify(after)) return [];
    if (LIVE.has(section) || !isSection(before) || !isSection(after)) return [section];
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    const changed = keys.filter((key) => JSON.stringify(before[key]) !== JSON.stringify(after[key]));
    return changed.map((key) => `${section}.${key}`);
  });
}

/** What runs after a reload: the new configuration where that can be applied, else the old one. */
function merged(running: Config, next: Config): Config {
  const { maxConnections, maxRequests, addressLimit, exemptPrefixes } = next.listen;
  const { origins, hosts, tls, cache, log, drainSeconds } = next;
  return {
    ...running,
    ...{ origins, hosts, tls, cache, log, drainSeconds },
    listen: { ...running.listen, maxConnections, maxRequests, addressLimit, exemptPrefixes },
  };
}

/** Opens a reloader over a running node. */
export function openReloader({ config, file, apply, log }: ReloaderOptions): Reloader {
  const counts = { ok: 0, failed: 0 };
  let running = config;
  let last: Promise<unknown> = Promise.resolve();
  let waiting: Promise<Reloaded> | undefined;

  function failed(problems: readonly string[]): Reloaded {
    counts.failed += 1;
    log('error', 'config.reload-failed', { problems: [...problems] });
    return { isApplied: false, problems };
  }

  async function once(): Promise<Reloaded> {
    if (file === undefined) return failed(['this node was not started from a file']);
    const loaded = loadConfig(file);
    if (!loaded.ok) return failed(loaded.problems.map((one) => `${one.file}:${one.line}: ${one.message}`));
    const next = merged(running, loaded.config);
    try {
      await apply(next);
    } catch (error) {
      if (error instanceof CacheError || error instanceof AgentError) return failed([`${file}: ${error.message}`]);
      throw error;
    }
    const changed = differences(running, next);
    running = next;
    counts.ok += 1;
    const needRestart = differences(running, loaded.config);
    const warnings = loaded.warnings.map((one) => `${one.file}:${one.line}: ${one.message}`);
    log('info', 'config.reloaded', { changed, needRestart, warnings });
    return { isApplied: true, changed, needRestart, warnings };
  }

  return {
    // Who comes while one waits already is served by that one, which reads the file after both have asked.
    reload: () => {
      waiting ??= last.then(() => {
        waiting = undefined;
        const current = once();
        last = current.catch(() => undefined);
        return current;
      });
      return waiting;
    },
    config: () => running,
    counts: () => ({ ...counts }),
  };
}
