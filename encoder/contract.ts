// What the encoder takes and gives: the job, the NDJSON events, and title.json. Pure schemas; the one file of this
// room that others may import. Readers ignore unknown keys and refuse unknown versions.
import { z } from 'zod';
import { ladderSchema, searchSchema, trialsSchema } from './contract-ladder.ts';

/** Version of job, events and title.json alike. */
export const CONTRACT_VERSION = 1;

const id = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,127}$/i);
const ratio = z.number().min(0).max(1);
const count = z.number().int().nonnegative();
const positive = z.number().positive();

/**
 * What the input is to this site: `mezzanine`, a master or near-lossless copy; `top-rung`, the best rung of somebody's
 * ladder, so that quality is measured against a lossy picture; `sealed`, under DRM: never decoded.
 */
export const SOURCE_CLASSES = ['mezzanine', 'top-rung', 'sealed'] as const;

/** Video codecs that a job may ask for. */
export const CODECS = ['h264', 'hevc', 'av1'] as const;

/** Classes of devices that a job may name; which codecs each asks for is encoder/ffmpeg/codecs/choose.ts's to say. */
export const DEVICES = ['any', 'tv', 'apple', 'browser', 'android', 'modern'] as const;

/** Job JSON, on standard input or as a file. Paths absolute or relative to the working directory. */
export const jobSchema = z.object({
  version: z.literal(CONTRACT_VERSION),
  id,
  /** Title for people; defaults to the id. */
  name: z.string().max(300).optional(),
  /** The video file. Local files only. */
  input: z.string().min(1),
  sourceClass: z.enum(SOURCE_CLASSES).default('mezzanine'),
  /** Work folder: journal, trial encodes and the package while it is built. Kept for resume. */
  outDir: z.string().min(1),
  /** Publish folder, where the package is renamed to ID/HASH/; absent: it stays in outDir/package. */
  publishTo: z.string().min(1).optional(),
  /** Most wanted first; each gets a ladder of its own, over the same segment boundaries. */
  codecs: z.array(z.enum(CODECS)).min(1).default(['h264']),
  /** Whom the title is for: what these ask for beyond `codecs` is made too. */
  devices: z.array(z.enum(DEVICES)).default([]),
  /** HDR sources: keep PQ and HLG where a codec has ten bits, and make SDR renditions by tone mapping. */
  hdr: z.object({ pass: z.boolean().default(true), toneMap: z.boolean().default(true) }).prefault({}),
  /** Hardware encoders: `auto` takes one that wins a test encode of this title against software; `off` asks for none. */
  hardware: z.enum(['auto', 'off']).default('off'),
  audio: z
    .object({
      /** Each gives every track of the source once more. */
      codecs: z
        .array(z.enum(['aac', 'opus']))
        .min(1)
        .default(['aac']),
      /** Sources of six channels and more: kept as 5.1, folded down to stereo, or both. */
      surround: z.enum(['stereo', 'keep', 'both']).default('stereo'),
    })
    .prefault({}),
  ladder: ladderSchema,
  search: searchSchema,
  trials: trialsSchema,
  /** Preset of what ships, named as x264's; other encoders take their own of like cost. */
  preset: z
    .string()
    .regex(/^[a-z]+$/)
    .default('veryfast'),
  segmentSeconds: z.number().min(1).max(10).default(4),
  /** Pictures for the seek bar, in JPEG sheets; `seconds` 0: none. */
  thumbnails: z
    .object({
      seconds: z.number().min(0).max(60).default(2),
      height: z.number().int().min(36).max(432).default(144),
      columns: z.number().int().min(1).max(10).default(5),
      rows: z.number().int().min(1).max(10).default(5),
    })
    .prefault({}),
  /** Pictures that may stand for the title, of as many shots at most, beside its poster; 0: none. */
  artwork: z.object({ pictures: z.number().int().min(0).max(8).default(4) }).prefault({}),
  /** `published`: report.html and report.json appear beside the title's playlists; `private`: only in outDir. */
  report: z.enum(['published', 'private']).default('published'),
  budget: z
    .object({
      /** ffmpeg processes at a time; 0 means one per core. */
      parallel: count.max(256).default(0),
      niceness: z.number().int().min(0).max(19).default(10),
      /** Each ffmpeg run is killed when it makes no progress for this long. */
      stallSeconds: positive.default(60),
      maxPixels: count.default(16_000_000),
      /** Longer inputs are refused. */
      maxSeconds: positive.max(172_800).default(21_600),
      /** An input whose decoding makes ffmpeg allocate more is refused. */
      memoryMegabytes: z.number().int().min(64).max(65_536).default(512),
    })
    .prefault({}),
  /** The ffmpeg to use before any search; the environment's FFMPEG_PATH goes before it. */
  ffmpegPath: z.string().optional(),
  /**
   * Wall-clock seconds from the start of the program after which the best ladder so far ships: shots that are not done by
   * then get one encode at each height. Absent: no haste. The package is late only as far as that takes.
   */
  deadlineSeconds: positive.max(365 * 86_400).optional(),
});
/** A job with its defaults filled in. */
export type EncodeJob = z.output<typeof jobSchema>;
/** A job as its writer may leave it. */
export type EncodeJobInput = z.input<typeof jobSchema>;

