// What prediction remembers over a restart besides popularity: the trial of models, the watch over drift, and what is
// turned to after what. One document each, checked when it is read; sums over viewers alone, none of which names one.
import { z } from 'zod';
import type { Log } from '../../cache/cache.ts';
import type { KeptTransitions } from '../predict/transitions.ts';
import type { KeptLife } from './life-contract.ts';
import type { KeptDrift } from './watch.ts';

/** All of it. */
export type Remembered = {
  readonly life: KeptLife;
  readonly drift: KeptDrift;
  readonly transitions: KeptTransitions;
};

type Name = keyof Remembered;

/** What openMemory() needs. */
export type MemoryOptions = {
  readonly documents: {
    readonly get: (name: string) => string | undefined;
    readonly put: (name: string, json: string) => void;
  };
  readonly now: () => number;
  readonly log: Log;
};

/** Reads and writes it. */
export type Memory = {
  /** A part as it was saved last; undefined: never, or it cannot be read, and begins anew. */
  readonly read: <T extends Name>(name: T) => Remembered[T] | undefined;
  /** Saves the parts that are due, or all; a part that is undefined is not there. */
  readonly save: (parts: { readonly [T in Name]: () => Remembered[T] | undefined }, when: 'due' | 'all') => void;
};

/** How long a part may differ from what is on disk: so much of it a crash loses. Large ones are written less often. */
const EVERY_MS: Readonly<Record<Name, number>> = { life: 0, drift: 600_000, transitions: 3_600_000 };

const bin = z.int().min(0).max(9);
const sample = z.object({ seen: z.number(), bins: z.array(bin) });
const window = z.object({ reference: sample.nullish(), present: sample, own: sample });
const beside = z.object({
  ...{ questions: z.number(), champion: z.number(), own: z.number() },
  paired: z.object({ questions: z.number(), own: z.number(), other: z.number() }),
});
const sums = z.object({
  ...{ viewers: z.number(), all: z.number(), champion: z.number(), paired: z.number(), pairedChampion: z.number() },
  ...{ other: z.number(), baselines: z.record(z.string(), beside) },
});
const names = z.array(z.array(z.string())).nullish();
const SHAPES = {
  life: z.object({
    ...{ version: z.literal(1), champion: z.string().nullish(), guarded: z.string().nullish(), since: z.number() },
    other: z.object({ role: z.string(), version: z.string() }).nullish(),
    trial: z.object({ nextLook: z.number(), sums: z.array(sums) }),
  }),
  drift: z.object({
    ...{ version: z.literal(1), day: z.number(), trust: z.number(), own: names, former: names },
    windows: z.object({ demand: window, rank: window }),
  }),
  transitions: z.object({
    ...{ version: z.literal(1), at: z.number() },
    titles: z.array(z.tuple([z.string(), z.number(), z.array(z.tuple([z.string(), z.number()]))])),
  }),
};

/** Opens it. */
export function openMemory({ documents, now, log }: MemoryOptions): Memory {
  const savedAt = new Map<Name, number>();
  const written = new Map<Name, string>();
  const parse = (text: string): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      // Not JSON is not what it should be, as its shape then says.
      return undefined;
    }
  };
  return {
    read: <T extends Name>(name: T) => {
      const text = documents.get(`predict.${name}`);
      if (text === undefined) return undefined;
      const value = parse(text);
      savedAt.set(name, now());
      // Sound: its shape is that of its name; JSON's null is taken for what is absent.
      if (SHAPES[name].safeParse(value).success) return value as Remembered[T];
      log('warn', 'predict.unreadable', { name });
      return undefined;
    },
    save: (parts, when) => {
      for (const name of ['life', 'drift', 'transitions'] as const) {
        if (when === 'due' && now() - (savedAt.get(name) ?? Number.NEGATIVE_INFINITY) < EVERY_MS[name]) continue;
        const part = parts[name]();
        if (part === undefined) continue;
        const text = JSON.stringify(part);
        savedAt.set(name, now());
        if (written.get(name) !== text) documents.put(`predict.${name}`, text);
        // Compared where it changes seldom and is small.
        if (name === 'life') written.set(name, text);
      }
    },
  };
}
