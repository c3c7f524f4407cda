// The manifest timeline against text written to harm: prototypes stay clean, nothing throws.
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { parseManifest } from '../../../cache/manifest/timeline.ts';

const HLS = 'application/vnd.apple.mpegurl';
const DASH = 'application/dash+xml';
const BASE = 'http://origin.test/titles/a/v720/playlist.m3u8';

describe('hostile text', () => {
  afterEach(() => vi.restoreAllMocks());

  test.each([
    'TYPE=__proto__,GROUP-ID="polluted",NAME="a",URI="x"',
    'TYPE=AUDIO,GROUP-ID="__proto__",NAME="polluted",URI="x"',
    'TYPE=AUDIO,GROUP-ID="constructor",NAME="polluted",URI="x"',
    'TYPE=constructor,GROUP-ID="polluted",NAME="polluted",URI="x"',
    'TYPE=AUDIO,GROUP-ID=" toString ",NAME="polluted",URI="x"',
  ])('never reaches a prototype: %s', (attributes) => {
    const before = [Object, Object.prototype, Object.prototype.toString, Array.prototype].map((one) =>
      Reflect.ownKeys(one),
    );
    parseManifest(`#EXTM3U\n#EXT-X-MEDIA:${attributes}\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n`, BASE, HLS);
    parseManifest(
      `#EXTM3U\n#EXT-X-DATERANGE:ID="__proto__",START-DATE="2020-01-01T00:00:00Z",X-polluted="1"\n`,
      BASE,
      HLS,
    );
    expect(
      [Object, Object.prototype, Object.prototype.toString, Array.prototype].map((one) => Reflect.ownKeys(one)),
    ).toEqual(before);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });

  const token = fc.constantFrom(
    ...[
      '#EXTM3U\n',
      '#EXTINF:',
      '4,\n',
      '-1',
      'NaN',
      '#EXT-X-MAP:URI="',
      '"',
      'BYTERANGE="1@',
      '#EXT-X-BYTERANGE:',
      '\n',
      ',',
    ],
    ...[
      '#EXT-X-KEY:METHOD=',
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="g",NAME="',
      '#EXT-X-STREAM-INF:BANDWIDTH=',
      'a.m4s\n',
      '://',
    ],
    ...[
      '<MPD ',
      'type="dynamic" ',
      '>',
      '<Period>',
      '<AdaptationSet>',
      '<Representation id="a">',
      '<S d="1" r="-1"/>',
      '</',
    ],
    ...[
      '<SegmentTemplate media="$Number$" duration="',
      '<SegmentTimeline>',
      '<BaseURL>',
      '</BaseURL>',
      '9'.repeat(30),
      '&lt;',
    ],
  );
  const hostile = fc
    .array(fc.oneof(token, fc.string({ maxLength: 8 })), { maxLength: 40 })
    .map((parts) => parts.join(''));

  test('never throws, and what it accepts is sound', () => {
    vi.spyOn(console, 'error').mockReturnValue();
    vi.spyOn(console, 'warn').mockReturnValue();
    const property = fc.property(
      fc.constantFrom('', '#EXTM3U\n', '<MPD type="static" mediaPresentationDuration="PT9S"><Period><AdaptationSet>'),
      hostile,
      fc.constantFrom(HLS, DASH, ''),
      (start, rest, contentType) => {
        const manifest = parseManifest(start + rest, BASE, contentType, 1e12);
        if ('problem' in manifest) return typeof manifest.problem === 'string';
        return manifest.renditions.every(({ segments }) =>
          segments.every(
            ({ url, startSeconds, durationSeconds }) =>
              /^https?:\/\//.test(url) && Number.isFinite(startSeconds) && durationSeconds >= 0,
          ),
        );
      },
    );
    fc.assert(property, { numRuns: 1500 });
  });

  test.each(['', 'not a url', 'ftp://x/', 'data:text/plain,x'])('an unusable own URL is a problem: %j', (url) => {
    expect(parseManifest('#EXTM3U\n#EXTINF:1,\na.ts\n', url, HLS)).toHaveProperty('problem');
  });
});
