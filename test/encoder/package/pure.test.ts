// Boxes, rates, hash and writers without ffmpeg: tables, properties and hostile bytes.
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { BoxError, readBoxes } from '../../../encoder/package/boxes.ts';
import { parseFragmented, rebaseFragment } from '../../../encoder/package/fmp4.ts';
import { packageHash } from '../../../encoder/package/hash.ts';
import { writeMedia } from '../../../encoder/package/hls.ts';
import { codecString, differingBoxes } from '../../../encoder/package/init.ts';
import { averageBandwidthBps, peakBandwidthBps, targetDurationSeconds } from '../../../encoder/package/rate.ts';
import { encodeVideo } from './media.ts';

let real: Buffer;
beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), 'boxes-'));
  real = await encodeVideo(join(dir, 'a.mp4'), { frames: 6, rate: '25', gop: 3, crf: 40, height: 64 });
  await rm(dir, { recursive: true });
});

describe('fragments', () => {
  test('a moved fragment differs in nothing but its number and time', () => {
    const { init, fragments, timescale } = parseFragmented(real);
    expect(fragments).toHaveLength(2);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 0xffffffff }),
        fc.integer({ min: 0, max: 2 ** 52 }),
        (sequence, baseTicks) => {
          const before = fragments[1] ?? expect.fail('two fragments');
          const moved = rebaseFragment(before.bytes, { sequence, baseTicks });
          const [after] = parseFragmented(Buffer.concat([init, moved])).fragments;
          const shift = baseTicks - before.baseTicks;
          const presentationTicks = before.presentationTicks + shift;
          expect(after).toEqual({ ...before, bytes: moved, sequence, baseTicks, presentationTicks });
          expect(rebaseFragment(moved, before)).toEqual(before.bytes);
        },
      ),
    );
    expect(fragments.map(({ ticks, samples }) => ticks / samples)).toEqual([timescale / 25, timescale / 25]);
  });

  test.each([
    [0, 0],
    [1.5, 0],
    [2 ** 32, 0],
    [1, -1],
    [1, 0.5],
    [1, 2 ** 53],
  ])('refuses sequence %d, time %d', (sequence, baseTicks) => {
    const [fragment] = parseFragmented(real).fragments;
    expect(() => rebaseFragment(fragment?.bytes ?? real, { sequence, baseTicks })).toThrow(BoxError);
  });

  test('every truncation is refused or gives whole fragments', () => {
    for (let length = 0; length < real.length; length += 1) {
      try {
        const { fragments } = parseFragmented(real.subarray(0, length));
        expect(fragments.every(({ samples }) => samples === 3)).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(BoxError);
      }
    }
  });

  test('hostile bytes: a BoxError or an answer, never another error', () => {
    const edit = fc.tuple(fc.nat({ max: 1499 }), fc.constantFrom(0, 1, 8, 0x7f, 0x80, 0xff));
    const property = fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
      const bytes = Buffer.from(real);
      for (const [at, value] of edits) bytes[at] = value;
      for (const read of [parseFragmented, codecString, (init: Buffer) => differingBoxes(init, real)]) {
        try {
          read(bytes);
        } catch (error) {
          if (!(error instanceof BoxError)) throw error;
        }
      }
    });
    fc.assert(property, { numRuns: 1000 });
  });

  test.each([
    ['nothing', Buffer.alloc(0), /moov/],
    ['text', Buffer.from('this is no mp4 at all'), /claims/],
    ['a stray byte', Buffer.alloc(1), /stray/],
    ['a box beyond 2^53', Buffer.from('0000000166747970ffffffffffffffff', 'hex'), /2\^53/],
    ['a 64-bit size cut short', Buffer.from('0000000166747970ffff', 'hex'), /within its own size/],
    ['a size below its header', Buffer.from('0000000466747970', 'hex'), /claims 4/],
  ])('refuses %s', (_, bytes, reason) => {
    expect(() => parseFragmented(bytes)).toThrow(reason);
  });

  test('a size of 0 reaches to the end', () => {
    expect(readBoxes(Buffer.from('000000006d64617401020304', 'hex'))).toEqual([
      { type: 'mdat', start: 0, bodyStart: 8, end: 12 },
    ]);
  });
});