/**
 * One line of standard input after the job, with `--control`. `pace`: the share of budget.parallel that may run, 0..1,
 * in whole processes and parts of each second; at 0 nothing is started, what runs may end within graceSeconds (the
 * boundary of a shot, mostly) and is then stopped where it is. `joules`: what the job took so far, as its host measures it.
 */
export const controlSchema = z.object({
  version: z.literal(CONTRACT_VERSION),
  pace: ratio.optional(),
  graceSeconds: z.number().min(0).max(3600).default(0),
  joules: z.number().nonnegative().optional(),
});
/** A line of control as its writer may leave it. */
export type EncodeControl = z.input<typeof controlSchema>;

const segment = z.object({
  /** Relative to the package folder. */
  url: z.string(),
  startTicks: count,
  ticks: count,
  bytes: count,
  /** Index into shots of the shot that this segment belongs to; audio: of the shot in which it starts. */
  shot: count,
  /** Video: the segment's bytes up to the end of its first picture, a keyframe: the range of an I-frame playlist. */
  keyframeBytes: count.optional(),
});
/** One media segment; ticks are in its rendition's timescale. */
export type TitleSegment = z.output<typeof segment>;

const track = z.object({
  id: z.string(),
  /** RFC 6381 codecs string. */
  codec: z.string(),
  peakBandwidthBps: positive,
  averageBandwidthBps: positive,
  initUrl: z.string(),
  initBytes: count,
  /** Ticks a second. */
  timescale: z.number().int().positive(),
  segments: z.array(segment).min(1),
});

const METRICS = ['vmaf', 'xpsnr', 'psnr', 'ssim', 'none'] as const;

const rendition = track.extend({
  width: z.number().int().positive(),
  height: z.number().int().positive(),
  frameRate: positive,
  videoRange: z.enum(['SDR', 'PQ', 'HLG']),
  /** Absent in packages of earlier encoders: 8. */
  bitDepth: z.union([z.literal(8), z.literal(10)]).optional(),
  /** What its quality is measured by, where that is not the title's metric. */
  metric: z.enum(METRICS).optional(),
  /** Over all scored frames of the title, on the metric's scale. */
  qualityMean: z.number(),
  qualityHarmonicMean: z.number().optional(),
  qualityP5: z.number().optional(),
});
/** One encoded video variant. */
export type TitleRendition = z.output<typeof rendition>;

const audioTrack = track.extend({
  /** BCP 47; `und` where the source does not say. */
  language: z.string(),
  channels: z.number().int().positive(),
  /** As the source calls it; absent: the language's own name. */
  name: z.string().optional(),
  role: z.enum(['main', 'alternate', 'commentary', 'description']).optional(),
  /** EBU R 128 over the whole track, before encoding: LUFS, LU, and dBTP unless the track is silent. */
  loudness: z
    .object({ integratedLufs: z.number(), rangeLu: z.number(), truePeakDbtp: z.number().optional() })
    .optional(),
});

