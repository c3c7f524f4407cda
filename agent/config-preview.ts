// The keys of nearcast.yaml below `preview`: deadlines, ad slots, and how arms are chosen.
import { z } from 'zod';

const positive = z.number().positive();
const share = z.number().min(0).max(1);

/** How arms of previews, artwork and ads are chosen. */
const choosing = {
  policy: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,63}$/)
    .default('linucb')
    .describe('linucb, thompson, uniform, default (always the first arm), or the id of a ranker of a module'),
  explorationRatio: share
    .default(0.02)
    .describe('share of choices that is uniform: what reports of experiments rest on'),
  leastPropensity: share.default(0).describe('least chance of each arm; 0: that of explorationRatio alone'),
  confidence: z.number().min(0).max(10).default(0.6).describe('of linucb: how much an uncertain arm is favoured'),
  halfLifeDays: positive.max(3_650).default(90).describe('what was learnt halves in weight; drifts are found sooner'),
  rewards: z
    .strictObject({
      played: share.default(0.4),
      watched: share.default(0.3).describe('two minutes'),
      completed: share.default(0.2),
      returned: share.default(0.1).describe('came back within the week'),
    })
    .prefault({})
    .refine((all) => Math.abs(all.played + all.watched + all.completed + all.returned - 1) < 1e-9, 'must sum to 1'),
  guard: z
    .strictObject({
      marginRatio: share.default(0.05).describe('completions per play that an arm may have fewer than the others'),
      stopDays: positive.max(365).default(7).describe('for how long an arm that has fewer is stopped'),
    })
    .prefault({}),
  modules: z.array(z.string().min(1)).max(16).default([]).describe('files with arms, moment scorers and rankers'),
  priors: z.string().min(1).nullable().default(null).describe('file of what other regions learnt; null: none'),
};

/** The section. */
export const previewSection = z
  .strictObject({
    enabled: z.boolean().default(true),
    deadlineMs: positive.max(10_000).default(100).describe('of a playlist: what is late is gone on without'),
    fileDeadlineMs: positive.max(30_000).default(1_000).describe('of one spliced file, whose segments must be read'),
    promos: z.string().min(1).nullable().default(null).describe('JSON list of promos for ad slots; null: no slots'),
    promosPerViewerPerHour: z.number().int().min(0).max(1000).default(4),
    promoNoRepeatWithin: z.number().int().min(0).max(31).default(2).describe('others shown before a promo is again'),
    ...choosing,
  })
  .prefault({});
