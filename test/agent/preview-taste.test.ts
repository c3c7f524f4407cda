// Where a seek began, from what the player told before.
import { expect, test } from 'vitest';
import { soughtFrom } from '../../agent/preview-taste.ts';
import type { Action } from '../../agent/telemetry/session.ts';

const action = (type: Action['type'], at: number, positionSeconds?: number, titleId = 'film'): Action => ({
  ...{ type, titleId, at },
  ...(positionSeconds === undefined ? {} : { positionSeconds }),
});
const seek = { type: 'seek', title: 'film', at: 100_000 } as const;

test.each([
  ['played on since the last word', [action('play', 40_000, 10)], 70],
  ['paused', [action('pause', 90_000, 55), action('play', 40_000, 5)], 55],
  ['a seek before, while playing', [action('seek', 95_000, 30), action('play', 40_000, 5)], 35],
  ['a seek before, while paused', [action('seek', 95_000, 30), action('pause', 90_000, 5)], 30],
  ['a word without a position between', [action('mute', 95_000), action('play', 40_000, 10)], 70],
  ['itself, which the session knows already', [action('seek', 100_000, 5), action('play', 40_000, 10)], 70],
  ['another title', [action('play', 40_000, 10, 'other')], undefined],
  ['nothing before', [], undefined],
])('%s', (_name, actions, from) => expect(soughtFrom({ actions }, seek)).toBe(from));

test('no session, or no seek: not known', () => {
  expect(soughtFrom(undefined, seek)).toBeUndefined();
  expect(soughtFrom({ actions: [action('play', 40_000, 10)] }, { ...seek, type: 'stop' })).toBeUndefined();
});
