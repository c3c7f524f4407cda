// Watches the memory of this process and has the RAM tier shrink before the system or V8 would end it.
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import type { Log } from './contract.ts';
import { NO_PRESSURE, nextPressure } from './rules/pressure.ts';

/** Short, for a rush of large objects can take hundreds of megabytes in a second. */
const PERIOD_MS = 250;

/** A running watch. */
export type MemoryWatch = {
  /** Memory is short: nothing should begin that no viewer waits for. */
  readonly isTight: () => boolean;
  readonly close: () => void;
};

/** Bytes of memory that the cgroup allows or the host has. Without a cgroup's limit constrainedMemory() is 0 or beyond all memory. */
export function availableBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** Resident memory; 0 when the system does not tell it, as without a free descriptor, which must end nobody. */
function readResident(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    return 0;
  }
}

/** Starts to watch this process against `limitBytes`. `onShare` hears the share of the RAM tier that may be used from now on, 0..1. */
export function watchMemory(
  { limitBytes, log }: { readonly limitBytes: number; readonly log: Log },
  onShare: (share: number) => void,
): MemoryWatch {
  let pressure = NO_PRESSURE;
  const look = (): void => {
    const residentBytes = readResident();
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
