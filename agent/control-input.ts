// What control calls are given and how they read it: the parts of the node, and keys of an unknown JSON body.
import type { Cache } from '../cache/cache.ts';
import type { Agent } from './agent.ts';
import type { Config } from './config.ts';
import type { ControlReply } from './control.ts';
import type { Jobs } from './control-jobs.ts';
import type { NodeStats } from './node-stats.ts';
import type { Reloaded } from './reload.ts';

/** What the calls look at and change. Without an agent (agent: off) its calls answer 409. */
export type Controlled = {
  readonly config: Config;
  readonly cache: Cache;
  readonly agent: Agent | undefined;
  readonly jobs: Jobs;
  readonly stats: () => NodeStats;
  readonly unreadiness: () => string | undefined;
  readonly uptimeSeconds: () => number;
  readonly reload: () => Promise<Reloaded>;
  readonly now: () => number;
};

/** An answer that all is well. */
export const ok = (json: unknown): ControlReply => ({ status: 200, json });
/** An answer that the call was wrong. */
export const bad = (error: string): ControlReply => ({ status: 400, json: { error } });
/** The answer of a node without an agent. */
export const OFF: ControlReply = { status: 409, json: { error: 'this node runs with agent: off' } };
/** Titles in an explained ranking, and decisions in any explanation. */
export const MAX_EXPLAINED = 20;

/** A key of an unknown JSON body. */
export function keyOf(body: unknown, key: string): unknown {
  return typeof body === 'object' && body !== null && Object.hasOwn(body, key) ? Reflect.get(body, key) : undefined;
}
/** A key that is a text and not empty. */
export const textOf = (body: unknown, key: string): string | undefined => {
  const value = keyOf(body, key);
  return typeof value === 'string' && value !== '' ? value : undefined;
};
/** The texts of a key that is a list. */
export function textsOf(body: unknown, key: string): readonly string[] {
  const value = keyOf(body, key);
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