const textTrack = z.object({
  id: z.string(),
  language: z.string(),
  /** The whole WebVTT file. */
  url: z.string(),
  name: z.string().optional(),
  role: z.enum(['subtitles', 'captions', 'forced']).optional(),
  /** The same cues in WebVTT segments without gap, for HLS. */
  segments: z
    .array(
      z.object({ url: z.string(), startSeconds: z.number().nonnegative(), durationSeconds: positive, bytes: count }),
    )
    .min(1),
});

const trickplay = z.object({
  /** WebVTT whose cues name a rectangle of a sheet each: `00001.jpg#xywh=0,0,256,144`. */
  vttUrl: z.string(),
  /** Every `secondsEach` one picture: row by row, from left to right, sheet by sheet. */
  secondsEach: positive,
  pictures: z.number().int().positive(),
  /** Of one picture, in pixels. */
  width: z.number().int().positive(),
  height: z.number().int().positive(),
  /** Pictures in a row of a sheet, and rows in it; the last one is filled up with black. */
  columns: z.number().int().positive(),
  rows: z.number().int().positive(),
  sheets: z.array(z.object({ url: z.string(), bytes: count })).min(1),
});
/** Pictures for a seek bar. */
export type Trickplay = z.output<typeof trickplay>;

const artwork = z.object({
  id: z.string(),
  /** Index into shots, and the media time of the picture. */
  shot: count,
  seconds: z.number().nonnegative(),
  /** The same picture in several widths, widest first. */
  files: z
    .array(
      z.object({
        url: z.string(),
        width: z.number().int().positive(),
        height: z.number().int().positive(),
        bytes: count,
      }),
    )
    .min(1),
});

const quality = z.object({
  mean: z.number(),
  harmonicMean: z.number(),
  p5: z.number(),
  /** Mean over the shot's frames: parts of a long shot have their own. */
  crf: z.number(),
  bitrateBps: positive,
});

const shot = z.object({
  startSeconds: z.number().nonnegative(),
  durationSeconds: positive,
  frames: z.number().int().positive(),
  /**
   * All 0..1: spatial detail, temporal change, mean luma, colour saturation, audio loudness (0 = silence); and, since
   * trials are predicted, motion of edges, noise and share of dark pixels.
   */
  features: z.object({
    ...{ spatial: ratio, temporal: ratio, luma: ratio, saturation: ratio, loudness: ratio },
    ...{ motion: ratio.optional(), noise: ratio.optional(), darkness: ratio.optional() },
  }),
  /** By rendition id. */
  quality: z.record(z.string(), quality),
});
/** What the camera saw without a cut. */
export type TitleShot = z.output<typeof shot>;

/** titles/ID/HASH/title.json: the package as the agent reads it. */
export const titleSchema = z.object({
  version: z.literal(CONTRACT_VERSION),
  id,
  name: z.string(),
  hash: z.string().regex(/^[0-9a-f]{16,64}$/),
  durationSeconds: positive,
  source: z.object({
    class: z.enum(SOURCE_CLASSES),
    sha256: z.string(),
    sizeBytes: count,
    format: z.string(),
    codec: z.string(),
    width: count,
    height: count,
    frameRate: positive,
  }),
  /** Program -> version. */
  tools: z.record(z.string(), z.string()),
  metric: z.object({
    name: z.enum(METRICS),
    model: z.string(),
    subsample: z.number().int().positive(),
    /** What a reader must know: a fallback metric, a lossy reference. */
    notes: z.array(z.string()),
  }),
  /** Best first. */
  renditions: z.array(rendition).min(1),
  /** The first one is what plays unless a viewer chooses. */
  audio: z.array(audioTrack),
  text: z.array(textTrack),
  shots: z.array(shot).min(1),
  /** What was done to the source or left out, by code (encoder/ffmpeg/codecs/choose.ts). */
  notes: z.array(z.object({ code: z.string(), message: z.string() })).optional(),
  /** Poster, relative to the package folder, pictures for the seek bar, and others that may stand for the title. */
  images: z.object({ poster: z.string(), trickplay: trickplay.optional(), artwork: z.array(artwork).optional() }),
  /** Delivered bits against the fixed reference ladder, by cause; ratios of the reference's bits. */
  savings: z.object({ referenceBps: count, cap: z.number(), pruning: z.number(), allocation: z.number() }),
  /** CPU seconds of ffmpeg: all, and of these finding shots and making trials; `joules` of the host, where measured. */
  cost: z.object({
    cpuSeconds: z.number().nonnegative(),
    shots: z.number().nonnegative().optional(),
    trials: z.number().nonnegative().optional(),
    joules: z.number().nonnegative().optional(),
  }),
});
/** A published title. */
export type Title = z.output<typeof titleSchema>;

