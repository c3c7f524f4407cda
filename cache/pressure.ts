// Watches the memory of this process and has the RAM tier shrink before the system or V8 would end it.
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import type { Log } from './contract.ts';
import { NO_PRESSURE, nextPressure } from './rules/pressure.ts';

const PERIOD_MS = 1_000;

/** A running watch. */
export type MemoryWatch = {
  /** Memory is short: nothing should begin that no viewer waits for. */
  readonly isTight: () => boolean;
  readonly close: () => void;
};

/** What a watch needs. */
export type MemoryWatchOptions = {
  /** Resident memory that this process may take; absent or null: what its cgroup or the host has. */
  readonly maxResidentBytes: number | null | undefined;
  /** Hears the share of the RAM tier that may be used from now on, 0..1. */
  readonly onShare: (share: number) => void;
  readonly log: Log;
};

/** What the cgroup allows or the host has. Without a cgroup's limit constrainedMemory() is 0 or beyond all memory. */
function availableBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** Starts to watch. */
export function watchMemory({ maxResidentBytes, onShare, log }: MemoryWatchOptions): MemoryWatch {
  const limitBytes = maxResidentBytes ?? availableBytes();
  let pressure = NO_PRESSURE;
  const look = (): void => {
    const residentBytes = process.memoryUsage.rss();
    const { used_heap_size: heapBytes, heap_size_limit: heapLimitBytes } = getHeapStatistics();
    const next = nextPressure(pressure, Math.max(residentBytes / limitBytes, heapBytes / heapLimitBytes));
    if (next.share !== pressure.share) onShare(next.share);
    if (next.isTight !== pressure.isTight) {
      const fields = { residentBytes, limitBytes, heapBytes, heapLimitBytes };
      if (next.isTight) log('warn', 'memory.tight', fields);
      else log('info', 'memory.relieved', fields);
    }
    pressure = next;
  };
  const timer = setInterval(look, PERIOD_MS);
  timer.unref();
  return { isTight: () => pressure.isTight, close: () => clearInterval(timer) };
}
