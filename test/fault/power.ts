// Power cuts under a writing process: what was durable is there afterwards, and nothing of the rest is served.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { chances } from '../fake/chance.ts';
import { type Found, look, lookNaively } from './looking.ts';
import { openLoopDisk } from './loop.ts';
import { pathsOf, type Said, startWriting, TICK_MS } from './writing.ts';

/** What all cuts together did. */
export type PowerReport = {
  readonly stored: number;
  /** Bodies served as complete that are not what their tag says. */
  readonly wrong: number;
  /** Refused by a checksum: right, but only where the disk lied. */
  readonly caught: number;
  /** Stored more than OLD_MS of the writer's time before the cut, and not removed since. */
  readonly old: number;
  /** Of these, not there. */
  readonly lostOld: number;
  /** Removed longer ago than that, and there again. */
  readonly returned: number;
  /** Of the younger ones, not there: what a cut costs. */
  readonly lostYoung: number;
  readonly readyMs: number;
};

/** How they are run. */
export type PowerOptions = {
  readonly discipline: 'store' | 'naive';
  readonly directory: string;
  readonly cuts: number;
  readonly seed: number;
  /** Hears of every cut that is over, with the sums until then. */
  readonly onCut?: (done: number, total: PowerReport) => void;
};

/** Within this what was stored must have become durable, in milliseconds of the writer (row 3 of the fault matrix). */
const OLD_MS = 5_000;
/** A writer lives at least and at most so long. */
const LEAST_MS = 5_500;
const MOST_MS = 8_500;
/** An image large enough for what is stored between two purges. */
const IMAGE_MIB = 6_000;
/** About as many objects a second as make an image of that size last; the naive one is caught by what is half done. */
const PACE = { store: { pauseMs: 25 }, naive: {} } as const;
/** Objects of so many cuts stay. */
const KEPT_CUTS = 2;

/** Cuts the power again and again at random moments. */
export async function cutPower(options: PowerOptions): Promise<PowerReport> {
  const { discipline, directory, cuts, seed } = options;
  const disk = openLoopDisk(directory, IMAGE_MIB);
  const store = join(disk.path, 'store');
  mkdirSync(store);
  const total = { stored: 0, wrong: 0, caught: 0, old: 0, lostOld: 0, returned: 0, lostYoung: 0, readyMs: 0 };
  const random = chances(seed);
  let kept = new Set<string>();
  try {
    for (let cut = 0; cut < cuts; cut += 1) {
      const plan = {
        discipline,
        directory: store,
        cycle: cut,
        seed: seed + cut,
        lanes: 2,
        ...PACE[discipline],
      } as const;
      const writing = startWriting(plan);
      writing.go([...kept].slice(0, 3));
      await writing.said('ready');
      await delay(LEAST_MS + random() * (MOST_MS - LEAST_MS));
      // Half of them right after the kernel wrote back what happened to be there, finished or not.
      if (random() < 0.5) disk.writeBack();
      disk.cutPower();
      const cutMs = performance.now();
      writing.kill();
      const said = (await writing.ended).filter(({ atMs }) => atMs <= cutMs);
      disk.restore();
      const retire = `/object/${cut - KEPT_CUTS}/`;
      const paths = [...kept, ...pathsOf(said, 'storing')];
      const found = discipline === 'naive' ? lookNaively(store, paths, retire) : await look(store, paths, retire);
      judge(total, { said, kept, found });
      kept = new Set([...found.right].filter((path) => path.startsWith('/object/') && !path.startsWith(retire)));
      options.onCut?.(cut + 1, { ...total });
    }
  } finally {
    disk.remove();
  }
  return total;
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

type Cut = {
  readonly said: readonly Said[];
  readonly kept: ReadonlySet<string>;
  readonly found: Found;
};

function judge(total: Mutable<PowerReport>, { said, kept, found }: Cut): void {
  const removing = new Set(pathsOf(said, 'removing'));
  const oldMs = said.filter(({ word }) => word === 'tick').at(-OLD_MS / TICK_MS)?.atMs ?? Number.NEGATIVE_INFINITY;
  const isOld = ({ atMs }: Said): boolean => atMs < oldMs;
  // Hot paths are replaced all the time: their last version is young.
  const objects = said.filter(({ word, path }) => word === 'stored' && path.startsWith('/object/'));
  const young = pathsOf(
    objects.filter((one) => !isOld(one)),
    'stored',
  );
  const old = [...kept, ...pathsOf(objects.filter(isOld), 'stored')].filter((path) => !removing.has(path));
  total.stored += objects.length;
  total.wrong += found.wrong.length;
  total.caught += found.caught;
  total.old += old.length;
  total.lostOld += old.filter((path) => !found.right.has(path)).length;
  total.lostYoung += young.filter((path) => !removing.has(path) && !found.right.has(path)).length;
  total.returned += pathsOf(said.filter(isOld), 'removed').filter((path) => found.right.has(path)).length;
  total.readyMs = Math.max(total.readyMs, found.readyMs);
}
