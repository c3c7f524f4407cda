// The keys of nearcast.yaml below `prefetch` that say what is worth a fetch or its place: shares, and how far ahead.
import { z } from 'zod';

/** Keys of the section `prefetch`, beside its window and what it may spend. */
export const prefetchJudgement = {
  lineShare: z
    .number()
    .positive()
    .max(1)
    .nullable()
    .default(0.9)
    .describe("of an origin's 95th percentile, for fills; null: all"),
  retention: z.boolean().default(true).describe('what is expected to be watched stays longer on disk'),
  beginningRatio: z
    .number()
    .min(0)
    .max(0.5)
    .default(0.1)
    .describe('share of the disk for the first seconds of titles, filled at night and kept: starts are hits'),
  aheadSeconds: z
    .number()
    .min(4)
    .max(3600)
    .default(60)
    .describe('of media ahead of each player; more serves jumps, and wastes what nobody stays for'),
  maxWastedRatio: z
    .number()
    .min(0.01)
    .max(0.9)
    .default(0.1)
    .describe('share of the bytes fetched in sessions that nobody may ask for; above it less likely ones are left'),
  cmsd: z
    .boolean()
    .default(false)
    .describe('tell players throughput and, under load, a bitrate to stay below (CTA-5006); needs listen.workers 1'),
  maxCostRatio: z
    .number()
    .min(0)
    .max(1)
    .default(0.15)
    .describe('share of the origin bytes that prefetch may cost; surely above it, it switches itself off'),
};
