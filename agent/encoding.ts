// Encoding on this node: the queue with what its jobs are worth, at the pace of all background work.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Cache, Log } from '../cache/cache.ts';
import type { Catalogue } from './catalogue.ts';
import type { Config } from './config.ts';
import type { PlannedJob } from './encode-order.ts';
import { type NotEncoded, openWorth, type TitleWorth } from './encode-worth.ts';
import { type EncodeStatus, type Encodes, openEncodes } from './encodes.ts';
import type { Expectation } from './expectation.ts';
import type { Power } from './power/power.ts';
import type { Prediction } from './prediction.ts';

/** What openEncoding() needs. `onEncode` hears every step of every encode. */
export type EncodingOptions = {
  readonly config: Config;
  readonly cache: Pick<Cache, 'isTight'>;
  readonly catalogue: Catalogue;
  readonly prediction: Pick<Prediction, 'predictor' | 'popularity'>;
  readonly expectation: Pick<Expectation, 'hours'>;
  readonly power: Pick<Power, 'pace' | 'joules' | 'onReading'>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onEncode: (status: EncodeStatus) => void;
  readonly onPublished: (id: string) => void;
  readonly now: () => number;
  readonly log: Log;
};

/** The queue in its order, and why the other titles of the catalogue are not in it. */
export type EncodePlan = { readonly jobs: readonly PlannedJob[]; readonly notEncoded: readonly NotEncoded[] };

/** The queue, and what it is to do. */
export type Encoding = {
  readonly encodes: Encodes;
  readonly worth: TitleWorth;
  readonly plan: () => EncodePlan;
};

/** The lowest: hits on the same core wait half as long as beside 10, by our measurement. */
const NICENESS = 19;

/** ffmpeg processes of one job: its share of all cores, but not more than the cores that are not reserved. */
function processesOf({ cpuShare, reservedCores }: Config['encode'], cores: number): number {
  const left = cores - reservedCores;
  return Math.max(1, Math.min(Math.round(cores * cpuShare), left > 0 ? left : cores));
}

/** Opens the queue and takes up the jobs of an earlier run; undefined when encoding is off. */
export async function openEncoding(options: EncodingOptions): Promise<Encoding | undefined> {
  const { config, cache, catalogue, prediction, expectation, power, env, onEncode, now, log } = options;
  const { enabled, ffmpegPath, codecs, devices, hardware, vmafCap, reservedCores } = config.encode;
  if (!enabled) return undefined;
  const worth = openWorth({
    catalogue,
    demand: prediction.predictor.demand,
    expectedViews: (days) => prediction.popularity.expectedViews(config.node.region, days, now()),
    hoursAWeek: (id) => expectation.hours(id, 7)?.mean,
    publishPath: config.publish.path,
    now,
  });
  const encodes = await openEncodes({
    workDir: join(config.state.dir, 'encode'),
    publishDir: config.publish.dir,
    niceness: NICENESS,
    reservedCores,
    parallel: processesOf(config.encode, availableParallelism()),
    defaults: {
      codecs: [...codecs],
      devices: [...devices],
      hardware,
      ladder: { vmafCap },
      ...(ffmpegPath === null ? {} : { ffmpegPath }),
    },
    env,
    sourceOf: (id) => catalogue.title(id)?.source,
    hasRoom: () => !cache.isTight(),
    pace: power.pace,
    joules: power.joules,
    worthOf: worth.worthOf,
    onEvent: (event) => {
      const status = encodes.list().find(({ id }) => id === event.id);
      if (status !== undefined) onEncode(status);
      if (event.event === 'done') options.onPublished(event.id);
    },
    now,
    log,
  });
  power.onReading(encodes.nextPace);
  void worth.readPackages();
  return { encodes, worth, plan: () => ({ jobs: encodes.plan(), notEncoded: worth.notEncoded(encodes.list()) }) };
}
