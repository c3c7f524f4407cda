// Scores encodes of one unit against its lossless copy, several in one run: the copy is decoded once for all of them.
import { NEG_MODEL } from './ffmpeg/args.ts';
import type { LadderKind } from './ffmpeg/codecs/choose.ts';
import type { VideoRange } from './ffmpeg/codecs/codec.ts';
import type { Source } from './ffmpeg/probe.ts';
import { measureQuality, type Quality, type QualityTarget } from './ffmpeg/quality.ts';
import type { Ffmpeg } from './ffmpeg/run.ts';
import { MOST_SAMPLING_ERROR, samplingError } from './plan/metric.ts';

/** An encode of a unit, in the folder of its copies. */
export type Encode = { readonly kind: LadderKind; readonly file: string };

/** Where and how a unit's encodes are scored. */
export type Scoring = {
  readonly ffmpeg: Ffmpeg;
  readonly source: Source;
  readonly folder: string;
  /** The unit's lossless copy in a light range. */
  readonly copyOf: (range: VideoRange) => string;
  readonly frames: number;
  /** Every n-th frame is scored. */
  readonly subsample: number;
};

/** Encodes in one run, at most; each takes a decoder and a metric's memory, so fewer of large pictures. */
const MOST_TOGETHER = 4;
const PIXELS_TOGETHER = MOST_TOGETHER * 1920 * 1080;
/** Frames between those that the NEG model scores: it decides nothing, and its mean is told for a whole rendition. */
export const NEG_SUBSAMPLE = 12;

/**
 * Scores of encodes, of every n-th frame, and of all frames where these few leave the mean too uncertain. Rejects as
 * measureQuality does.
 */
export async function scoreEncodes<One extends Encode>(
  scoring: Scoring,
  encodes: readonly One[],
): Promise<ReadonlyMap<One, Quality>> {
  const { frames, subsample } = scoring;
  const first = await scoreAll(scoring, encodes);
  if (subsample === 1) return first;
  const unsure = [...first].flatMap(([encode, { scores }]) =>
    encode.kind.metric === 'vmaf' && samplingError(scores, frames) > MOST_SAMPLING_ERROR ? [encode] : [],
  );
  return new Map([...first, ...(await scoreAll({ ...scoring, subsample: 1 }, unsure))]);
}

/** Means of VMAF's NEG model of encodes that VMAF scores. Rejects as measureQuality does. */
export async function negOfEncodes<One extends Encode>(
  scoring: Scoring,
  encodes: readonly One[],
): Promise<ReadonlyMap<One, number>> {
  const scores = await scoreAll({ ...scoring, subsample: NEG_SUBSAMPLE }, encodes, NEG_MODEL);
  return new Map([...scores].map(([encode, { mean }]) => [encode, mean]));
}

async function scoreAll<One extends Encode>(
  scoring: Scoring,
  encodes: readonly One[],
  model?: QualityTarget['model'],
): Promise<Map<One, Quality>> {
  const groups = new Map<string, One[]>();
  for (const encode of encodes) {
    const { metric, picture } = encode.kind;
    const key = `${metric} ${picture.videoRange} ${picture.bitDepth}`;
    groups.set(key, [...(groups.get(key) ?? []), encode]);
  }
  const { width, height } = scoring.source.view;
  const most = Math.max(1, Math.min(MOST_TOGETHER, Math.floor(PIXELS_TOGETHER / (width * height))));
  const runs = [...groups.values()].flatMap((group) =>
    Array.from({ length: Math.ceil(group.length / most) }, (_, at) => group.slice(at * most, (at + 1) * most)),
  );
  const scored = await scoring.ffmpeg.all(runs.map((run) => scoreRun(scoring, run, model)));
  return new Map(scored.flat());
}

/** One run over encodes of one metric, light range and depth. */
async function scoreRun<One extends Encode>(
  { ffmpeg, source, folder, copyOf, frames, subsample }: Scoring,
  encodes: readonly One[],
  model: QualityTarget['model'],
): Promise<(readonly [One, Quality])[]> {
  const [first] = encodes;
  if (first === undefined) return [];
  const { metric, picture } = first.kind;
  const { view } = source;
  const scores = await measureQuality(ffmpeg, {
    distorted: encodes.map(({ file }) => file),
    reference: copyOf(picture.videoRange),
    ...{ width: view.width, height: view.height, metric, subsample, frames },
    // What the reference holds: a source of ten bits is no less for an encode of eight.
    bitDepth: picture.videoRange === view.picture.videoRange ? view.picture.bitDepth : picture.bitDepth,
    ...{ threads: ffmpeg.threads, cwd: folder },
    ...(model === undefined ? {} : { model }),
  });
  return encodes.flatMap((encode, at) => {
    const quality = scores[at];
    return quality === undefined ? [] : [[encode, quality] as const];
  });
}
