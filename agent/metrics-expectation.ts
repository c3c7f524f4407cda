// Metrics of what is expected to be watched, and of the lines of origins that fills keep under.
import { by, type Entry, one } from './metric.ts';

/** Retention, forecast and lines. */
export const EXPECTATION: readonly Entry[] = [
  {
    name: 'nearcast_expected_titles',
    type: 'gauge',
    labels: [],
    help: 'Titles whose parts are kept and filled by what is expected of them; others leave the disk by recency alone.',
    read: ({ expectation }) => one(expectation.titles),
  },
  {
    name: 'nearcast_retention_horizon_seconds',
    type: 'gauge',
    labels: [],
    help: 'How long an object now stays that is kept, and so how far ahead is looked. Under an hour: the disk is small for this region.',
    read: ({ expectation }) => one(expectation.horizonSeconds),
  },
  {
    name: 'nearcast_forecast_held_ratio',
    type: 'gauge',
    labels: [],
    help: 'Share of the 80 % intervals of hours by title that held since start; far from 0.8: demand changes faster than is learnt.',
    read: ({ expectation }) => one(expectation.heldRatio),
  },
  {
    name: 'nearcast_origin_line_p95_bytes_per_second',
    type: 'gauge',
    labels: ['origin'],
    help: '95th percentile of 5-minute means over 30 days by origin; the nightly fill keeps under prefetch.lineShare of it.',
    read: ({ expectation }) => by('origin', expectation.lines),
  },
];
