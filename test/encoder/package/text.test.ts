// WebVTT read, written and cut; and how many thumbnails a title gives.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Captions, readCaptions, splitCaptions, vttTime, writeCaptions } from '../../../encoder/package/text.ts';
import { pictureCount } from '../../../encoder/package/trickplay.ts';

describe('WebVTT', () => {
  test.each([
    ['', false],
    ['WEBVTT', true],
    ['\ufeffWEBVTT a title\n', true],
    ['WEBVTT\r\n\r\n', true],
    ['WEBVTTX\n', false],
    ['1\n00:00:01,000 --> 00:00:02,000\nSubRip', false],
  ])('%j: %s', (text, isOne) => {
    expect(readCaptions(text) !== undefined).toBe(isOne);
  });

  const cue = (text: string) => readCaptions(`WEBVTT\n\n${text}\n`)?.cues[0];
  test.each([
    ['00:01.000 --> 00:02.500\nx', [1000, 2500]],
    ['01:00:01.000 --> 100:00:02.000\nx', [3_601_000, 360_002_000]],
    ['7\n00:01.000 --> 00:02.000 align:start\nx\ny', [1000, 2000]],
    ['00:01.000 --> 00:01.000\nempty', undefined],
    ['00:02.000 --> 00:01.000\nback', undefined],
    ['00:61.000 --> 00:62.000\nno such second', undefined],
    ['00:01,000 --> 00:02,000\na comma', undefined],
    ['00:01.000 --> 00:02.000', undefined],
    ['NOTE 00:01 it', undefined],
    ['a\nb\n00:01.000 --> 00:02.000\nx', undefined],
  ] as const)('%j', (text, times) => {
    const found = cue(text);
    expect(found && [found.startMs, found.endMs]).toEqual(times);
  });

  test('styles stay, notes leave, cues come in order of their start', () => {
    const text = 'WEBVTT\n\nSTYLE\n::cue {}\n\nNOTE x\n\n00:09.000 --> 00:10.000\nb\n\n00:01.000 --> 00:02.000\na\n';
    expect(writeCaptions(readCaptions(text) ?? expect.fail('WebVTT'))).toBe(
      'WEBVTT\n\nSTYLE\n::cue {}\n\n00:00:01.000 --> 00:00:02.000\na\n\n00:00:09.000 --> 00:00:10.000\nb\n',
    );
  });

  const line = fc.stringMatching(/^[a-z &<>/]{1,12}$/).filter((text) => text.trim() !== '' && !text.includes('-->'));
  const anyCue = fc
    .record({
      startMs: fc.nat(200_000),
      lengthMs: fc.integer({ min: 1, max: 90_000 }),
      lines: fc.array(line, { minLength: 1, maxLength: 3 }),
    })
    .map(({ startMs, lengthMs, lines }) => ({ id: '', startMs, endMs: startMs + lengthMs, settings: '', lines }));
  const anyCaptions = fc
    .array(anyCue, { maxLength: 20 })
    .map(
      (cues): Captions => ({ blocks: [], cues: cues.toSorted((a, b) => a.startMs - b.startMs || a.endMs - b.endMs) }),
    );

  test('what is written is read again', () => {
    fc.assert(
      fc.property(anyCaptions, (captions) => {
        expect(readCaptions(writeCaptions(captions))).toEqual(captions);
      }),
    );
  });

  test('segments follow without gap, and every cue is in each during which it is shown', () => {
    fc.assert(
      fc.property(
        anyCaptions,
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 400_000 }),
        (captions, seconds, lengthMs) => {
          const segments = splitCaptions(captions, seconds, lengthMs / 1000);
          let end = 0;
          for (const { startSeconds, durationSeconds, text } of segments) {
            expect(startSeconds).toBeCloseTo(end, 9);
            expect(durationSeconds).toBeGreaterThan(0);
            end = startSeconds + durationSeconds;
            const shown = captions.cues.filter((one) => one.startMs < end * 1000 && one.endMs > startSeconds * 1000);
            expect(readCaptions(text)?.cues).toEqual(shown);
          }
          expect(end).toBeCloseTo(lengthMs / 1000, 6);
        },
      ),
    );
  });

  test.each([
    [0, '00:00:00.000'],
    [59_999.6, '00:01:00.000'],
    [3_661_001, '01:01:01.001'],
  ])('%d ms is %s', (ms, text) => expect(vttTime(ms)).toBe(text));

  test('hostile text is read in time that grows with its length', () => {
    const started = performance.now();
    readCaptions(`WEBVTT\n\n${'00:00.000 --> '.repeat(50_000)}`);
    readCaptions(`WEBVTT${'\n'.repeat(500_000)}x`);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

test.each([
  [1, 25, 2, 1],
  [50, 25, 2, 1],
  [51, 25, 2, 2],
  [60, 30_000 / 1001, 2, 1],
  [105, 30_000 / 1001, 0.5, 7],
  [172_800, 24, 2, 3600],
])('%d frames at %d a second, a thumbnail every %d s: %d', (frames, rate, seconds, count) => {
  expect(pictureCount(frames, rate, seconds)).toBe(count);
});
