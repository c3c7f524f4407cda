// How busy the processor is with work of normal priority, from /proc/stat: background work is niced and counted apart.
import { open } from 'node:fs/promises';

/** A running measurement. */
export type Load = {
  /** Share of all processor time that work of normal priority took since the last call, 0..1; 0 where it is not told. */
  readonly foregroundRatio: () => Promise<number>;
};

/** Ticks of all cores since boot, in the order of proc_stat(5): user nice system idle iowait irq softirq steal. */
export function parseStat(text: string): { readonly foreground: number; readonly all: number } | undefined {
  const line = /^cpu +([\d ]+)/.exec(text)?.[1];
  const ticks = line?.trim().split(/ +/).map(Number) ?? [];
  const [user, nice, system, idle, wait, irq = 0, softirq = 0, steal = 0] = ticks;
  if (user === undefined || nice === undefined || system === undefined || idle === undefined || wait === undefined)
    return undefined;
  const foreground = user + system + irq + softirq;
  return { foreground, all: foreground + nice + idle + wait + steal };
}

/** Opens a measurement of the host whose /proc is there. */
export function openLoad(procRoot: string): Load {
  let before: ReturnType<typeof parseStat>;
  return {
    foregroundRatio: async () => {
      const now = parseStat(await firstLine(`${procRoot}/stat`));
      const earlier = before;
      before = now;
      if (now === undefined || earlier === undefined || now.all <= earlier.all) return 0;
      return Math.min(1, Math.max(0, (now.foreground - earlier.foreground) / (now.all - earlier.all)));
    },
  };
}

async function firstLine(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(512), 0, 512, 0);
      return buffer.toString('latin1', 0, bytesRead).split('\n')[0] ?? '';
    } finally {
      await file.close();
    }
  } catch {
    // A system without /proc: its load is not known, and holds nothing back.
    return '';
  }
}
