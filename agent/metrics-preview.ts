// Metrics of previews: what was answered, what was gone on without, and what came of it.
import { by, type Entry, type HistogramEntry } from './metric.ts';

/** Answers, their reasons, and what was left out of them. */
export const PREVIEW: readonly Entry[] = [
  {
    name: 'nearcast_preview_requests_total',
    type: 'counter',
    labels: ['answer'],
    help: 'Previews by how they were chosen.',
    read: ({ preview }) => by('answer', preview.answers),
  },
  {
    name: 'nearcast_preview_reasons_total',
    type: 'counter',
    labels: ['reason'],
    help: 'Why a preview was no better. chosen and asked: nothing was missing; the others name what was.',
    read: ({ preview }) => by('reason', preview.reasons),
  },
  {
    name: 'nearcast_preview_late_steps_total',
    type: 'counter',
    labels: ['step'],
    help: 'Steps that were gone on without when their share of preview.deadlineMs was over. Look at event loop lag.',
    read: ({ preview }) => by('step', preview.late),
  },
  {
    name: 'nearcast_preview_skipped_segments_total',
    type: 'counter',
    labels: ['reason'],
    help: 'Segments left out of spliced files. corrupt: encode that title again, and check what stands before the node.',
    read: ({ preview }) => by('reason', preview.skippedSegments),
  },
  {
    name: 'nearcast_preview_ahead_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Previews that were decided before they were asked for.',
    read: ({ preview }) => by('outcome', preview.ahead),
  },
  {
    name: 'nearcast_preview_slots_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Ad slots. budget: the promos that were left have been shown as often as by now they may; too-short: no title fills it.',
    read: ({ preview }) => by('outcome', preview.slots),
  },
  {
    name: 'nearcast_preview_rewards_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'What became of previews, and tokens that were refused.',
    read: ({ preview }) => by('outcome', preview.rewards),
  },
];

/** How long answers took. */
export const PREVIEW_SECONDS: HistogramEntry = {
  name: 'nearcast_preview_duration_seconds',
  labels: ['kind'],
  help: 'One preview from request to answer: a playlist, a spliced file, captions, or a choice of artwork.',
  read: ({ preview }) => Object.entries(preview.seconds).map(([kind, histogram]) => ({ labels: { kind }, histogram })),
};
