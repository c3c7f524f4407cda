// The cap over plays: honest viewing passes whole, a flood of one title stops at its share, and quiet nodes count all.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createPopularity } from '../../../agent/predict/popularity.ts';
import { createPlayCap, FREE_PLAYS } from '../../../agent/telemetry/play-cap.ts';

const NOW = Date.UTC(2026, 0, 1);

test('a quiet node counts every play', () => {
  const cap = createPlayCap({ titleRatio: 0.3 });
  const taken = Array.from({ length: 50 }, (_, at) => cap.takes('only', NOW + at));
  expect(taken.filter(Boolean)).toHaveLength(FREE_PLAYS);
});

test('bots move the popularity of a title at most to its cap, however many they are', () => {
  const popularity = createPopularity({ halfLifeMs: 14 * 86_400_000 });
  const cap = createPlayCap({ titleRatio: 0.3 });
  const play = (titleId: string, at: number): void => {
    if (cap.takes(titleId, at)) popularity.add({ titleId, region: 'here', at }, at);
  };
  for (let minute = 0; minute < 240; minute += 1) {
    for (let honest = 0; honest < 20; honest += 1) play(`t${(minute * 20 + honest) % 100}`, NOW + minute * 60_000);
    for (let bot = 0; bot < 2_000; bot += 1) play('lifted', NOW + minute * 60_000);
  }
  const shares = popularity.shares('here', NOW + 240 * 60_000, 200);
  const lifted = shares.find(({ titleId }) => titleId === 'lifted')?.share ?? 0;
  expect(lifted).toBeGreaterThan(0.2);
  expect(lifted).toBeLessThanOrEqual(0.3 + 1e-9);
  // The others keep their order and nearly their number.
  expect(shares.filter(({ titleId }) => titleId !== 'lifted').length).toBe(100);
});

test('viewing that keeps below the ratio passes whole, in any order', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.integer({ min: 0, max: 9 })), (titles) => {
      const cap = createPlayCap({ titleRatio: 0.6 });
      let refused = 0;
      let asked = 0;
      for (const title of titles) {
        if (!cap.takes(`t${title}`, NOW + asked * 1000)) refused += 1;
        asked += 1;
        if (asked >= 400) break;
      }
      expect(refused).toBe(0);
    }),
    { numRuns: 30 },
  );
});

test('memory is bounded, windows pass, and a clock set back changes nothing', () => {
  const cap = createPlayCap({ titleRatio: 0.5, maxTitles: 3 });
  for (let i = 0; i < 1000; i += 1) cap.takes(`t${i}`, NOW);
  // Titles beyond the bound share one place, and so one cap.
  expect(cap.takes('another', NOW)).toBe(false);
  expect(cap.takes('another', NOW - 86_400_000)).toBe(false);
  expect(cap.takes('another', NOW + 3 * 30 * 60_000)).toBe(true);
});
