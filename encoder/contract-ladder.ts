// The parts of a job that say which ladder is looked for, and how hard. Pure schemas, for contract.ts.
import { z } from 'zod';

const positive = z.number().positive();

/** What the ladder must keep to. */
export const ladderSchema = z
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
  .prefault({});

/** How many trials are made, and where. */
export const searchSchema = z
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
    /** Encodes of each of the few units that go ahead, before any rung is decided. */
    mostSeeds: z.number().int().min(1).max(8).default(3),
    /** Encodes of a unit in all. */
    mostTrials: z.number().int().min(1).max(40).default(12),
    /** A trial at most this many CRF steps from the wanted one ships in its place. */
    snap: z.number().min(0).max(4).default(1.5),
  })
  .prefault({});

/** How trials are made and scored. */
export const trialsSchema = z
  .object({
    /** CRFs of the full grid, on x264's scale; other encoders take the values of theirs that look alike. */
    crfs: z.array(z.number().min(0).max(51)).min(1).max(8).default([22, 28, 35]),
    /** libvmaf scores every n-th frame. */
    subsample: z.number().int().min(1).max(30).default(5),
  })
  .prefault({});
