// Open files: how many this process may have, and how many of them the connections of viewers may take. Beyond the limit
// the system drops connections without a word; below it a viewer gets 503 and is counted.
import { readFileSync } from 'node:fs';
import type { ListenLimits, Log } from '../contract.ts';
import { DEFAULT_LIMITS } from './limit.ts';

/** Left to stored bodies, origins, databases and the log; a quarter of a small limit is enough, too. */
const RESERVED = 512;
const RESERVED_SHARE = 0.25;

/** The soft limit of this process (Node raises it to the hard one when it starts); undefined where nothing tells it. */
function descriptorLimit(): number | undefined {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return limit === undefined ? undefined : Number(limit);
  } catch {
    return undefined; // No /proc: the configured limit stands.
  }
}

/** The limits, with maxConnections lowered to what there are descriptors for; that is worth a line of the log. */
export function withinDescriptors(limits: ListenLimits, log: Log): ListenLimits {
  const openFiles = descriptorLimit();
  if (openFiles === undefined) return limits;
  const { maxConnections: asked = DEFAULT_LIMITS.maxConnections } = limits;
  const reserved = Math.min(RESERVED, Math.ceil(openFiles * RESERVED_SHARE));
  const maxConnections = openFiles - reserved;
  if (asked <= maxConnections) return limits;
  log('warn', 'listen.limit-lowered', { asked, maxConnections, openFiles });
  return { ...limits, maxConnections, maxLingering: reserved >> 1 };
}
