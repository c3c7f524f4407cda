// Moments: whole segments, no spoilers, no look-alikes, and arms that are really different.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Cut,
  chooseMoments,
  featureDistance,
  MOMENT_COUNT,
  MOMENT_SECONDS,
  SPOILER_RATIO,
} from '../../../agent/preview/moments.ts';
import { titleSchema } from '../../../encoder/contract.ts';
import { makeTitle, makeVariedTitle } from '../../fake/title.ts';

const ratio = fc.float({ min: 0, max: 1, noNaN: true });
const shots = fc.array(
  fc.record({
    seconds: fc.double({ min: 0.2, max: 20, noNaN: true }),
    features: fc.record({ spatial: ratio, temporal: ratio, luma: ratio, saturation: ratio, loudness: ratio }),
  }),
  { minLength: 1, maxLength: 40 },
);

const meanOf = (cut: Cut | undefined, name: 'temporal' | 'spatial' | 'loudness') => cut?.features[name] ?? Number.NaN;

describe('moments', () => {
  test('the made titles are valid title.json', () => {
    expect(titleSchema.safeParse(makeVariedTitle('one')).error).toBeUndefined();
  });

  test('keep to length, count, order and spoiler line on any title', () => {
    fc.assert(
      fc.property(shots, fc.constantFrom(2, 4, 10), (plan, segmentSeconds) => {
        const title = makeTitle('any', plan, segmentSeconds);
        const cuts = chooseMoments(title);
        expect(cuts[0].arm).toBe('opening');
        for (const { moments } of cuts) {
          expect(moments.length).toBeGreaterThan(0);
          expect(moments.length).toBeLessThanOrEqual(MOMENT_COUNT.most);
          const isFallback = moments.length === 1 && moments[0]?.startSeconds === 0;
          let end = 0;
          for (const moment of moments) {
            expect(moment.startSeconds).toBeGreaterThanOrEqual(end - 1e-6);
            end = moment.startSeconds + moment.durationSeconds;
            if (isFallback) continue;
            expect(moment.durationSeconds).toBeGreaterThanOrEqual(MOMENT_SECONDS.shortest - 1e-6);
            expect(moment.durationSeconds).toBeLessThanOrEqual(MOMENT_SECONDS.longest + 1e-6);
            expect(end).toBeLessThanOrEqual(title.durationSeconds * (1 - SPOILER_RATIO) + 1e-6);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  test('begin and end on segment boundaries', () => {
    const title = makeVariedTitle('grid');
    const { segments, timescale } = title.renditions[0] ?? { segments: [], timescale: 1 };
    const edges = new Set(segments.flatMap((one) => [one.startTicks, one.startTicks + one.ticks]));
    for (const { moments } of chooseMoments(title)) {
      for (const moment of moments) {
        expect(edges).toContain(Math.round(moment.startSeconds * timescale));
        expect(edges).toContain(Math.round((moment.startSeconds + moment.durationSeconds) * timescale));
      }
    }
  });

  test('a varied title has all four arms, each with what its name says', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const cuts = chooseMoments(makeVariedTitle('varied', seed));
      const byArm = Object.fromEntries(cuts.map((cut) => [cut.arm, cut]));
      expect(Object.keys(byArm)).toEqual(['opening', 'action', 'scenery', 'quiet']);
      expect(meanOf(byArm['action'], 'temporal')).toBeGreaterThan(meanOf(byArm['opening'], 'temporal'));
      expect(meanOf(byArm['action'], 'temporal')).toBeGreaterThan(meanOf(byArm['quiet'], 'temporal') + 0.3);
      expect(meanOf(byArm['scenery'], 'spatial')).toBeGreaterThan(meanOf(byArm['action'], 'spatial'));
      expect(meanOf(byArm['scenery'], 'temporal')).toBeLessThan(meanOf(byArm['action'], 'temporal'));
      expect(meanOf(byArm['quiet'], 'loudness')).toBeLessThan(meanOf(byArm['opening'], 'loudness'));
    }
  });

  test('no two moments of a varied title look alike or touch', () => {
    for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
      for (const { moments } of chooseMoments(makeVariedTitle('varied', seed))) {
        expect(moments.length).toBeGreaterThanOrEqual(MOMENT_COUNT.fewest);
        for (const [index, moment] of moments.entries()) {
          for (const other of moments.slice(index + 1)) {
            expect(featureDistance(moment.features, other.features)).toBeGreaterThan(0.02);
            expect(other.startSeconds - moment.startSeconds - moment.durationSeconds).toBeGreaterThan(5);
          }
        }
      }
    }
  });

  test('the same picture all along gives only the opening', () => {
    const cuts = chooseMoments(
      makeTitle(
        'still',
        Array.from({ length: 30 }, () => ({ seconds: 5 })),
      ),
    );
    expect(cuts.map((cut) => cut.arm)).toEqual(['opening']);
    expect(cuts[0].moments).toHaveLength(3);
  });

  test('black is left out while three others are there', () => {
    const plan = Array.from({ length: 20 }, (_, index) => ({
      seconds: 4,
      features: { luma: index % 2 === 0 ? 0 : 0.2 + index / 50, temporal: index / 20 },
    }));
    for (const { moments } of chooseMoments(makeTitle('fades', plan)))
      for (const { features } of moments) expect(features.luma).toBeGreaterThan(0.04);
  });

  test.each([
    ['one second', [{ seconds: 1 }], 4],
    ['one shot of ten seconds in one segment', [{ seconds: 10 }], 10],
    ['only segments longer than a moment', [{ seconds: 60 }], 10],
  ])('%s: the first segment is the preview', (_name, plan, segmentSeconds) => {
    const cuts = chooseMoments(makeTitle('short', plan, segmentSeconds));
    expect(cuts).toHaveLength(1);
    expect(cuts[0].moments).toHaveLength(1);
    expect(cuts[0].moments[0]?.startSeconds).toBe(0);
  });
});
