// Moments: whole segments, no spoilers, no look-alikes, and arms that are really different.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { featureDistance } from '../../../agent/preview/descriptor.ts';
import {
  ARMS,
  type Cut,
  chooseMoments,
  MOMENT_COUNT,
  MOMENT_SECONDS,
  SPOILER_RATIO,
} from '../../../agent/preview/moments.ts';
import { parseSidecar } from '../../../agent/preview/sidecar.ts';
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

const meanOf = (cut: Cut | undefined, name: 'temporal' | 'spatial' | 'loudness' | 'dialogue') =>
  cut?.features[name] ?? Number.NaN;

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

  test('a varied title has every arm, each with what its name says', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const cuts = chooseMoments(makeVariedTitle('varied', seed));
      const byArm = Object.fromEntries(cuts.map((cut) => [cut.arm, cut]));
      expect(Object.keys(byArm)).toEqual(ARMS.filter((arm) => arm in byArm));
      expect(Object.keys(byArm).length).toBeGreaterThanOrEqual(4);
      expect(meanOf(byArm['dialogue'], 'dialogue')).toBeGreaterThan(meanOf(byArm['action'], 'dialogue'));
      expect(meanOf(byArm['action'], 'temporal')).toBeGreaterThan(meanOf(byArm['opening'], 'temporal'));
      expect(meanOf(byArm['action'], 'temporal')).toBeGreaterThan(meanOf(byArm['scenery'], 'temporal') + 0.3);
      expect(meanOf(byArm['scenery'], 'spatial')).toBeGreaterThan(meanOf(byArm['action'], 'spatial'));
      expect(meanOf(byArm['scenery'], 'temporal')).toBeLessThan(meanOf(byArm['action'], 'temporal'));
      if (byArm['quiet'] !== undefined)
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

describe('what is known beyond the package', () => {
  const title = makeVariedTitle('varied');
  const armsOf = (cuts: readonly Cut[]) => cuts.map(({ arm }) => arm);
  const said = (value: object) => parseSidecar(JSON.stringify({ version: 1, ...value }));
  const spans = (cut: Cut | undefined) =>
    (cut?.moments ?? []).map(
      ({ startSeconds, durationSeconds }) => [startSeconds, startSeconds + durationSeconds] as const,
    );

  test("the operator's cut goes first, on whole segments; alone if it is to be", () => {
    const cut = [
      { startSeconds: 20, endSeconds: 25 },
      { startSeconds: 190, endSeconds: 195 },
    ];
    const both = chooseMoments(title, { overrides: said({ cut }) });
    expect(armsOf(both).slice(0, 2)).toEqual(['editor', 'opening']);
    const [first, last] = spans(both[0]);
    expect(Math.abs((first?.[0] ?? 0) - 20)).toBeLessThan(4);
    expect(last?.[0]).toBeGreaterThan(title.durationSeconds * (1 - SPOILER_RATIO));
    expect(armsOf(chooseMoments(title, { overrides: said({ cut, only: true }) }))).toEqual(['editor']);
    const nowhere = [{ startSeconds: 90_000, endSeconds: 90_001 }];
    expect(armsOf(chooseMoments(title, { overrides: said({ cut: nowhere, only: true }) }))[0]).toBe('opening');
  });

  test('what is excluded is shown by no cut; the end only where it is allowed', () => {
    const exclude = [{ startSeconds: 0, endSeconds: 100 }];
    for (const cut of chooseMoments(title, { overrides: said({ exclude }) }))
      for (const [from] of spans(cut)) expect(from).toBeGreaterThanOrEqual(99.9);
    const end = title.durationSeconds;
    const allow = [{ startSeconds: end * 0.8, endSeconds: end }];
    const allowed = chooseMoments(title, {
      overrides: said({ allow }),
      interest: (from) => (from > end * 0.87 ? 1 : -1),
    });
    expect(allowed.flatMap(spans).some(([, until]) => until > end * (1 - SPOILER_RATIO))).toBe(true);
  });

  test('moments that the region comes back to are chosen before others', () => {
    const shown = (interest?: (from: number) => number) =>
      chooseMoments(title, { interest }).flatMap((cut) => (cut.arm === 'opening' ? [] : spans(cut)));
    const isIn = ([from]: readonly [number, number]) => from >= 100 && from < 150;
    const before = shown().filter(isIn).length;
    expect(shown((from) => (from >= 100 && from < 150 ? 1 : -0.2)).filter(isIn).length).toBeGreaterThan(before);
  });

  test("themes and scorers of somebody else's are heard", () => {
    const dark = { id: 'night', score: (rank: Cut['features']) => rank.darkness * 3 };
    const cuts = chooseMoments(title, { themes: [dark] });
    const night = cuts.find(({ arm }) => arm === 'night');
    expect(night?.features.darkness).toBeGreaterThan(cuts[0].features.darkness);
    const darker = chooseMoments(title, { scorers: [(rank) => 5 * rank.darkness] });
    const meanDark = (list: readonly Cut[]) =>
      list.slice(1).reduce((sum, { features }) => sum + features.darkness, 0) / (list.length - 1);
    expect(meanDark(darker)).toBeGreaterThan(meanDark(chooseMoments(title)) + 0.1);
  });

  test('talk is where the text is', () => {
    const segments = Array.from({ length: 50 }, (_, index) => {
      const bytes = index >= 20 && index < 30 ? 200 : 40;
      return { url: `${index}.vtt`, startSeconds: index * 4, durationSeconds: 4, bytes };
    });
    const spoken = { ...title, text: [{ id: 't', language: 'en', url: 't.vtt', segments }] };
    const dialogue = chooseMoments(spoken).find(({ arm }) => arm === 'dialogue');
    expect(spans(dialogue).filter(([from]) => from > 75 && from < 122).length).toBeGreaterThanOrEqual(2);
  });

  test.each([
    ['no JSON', '{'],
    ['another version', '{"version":2}'],
    ['an unknown key', '{"version":1,"cuts":[]}'],
    ['no list', '{"version":1,"exclude":{}}'],
    ['an end before its start', '{"version":1,"cut":[{"startSeconds":5,"endSeconds":4}]}'],
    ['a text for a time', '{"version":1,"cut":[{"startSeconds":"5","endSeconds":6}]}'],
    ['a time before 0', '{"version":1,"cut":[{"startSeconds":-5,"endSeconds":6}]}'],
    ['a word for true', '{"version":1,"only":"yes"}'],
    ['a number for an id', '{"version":1,"withoutArtwork":[4]}'],
    ['too many', JSON.stringify({ version: 1, withoutArtwork: Array.from({ length: 101 }, String) })],
  ])('a sidecar with %s is refused', (_name, text) => {
    expect(() => parseSidecar(text)).toThrow();
  });
});
