// Shots and segments cover every frame once, and keep to their limits.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cutScores, findCuts, planShots, splitEvenly } from '../../../encoder/plan/cuts.ts';
import { loudnessOf, measureFrame, SMALL, shotFeatures } from '../../../encoder/plan/features.ts';

const quiet = (length: number): number[] => Array.from({ length }, () => 0.4);
const withCuts = (length: number, cuts: readonly number[], strength = 30): number[] =>
  quiet(length).map((value, at) => (cuts.includes(at) ? strength : value));

describe('cuts', () => {
  test('a lone jump is one', () => expect(findCuts(withCuts(100, [40]))).toEqual([40]));
  test('still pictures have none', () => expect(findCuts(quiet(100))).toEqual([]));
  test('steady motion has none', () => expect(findCuts(Array.from({ length: 100 }, () => 12))).toEqual([]));
  test('a slow fade has none', () => expect(findCuts(Array.from({ length: 100 }, (_, at) => at / 20))).toEqual([]));
  test('the first frame is none, whatever it changes', () => expect(findCuts([90, ...quiet(30)])).toEqual([]));
  test('a jump that the restless picture around it hides is none', () => {
    const restless = Array.from({ length: 60 }, (_, at) => (at % 2 === 0 ? 10 : 16));
    expect(findCuts(restless)).toEqual([]);
  });
  test('scores never exceed the change', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 100, noNaN: true })), (changes) => {
        expect(cutScores(changes).every((score, at) => score <= (changes[at] ?? 0))).toBe(true);
      }),
    );
  });
});

describe('shots', () => {
  test('cover every frame once, within the limits where the title allows', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 600 }),
        fc.array(fc.integer({ min: 1, max: 599 }), { maxLength: 20 }),
        (length, cuts) => {
          const limits = { shortest: 12, longest: 120 };
          const shots = planShots(withCuts(length, cuts), limits);
          expect(shots[0]?.start).toBe(0);
          for (const [at, shot] of shots.entries()) {
            expect(shot.start + shot.frames).toBe(shots[at + 1]?.start ?? length);
            expect(shot.frames).toBeLessThanOrEqual(limits.longest);
            if (length >= limits.shortest) expect(shot.frames).toBeGreaterThanOrEqual(limits.shortest);
          }
        },
      ),
    );
  });

  test('a short one joins over the weaker cut', () => {
    const changes = withCuts(100, [40]).map((value, at) => (at === 45 ? 10 : value));
    expect(planShots(changes, { shortest: 12, longest: 200 })).toEqual([
      { start: 0, frames: 40 },
      { start: 40, frames: 60 },
    ]);
  });
});

test('splits are even and within the limit', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 300 }), (frames, longest) => {
      const parts = splitEvenly(frames, longest);
      const sizes = parts.map((part) => part.frames);
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(frames);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(longest);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      expect(parts.length).toBe(Math.ceil(frames / longest));
    }),
  );
});

describe('features', () => {
  const pixels = SMALL.width * SMALL.height;
  const flat = (luma: number, u = 128, v = 128): Uint8Array => {
    const frame = new Uint8Array(SMALL.bytes).fill(luma, 0, pixels);
    return frame.fill(u, pixels, pixels * 1.25).fill(v, pixels * 1.25);
  };

  test('a flat grey picture has no detail, change or colour', () => {
    const none = { change: 0, spatial: 0, temporal: 0, saturation: 0, motion: 0, noise: 0, darkness: 0 };
    expect(measureFrame(flat(51), flat(51))).toEqual({ ...none, luma: 0.2 });
    expect(measureFrame(flat(20), flat(20))).toMatchObject({ darkness: 1 });
  });
  test('black to white changes everything', () => {
    expect(measureFrame(flat(255), flat(0))).toMatchObject({ change: 100, luma: 1 });
  });
  test('an edge is detail, chroma is saturation', () => {
    const edge = flat(0, 240, 20);
    for (let y = 0; y < SMALL.height; y++) edge.fill(255, y * SMALL.width + 80, (y + 1) * SMALL.width);
    const measured = measureFrame(edge, undefined);
    expect(measured.spatial).toBeGreaterThan(0.3);
    expect(measured.saturation).toBeGreaterThan(0.9);
  });
  test('an edge that moves is motion, as far as it moves; a still one is none', () => {
    const ramp = (shift: number): Uint8Array => {
      const picture = flat(0);
      for (let at = 0; at < SMALL.width * SMALL.height; at++) {
        picture[at] = 128 + 60 * Math.sin(((at % SMALL.width) + shift) / 6);
      }
      return picture;
    };
    expect(measureFrame(ramp(0), ramp(0)).motion).toBe(0);
    const [one, two] = [measureFrame(ramp(0), ramp(1)).motion, measureFrame(ramp(0), ramp(2)).motion];
    expect(one).toBeGreaterThan(0.15);
    expect(two / one).toBeGreaterThan(1.7);
  });
  test('change in the stillest part is noise; black bars say nothing of it', () => {
    const still = flat(0);
    const grainy = flat(0);
    for (let at = 3200; at < 11_200; at++) {
      still[at] = 100 + (at % 7);
      grainy[at] = 100 + (at % 7) + (at % 3) - 1;
    }
    expect(measureFrame(still, still).noise).toBe(0);
    expect(measureFrame(grainy, still).noise).toBeCloseTo(2 / 3 / 4, 1);
  });
  test('all features stay in 0..1', () => {
    const noise = fc.uint8Array({ minLength: SMALL.bytes, maxLength: SMALL.bytes });
    fc.assert(
      fc.property(noise, noise, fc.double({ min: 0, max: 1, noNaN: true }), (a, b, meanSquare) => {
        const features = shotFeatures([measureFrame(a, undefined), measureFrame(b, a)], meanSquare);
        for (const value of Object.values(features)) expect(value >= 0 && value <= 1).toBe(true);
      }),
      { numRuns: 10 },
    );
  });
  test.each([
    [0, 0],
    [1, 1],
    [1e-6, 0],
    [1e-3, 0.5],
  ])('mean square %d is loudness %d', (meanSquare, loudness) => {
    expect(loudnessOf(meanSquare)).toBeCloseTo(loudness);
  });
});
