// What prediction remembers over a restart besides popularity: the trial of models, the watch over drift, and what is
// turned to after what. One document each, checked when it is read; sums over viewers alone, none of which names one.
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

type Shape = (value: unknown) => boolean;
const isNumber: Shape = (value) => typeof value === 'number' && Number.isFinite(value);
const isText: Shape = (value) => typeof value === 'string';
const isOne: Shape = (value) => value === 1;
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const optional =
  (shape: Shape): Shape =>
  (value) =>
    value === undefined || value === null || shape(value);
const list =
  (shape: Shape): Shape =>
  (value) =>
    Array.isArray(value) && value.every(shape);
const tuple =
  (...shapes: readonly Shape[]): Shape =>
  (value) =>
    Array.isArray(value) && value.length === shapes.length && shapes.every((shape, at) => shape(value[at]));
const values =
  (shape: Shape): Shape =>
  (value) =>
    isRecord(value) && Object.values(value).every(shape);
const record =
  (shapes: Readonly<Record<string, Shape>>): Shape =>
  (value) =>
    isRecord(value) && Object.entries(shapes).every(([key, shape]) => shape(value[key]));

const isBin: Shape = (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 9;
const isSample = record({ seen: isNumber, bins: list(isBin) });
const isWindow = record({ reference: optional(isSample), present: isSample, own: isSample });
const isBeside = record({
  ...{ questions: isNumber, champion: isNumber, own: isNumber },
  paired: record({ questions: isNumber, own: isNumber, other: isNumber }),
});
const isSums = record({
  ...{ viewers: isNumber, all: isNumber, champion: isNumber, paired: isNumber, pairedChampion: isNumber },
  ...{ other: isNumber, baselines: values(isBeside) },
});
const SHAPES: Readonly<Record<Name, Shape>> = {
  life: record({
    ...{ version: isOne, champion: optional(isText), guarded: optional(isText), since: isNumber },
    other: optional(record({ role: isText, version: isText })),
    trial: record({ nextLook: isNumber, sums: list(isSums) }),
  }),
  drift: record({
    ...{ version: isOne, day: isNumber, trust: isNumber },
    ...{ own: optional(list(list(isText))), former: optional(list(list(isText))) },
    windows: record({ demand: isWindow, rank: isWindow }),
  }),
  transitions: record({
    ...{ version: isOne, at: isNumber },
    titles: list(tuple(isText, isNumber, list(tuple(isText, isNumber)))),
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
      if (SHAPES[name](value)) return value as Remembered[T];
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
