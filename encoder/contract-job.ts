// What the encoder takes: the job, and the lines of control after it. Pure schemas, the first half of contract.ts.
import { z } from 'zod';

/** Version of job, events and title.json alike. */
export const CONTRACT_VERSION = 1;

/** Name of a title: part of paths and URLs. */
export const id = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,127}$/i);
/** 0..1. */
export const ratio = z.number().min(0).max(1);
/** A whole number from 0. */
export const count = z.number().int().nonnegative();
/** Above 0. */
export const positive = z.number().positive();

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
  ladder: z
    .object({
      /** Heights tried, at most three, none above the source; absent: chosen from the source. */
      heights: z.array(z.number().int().min(144).max(4320)).min(1).max(3).optional(),
      maxRungs: z.number().int().min(1).max(8).default(5),
      /** No rung aims above this pooled mean VMAF. */
      vmafCap: z.number().min(50).max(100).default(95),
      /** No shot of a rung falls below the rung's mean by more than this. */
      floorDrop: z.number().min(0).max(30).default(4),
      /** Rungs closer than this in VMAF are one rung (one JND is about 6 points). */
      minimumStep: z.number().min(0).max(30).default(6),
      /** Who watches, as far as it is known: rungs that these viewers would hardly use are not stored. */
      audience: z
        .object({
          /** Throughput is log-normal: its median, and its deviation in natural logarithms. */
          medianBps: positive.default(5_000_000),
          spread: z.number().min(0).max(5).default(1),
          /** Views over the life of the package. */
          views: positive.default(1000),
        })
        .prefault({}),
    })
    .prefault({}),
  search: z
    .object({
      /**
       * `predicted`: trials where a model of the title's units asks for them, few and on the rungs; `full`: every height
       * at each of trials.crfs.
       */
      grid: z.enum(['predicted', 'full']).default('predicted'),
      /** Preset that proposes; absent: `preset`, so that trials ship as they are. */
      preset: z
        .string()
        .regex(/^[a-z]+$/)
        .optional(),
      /** Encodes of a unit before its rungs are decided. */
      mostSeeds: z.number().int().min(1).max(8).default(3),
      /** Encodes of a unit in all. */
      mostTrials: z.number().int().min(1).max(40).default(12),
      /** Passes over the rungs after that; each encodes what they still lack. */
      rounds: z.number().int().min(1).max(4).default(3),
      /** A trial at most this many CRF steps from the wanted one ships in its place. */
      snap: z.number().min(0).max(4).default(1.5),
    })
    .prefault({}),
  trials: z
    .object({
      /** CRFs of the full grid, on x264's scale; other encoders take the values of theirs that look alike. */
      crfs: z.array(z.number().min(0).max(51)).min(1).max(8).default([22, 28, 35]),
      /** libvmaf scores every n-th frame. */
      subsample: z.number().int().min(1).max(30).default(5),
    })
    .prefault({}),
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