describe('rates (RFC 8216 section 4.1)', () => {
  const track = (segments: readonly (readonly [ticks: number, bytes: number])[]) => ({
    timescale: 10,
    segments: segments.map(([ticks, bytes]) => ({ ticks, bytes })),
  });
  test.each([
    [
      'one rate throughout',
      [
        [40, 500],
        [40, 500],
      ],
      1000,
      1000,
      4,
    ],
    [
      'the heaviest segment',
      [
        [40, 500],
        [40, 1000],
        [40, 500],
      ],
      2000,
      1333.33,
      4,
    ],
    [
      'a short heavy shot counts only with its neighbours',
      [
        [40, 500],
        [2, 500],
        [40, 500],
      ],
      1904.76,
      1463.41,
      4,
    ],
    [
      'two short shots that together last half a target',
      [
        [40, 100],
        [10, 300],
        [10, 300],
        [40, 100],
      ],
      2400,
      640,
      4,
    ],
    ['shorter than half a target', [[2, 100]], 4000, 4000, 1],
  ] as const)('%s', (...[, segments, peak, average, target]) => {
    const measured = track(segments);
    expect(peakBandwidthBps(measured)).toBeCloseTo(peak, 1);
    expect(averageBandwidthBps(measured)).toBeCloseTo(average, 1);
    expect(targetDurationSeconds(measured)).toBe(target);
  });

  const anyTrack = fc
    .array(fc.tuple(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 1e6 })), {
      minLength: 1,
      maxLength: 40,
    })
    .map(track);
  test('the peak is never below the average nor above the heaviest segment', () => {
    fc.assert(
      fc.property(anyTrack, (measured) => {
        const heaviest = Math.max(...measured.segments.map(({ ticks, bytes }) => (bytes * 80) / ticks));
        const peak = peakBandwidthBps(measured);
        expect(peak).toBeGreaterThanOrEqual(averageBandwidthBps(measured));
        expect(peak).toBeLessThanOrEqual(heaviest * (1 + 1e-9));
      }),
    );
  });
});

describe('EXTINF', () => {
  test('adds up to the true time within a microsecond, and never rounds above the target duration', () => {
    const anyTicks = fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(fc.constantFrom(12_800, 24_000, 30_000, 44_100, 90_000), anyTicks, (timescale, ticks) => {
        let startTicks = 0;
        const segments = ticks.map((length, index) => {
          startTicks += length;
          return { url: `v/${index}.m4s`, startTicks: startTicks - length, ticks: length, bytes: 1, shot: 0 };
        });
        const track = { id: 'v', timescale, initUrl: 'v/init.mp4', segments };
        const text = writeMedia(track, targetDurationSeconds(track));
        const seconds = [...text.matchAll(/#EXTINF:([\d.]+),/g)].map(([, value]) => Number(value));
        const target = Number(/TARGETDURATION:(\d+)/.exec(text)?.[1]);
        expect(seconds.reduce((sum, value) => sum + value, 0)).toBeCloseTo(startTicks / timescale, 5);
        expect(seconds.every((value) => Math.round(value) <= target)).toBe(true);
      }),
    );
  });

  test('URLs beside the playlist lose its folder, others go up', () => {
    const segments = ['v/1.m4s', 'shared/2.m4s'].map((url) => ({ url, startTicks: 0, ticks: 1, bytes: 1, shot: 0 }));
    const text = writeMedia({ id: 'v', timescale: 1, initUrl: 'init.mp4', segments }, 1);
    expect(text.split('\n').filter((line) => /m4s|MAP/.test(line))).toEqual([
      '#EXT-X-MAP:URI="../init.mp4"',
      '1.m4s',
      '../shared/2.m4s',
    ]);
  });
});

describe('package hash', () => {
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
  const files = [
    { path: 'b/2', sha256: sha256('two') },
    { path: 'a', sha256: sha256('one') },
    { path: 'B', sha256: sha256('three') },
  ];
  test('is that of sha256sum over the sorted files', () => {
    const lines = `${sha256('three')}  B\n${sha256('one')}  a\n${sha256('two')}  b/2\n`;
    expect(packageHash(files)).toBe(sha256(lines));
    expect(packageHash(files.toReversed())).toBe(sha256(lines));
  });
  test.each([
    ['a path twice', [files[0], files[0]]],
    ['a line break', [{ path: 'a\nb', sha256: sha256('') }]],
    ['no hash', [{ path: 'a', sha256: 'x' }]],
  ])('asserts against %s', (_, wrong) => {
    expect(() => packageHash(wrong.flatMap((file) => file ?? []))).toThrow();
  });
});
