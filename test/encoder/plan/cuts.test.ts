// Shots and segments cover every frame once, and keep to their limits.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../agent/train/random.ts';
import { findBoundaries, planShots, splitEvenly } from '../../../encoder/plan/cuts.ts';
import { type FrameEvidence, openEvidence } from '../../../encoder/plan/evidence.ts';
import { loudnessOf, measureFrame, SMALL, shotFeatures } from '../../../encoder/plan/features.ts';
import { frameAt, packFrames } from '../../../encoder/plan/frames.ts';

const noise = seededRandom(3);
/** A picture of blurred blotches, another one for every seed. */
const picture = (seed: number, light = 1): Uint8Array => {
  const chance = seededRandom(seed);
  const blotches = Array.from({ length: 24 * 14 }, () => 30 + chance() * 180);
  const frame = new Uint8Array(SMALL.bytes).fill(128);
  for (let y = 0; y < SMALL.height; y++) {
    for (let x = 0; x < SMALL.width; x++) {
      const value = blotches[Math.floor(y / 6.5) * 24 + Math.floor(x / 6.7)] ?? 0;
      frame[y * SMALL.width + x] = 16 + (value - 16) * light + noise() * 3;
    }
  }
  return frame;
};
const still = (seed: number, frames: number): Uint8Array[] => Array.from({ length: frames }, () => picture(seed));
const mixed = (one: number, other: number, frames: number): Uint8Array[] => {
  const [a, b] = [picture(one), picture(other)];
  const share = (at: number): number => (at + 1) / (frames + 1);
  return Array.from({ length: frames }, (_, at) => a.map((value, i) => value + ((b[i] ?? 0) - value) * share(at)));
};
const faded = (seed: number, frames: number): Uint8Array[] =>
  Array.from({ length: frames }, (_, at) => picture(seed, 1 - (at + 1) / frames));
/** The picture moves to the right, a few pixels a frame, and returns where it came from. */
const moved = (seed: number, frames: number): Uint8Array[] => {
  const frame = picture(seed);
  return Array.from({ length: frames }, (_, at) => {
    const shift = 3 * Math.abs(Math.round(frames / 2) - at);
    return frame.map((value, i) => {
      const x = i % SMALL.width;
      return i < SMALL.width * SMALL.height ? (frame[i - x + ((x + shift) % SMALL.width)] ?? 0) : value;
    });
  });
};
const evidenceOf = (frames: readonly Uint8Array[]): FrameEvidence[] => {
  const compare = openEvidence();
  return frames.map((frame) => compare(frame));
};
const found = (...parts: Uint8Array[][]): string[] =>
  findBoundaries(evidenceOf(parts.flat()), 24).map(({ kind, at }) => `${kind} ${at}`);

describe('boundaries', () => {
  test('one picture after another is a cut', () => expect(found(still(1, 30), still(2, 30))).toEqual(['cut 30']));
  test('a still picture has none, and neither its first frame', () => expect(found(still(1, 40))).toEqual([]));
  test('steady motion has none', () => expect(found(moved(1, 60))).toEqual([]));
  test('dark beside dark is a cut', () => {
    const dark = (seed: number): Uint8Array[] => Array.from({ length: 24 }, () => picture(seed, 0.15));
    expect(found(dark(1), dark(2))).toEqual(['cut 24']);
  });
  test('cuts five frames apart are all found', () => {
    expect(found(still(1, 20), still(2, 5), still(3, 5), still(4, 20))).toEqual(['cut 20', 'cut 25', 'cut 30']);
  });
  test.each([1, 2, 3])('a flash of %d frames in one shot is none', (frames) => {
    const white = Array.from({ length: frames }, () => picture(1).map((value) => 0.2 * value + 0.8 * 235));
    expect(found(still(1, 24), white, still(1, 24))).toEqual([]);
  });
  test('a flash between two shots is one', () => {
    const white = [picture(1).map((value) => 0.2 * value + 0.8 * 235)];
    expect(found(still(1, 24), white, still(2, 24))).toHaveLength(2);
  });
  test('a dissolve is one, in its middle', () => {
    expect(found(still(1, 30), mixed(1, 2, 16), still(2, 30))).toEqual([expect.stringMatching(/^dissolve 3[5-9]$/)]);
  });
  test('a fade to black and out of it is one, in the black', () => {
    const parts = [still(1, 24), faded(1, 12), faded(2, 12).toReversed(), still(2, 24)];
    expect(found(...parts)).toEqual([expect.stringMatching(/^fade 3[4-7]$/)]);
  });
  test('a long black has one at each end', () => {
    const black = Array.from({ length: 40 }, () => picture(1, 0));
    const parts = [still(1, 24), faded(1, 12), black, faded(2, 12).toReversed(), still(2, 24)];
    expect(found(...parts).map((boundary) => boundary.slice(0, 4))).toEqual(['fade', 'fade']);
  });
  test('a picture that only grows lighter has none', () => {
    const lighter = Array.from({ length: 40 }, (_, at) => picture(1, 0.4 + at / 80));
    expect(
      found(
        still(1, 10).map(() => picture(1, 0.4)),
        lighter,
      ),
    ).toEqual([]);
  });
});

describe('shots', () => {
  const blank = evidenceOf([new Uint8Array(SMALL.bytes)])[0];
  /** Evidence of quiet frames but for the jumps, each of that strength. */
  const withCuts = (length: number, cuts: ReadonlyMap<number, number>): FrameEvidence[] => {
    if (blank === undefined) throw new Error('there is evidence of one frame');
    let thumb = blank.thumb;
    return Array.from({ length }, (_, at) => {
      const residual = cuts.get(at);
      if (residual === undefined) return { ...blank, thumb };
      thumb = Uint8Array.from({ length: 144 }, () => noise() * 255);
      return { ...blank, residual, novelty: 1, contrast: 40, thumb };
    });
  };

  test('cover every frame once, within the limits where the title allows', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 600 }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 599 }), fc.integer({ min: 20, max: 90 })), { maxLength: 20 }),
        (length, cuts) => {
          const limits = { framesPerSecond: 24, shortest: 12, longest: 120 };
          const shots = planShots(withCuts(length, new Map(cuts)), limits);
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
    const cuts = new Map([
      [40, 60],
      [45, 25],
    ]);
    expect(planShots(withCuts(100, cuts), { framesPerSecond: 24, shortest: 12, longest: 200 })).toEqual([
      { start: 0, frames: 40 },
      { start: 40, frames: 60 },
    ]);
  });
});

test('packed records are found as they were added, numbers in 32 bits, and none beyond the ends', () => {
  const record = fc.record({
    share: fc.float({ noNaN: true }),
    level: fc.integer({ min: 0, max: 255 }),
    thumb: fc.uint8Array({ minLength: 4, maxLength: 4 }),
  });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 40 }), fc.integer({ min: 1, max: 5000 }), (records, copies) => {
      const packed = packFrames<(typeof records)[number]>();
      const all = records.flatMap((one) => Array.from({ length: Math.ceil(copies / 20) }, () => one));
      for (const one of all) packed.push(one);
      expect(packed.length).toBe(all.length);
      expect(all.map((_, at) => frameAt(packed, at))).toEqual(all);
      expect([frameAt(packed, -1), frameAt(packed, all.length), frameAt(all, -1)]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
    }),
    { numRuns: 20 },
  );
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