/** titles/ID/latest.json: which immutable package is the newest. */
export const latestSchema = z.object({ version: z.literal(CONTRACT_VERSION), id, hash: z.string() });

const step = { version: z.literal(CONTRACT_VERSION), id, progressRatio: ratio };
/**
 * NDJSON on standard output: every line one event with version, id and progressRatio (never decreasing); exactly one
 * `done` or `failed`, and it is the last line.
 */
export const encodeEventSchema = z.discriminatedUnion('event', [
  z.object({
    ...step,
    event: z.literal('probe'),
    /** As the container claims; absent where it does not. */
    durationSeconds: positive.optional(),
    width: count,
    height: count,
    frameRate: positive,
  }),
  z.object({ ...step, event: z.literal('progress'), step: z.enum(['shots', 'package', 'check']) }),
  z.object({ ...step, event: z.literal('shot'), index: count, startSeconds: z.number(), durationSeconds: positive }),
  z.object({
    ...step,
    event: z.literal('trial'),
    /** The shot, and the unit of encoding: a shot, or a part of a long one. */
    shot: count,
    unit: count.optional(),
    /** Absent from earlier encoders: h264. */
    codec: z.enum(CODECS).optional(),
    height: count,
    crf: z.number(),
    bitrateBps: positive,
    quality: z.number(),
    /** Read from the journal instead of encoded. */
    resumed: z.boolean(),
  }),
  z.object({
    ...step,
    event: z.literal('rendition'),
    rendition: z.string(),
    height: count,
    averageBandwidthBps: positive,
    qualityMean: z.number(),
  }),
  /** A line of control has taken effect; 0: nothing runs any more. */
  z.object({ ...step, event: z.literal('pace'), pace: ratio }),
  z.object({ ...step, event: z.literal('check'), renditions: count, segments: count, frames: count }),
  z.object({
    ...step,
    event: z.literal('done'),
    hash: z.string(),
    dir: z.string(),
    cpuSeconds: z.number(),
    published: z.boolean(),
  }),
  z.object({ ...step, event: z.literal('failed'), code: z.string(), message: z.string(), retryable: z.boolean() }),
]);
/** One line of the encoder's output. */
export type EncodeEvent = z.output<typeof encodeEventSchema>;

/** What `encoder/main.ts tools` prints: the ffmpeg that would be used, as one JSON line. */
export const toolsSchema = z.object({
  version: z.literal(CONTRACT_VERSION),
  ffmpeg: z.object({
    path: z.string(),
    version: z.string(),
    hasVmaf: z.boolean(),
    metric: z.string(),
    why: z.string(),
  }),
});
/** The ffmpeg that the encoder would use. */
export type EncoderTools = z.output<typeof toolsSchema>;

/**
 * Exit codes of the encoder program: 0 published; 1 failed for good; 64 the job is invalid; 65 the input is bad; 69 no
 * usable ffmpeg; 75 try again later (stopped, stalled, disk full, folder taken).
 */
export const EXIT = { done: 0, failed: 1, usage: 64, badInput: 65, missingTool: 69, tempFail: 75 } as const;
