// EXT-X-KEY lines (RFC 8216 section 4.3.2.4): what is in force where, and that no text harms.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { attributesOf, keysByUri } from '../../../cache/manifest/hls-keys.ts';
import { parseManifest } from '../../../cache/manifest/timeline.ts';

const HLS = 'application/vnd.apple.mpegurl';
const BASE = 'http://origin.test/f/playlist.m3u8';

function segments(lines: readonly string[]) {
  const manifest = parseManifest(['#EXTM3U', ...lines].join('\n'), BASE, HLS);
  if ('problem' in manifest) throw new Error(manifest.problem);
  return manifest.renditions[0]?.segments ?? [];
}
function problem(lines: readonly string[]): string {
  const manifest = parseManifest(['#EXTM3U', ...lines].join('\n'), BASE, HLS);
  return 'problem' in manifest ? manifest.problem : 'none';
}

const key = (list: string) => `#EXT-X-KEY:${list}`;
const segment = (name: string) => ['#EXTINF:4,', `${name}.ts`];
const AES = 'METHOD=AES-128,URI="key?a=1,b=2"';
const AES2 = 'METHOD=AES-128,URI="other",IV=0x1';
const NAMED = 'METHOD=AES-128,URI="third",KEYFORMAT="identity"';
const FAIRPLAY = 'METHOD=SAMPLE-AES,URI="skd://k",KEYFORMAT="com.apple.streamingkeydelivery",KEYFORMATVERSIONS="1"';
const WIDEVINE = 'METHOD=SAMPLE-AES-CTR,URI="data:text/plain;base64,AAAA",KEYFORMAT="urn:uuid:edef8ba9"';

describe('RFC 8216 section 4.3.2.4', () => {
  test.each<[rule: string, lines: readonly string[], keys: readonly (readonly string[] | undefined)[]]>([
    ['a key holds until the end', [key(AES), ...segment('a'), ...segment('b')], [[AES], [AES]]],
    ['not before its line', [...segment('a'), key(AES), ...segment('b')], [undefined, [AES]]],
    ['until the next of its KEYFORMAT', [key(AES), ...segment('a'), key(AES2), ...segment('b')], [[AES], [AES2]]],
    ['no KEYFORMAT is identity', [key(AES), ...segment('a'), key(NAMED), ...segment('b')], [[AES], [NAMED]]],
    ['several KEYFORMATs hold together', [key(FAIRPLAY), key(WIDEVINE), ...segment('a')], [[FAIRPLAY, WIDEVINE]]],
    [
      'also when one comes later',
      [key(FAIRPLAY), ...segment('a'), key(WIDEVINE), ...segment('b')],
      [[FAIRPLAY], [FAIRPLAY, WIDEVINE]],
    ],
    [
      'METHOD=NONE ends them all',
      [key(FAIRPLAY), key(WIDEVINE), ...segment('a'), key('METHOD=NONE'), ...segment('b'), key(AES), ...segment('c')],
      [[FAIRPLAY, WIDEVINE], undefined, [AES]],
    ],
    ['between EXTINF and the URI it holds, too', ['#EXTINF:4,', key(AES), 'a.ts'], [[AES]]],
    [
      'comments and unknown tags change nothing',
      [key(AES), '# KEY', '#EXT-X-KEYS:METHOD=NONE', ...segment('a')],
      [[AES]],
    ],
  ])('%s', (_rule, lines, keys) => {
    expect(segments(lines).map((one) => one.keys)).toEqual(keys);
  });

  test('an init segment has the keys of its own line, not of its segments', () => {
    const map = (name: string) => `#EXT-X-MAP:URI="${name}"`;
    const read = segments([map('clear'), key(AES2), ...segment('a'), map('sealed'), ...segment('b')]);
    expect(read.map(({ keys, init }) => [keys, init?.keys])).toEqual([
      [[AES2], undefined],
      [[AES2], [AES2]],
    ]);
  });

  test('the Media Sequence Number comes with keys, and only with them', () => {
    const read = segments(['#EXT-X-MEDIA-SEQUENCE:70', ...segment('a'), key(AES), ...segment('b'), ...segment('c')]);
    expect(read.map(({ sequence }) => sequence)).toEqual([undefined, 71, 72]);
  });

  test('segments under the same keys share them, however many', () => {
    const lines = [
      key(FAIRPLAY),
      key(WIDEVINE),
      ...Array.from({ length: 5000 }, (_, index) => segment(`${index}`)).flat(),
    ];
    expect(new Set(segments(lines).map(({ keys }) => keys)).size).toBe(1);
  });
});

describe('refused', () => {
  test.each([
    ['no attribute list', [key('METHOD')], /no key/],
    ['an open quote', [key('METHOD=AES-128,URI="k')], /no key/],
    ['no METHOD', [key('URI="k"')], /no key/],
    [
      'seventeen formats at once',
      Array.from({ length: 17 }, (_, i) => key(`METHOD=AES-128,KEYFORMAT="${i}"`)),
      /formats/,
    ],
    ['a key line that is too long', [key(`METHOD=AES-128,URI="${'k'.repeat(9000)}"`)], /too long/],
    [
      'a sequence that no number holds',
      ['#EXT-X-MEDIA-SEQUENCE:9007199254740993', key(AES), ...segment('a')],
      /sequence/,
    ],
  ])('%s', (_name, lines, reason) => {
    expect(problem([...lines, ...segment('a')])).toMatch(reason);
  });
});

describe('any text', () => {
  const line = fc.oneof(
    fc.constantFrom('a.ts', '#EXTINF:4,', '#EXT-X-MAP:URI="i"', key(AES), key(FAIRPLAY), key('METHOD=NONE'), '', '#'),
    fc.string({ maxLength: 20 }),
    fc.string({ maxLength: 20 }).map(key),
  );

  test('is a problem, or every segment is either clear or has keys of the text', () => {
    const property = fc.property(fc.array(line, { maxLength: 30 }), (lines) => {
      const text = ['#EXTM3U', ...lines].join('\n');
      const manifest = parseManifest(text, BASE, HLS);
      if ('problem' in manifest) return true;
      const read = manifest.renditions.flatMap(({ segments: own }) => own);
      return read.every(
        ({ keys, sequence, init }) =>
          (keys === undefined) === (sequence === undefined) &&
          [keys, init?.keys].every((list) => list?.every((one) => one !== '' && text.includes(one)) ?? true),
      );
    });
    fc.assert(property, { numRuns: 1000 });
  });

  test('one entry a URI line', () => {
    const property = fc.property(fc.array(fc.constantFrom('a.ts', '', '#x', key(AES), key('METHOD=NONE'))), (lines) => {
      expect(keysByUri(lines)).toHaveLength(lines.filter((one) => one === 'a.ts').length);
    });
    fc.assert(property);
  });

  test.each([' ', 'A=', '"', ',', 'A= ', '=', 'A"'])('a list of 8000 times %j takes no time', (part) => {
    const began = performance.now();
    for (const list of [part.repeat(8000), `A=${part.repeat(8000)}"`, `A="${part.repeat(8000)}`]) attributesOf(list);
    expect(performance.now() - began).toBeLessThan(200);
  });
});
