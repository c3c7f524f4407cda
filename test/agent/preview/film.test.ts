// Spliced files: real media decodes without a complaint, times are without gap, and what cannot be used is left out.
import { beforeAll, describe, expect, test } from 'vitest';
import { boxAt, boxesIn, fieldsOf, Mp4Error, makeBox, u32s } from '../../../agent/preview/boxes.ts';
import { openBudget } from '../../../agent/preview/budget.ts';
import { openFilms, placesOf, planFilm } from '../../../agent/preview/films.ts';
import { readFragments, readTrack } from '../../../agent/preview/fragments.ts';
import { splice } from '../../../agent/preview/splice.ts';
import { type ClipPackage, decode, makeClipPackage } from '../../fake/clip-package.ts';

const MOMENTS = [
  { startSeconds: 2, durationSeconds: 2 },
  { startSeconds: 6, durationSeconds: 1 },
  { startSeconds: 10, durationSeconds: 2 },
];
let clip: ClipPackage;
beforeAll(async () => {
  clip = await makeClipPackage({ id: 'clip', seconds: 14 });
});

const file = (name: string): Buffer => {
  const found = clip.files.get(clip.baseUrl + name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
};
const video = (...names: string[]) => ({ init: file('v-init.mp4'), segments: names.map(file) });
const films = (files: ReadonlyMap<string, Buffer> = clip.files) => {
  const asked: string[] = [];
  const room = openFilms({
    read: async (url) => {
      asked.push(url);
      return files.get(url);
    },
  });
  const plan = planFilm(clip, MOMENTS, { hasSound: true });
  if (plan === undefined) throw new Error('no plan');
  const film = async (own = plan) => {
    const made = await room.film(own, openBudget(5_000, new AbortController().signal));
    if (made === undefined || made === 'busy') throw new Error(`no film: ${made}`);
    return made;
  };
  return { room, plan, film, asked };
};

/** Decode times of each track's fragments in seconds, and how long each is. */
function times(bytes: Buffer) {
  const scales = new Map<number, number>();
  const found: { track: number; from: number }[] = [];
  for (const box of boxesIn(bytes)) {
    if (box.type === 'moov')
      for (const trak of boxesIn(bytes, box).filter(({ type }) => type === 'trak')) {
        const tkhd = fieldsOf(bytes, boxAt(bytes, trak, ['tkhd']));
        tkhd.skip(12);
        const mdhd = fieldsOf(bytes, boxAt(bytes, trak, ['mdia', 'mdhd']));
        mdhd.skip(12);
        scales.set(tkhd.u32(), mdhd.u32());
      }
    if (box.type !== 'moof') continue;
    const tfhd = fieldsOf(bytes, boxAt(bytes, box, ['traf', 'tfhd']));
    tfhd.skip(4);
    const tfdt = fieldsOf(bytes, boxAt(bytes, box, ['traf', 'tfdt']));
    const isLong = tfdt.u32() >>> 24 === 1;
    const track = tfhd.u32();
    found.push({ track, from: (isLong ? tfdt.u64() : tfdt.u32()) / (scales.get(track) ?? 1) });
  }
  return { found, tracks: [...scales.keys()] };
}

describe('a spliced file', () => {
  test('decodes to every frame of its segments without a complaint, sound and all', async () => {
    const { bytes, seconds, skipped, placed } = await films().film();
    expect(skipped).toBe(0);
    expect(seconds).toBeCloseTo(5, 6);
    expect(placed.map(({ sourceSeconds }) => Math.round(sourceSeconds))).toEqual([2, 3, 6, 10, 11]);
    expect(placed.map(({ atSeconds }) => Math.round(atSeconds))).toEqual([0, 1, 2, 3, 4]);
    expect(await decode(bytes)).toEqual({ pictures: 60, complaints: '' });
  });

  test('has one init with both tracks, an index that ends with the file, and no gap in decode times', async () => {
    const { bytes } = await films().film();
    const types = boxesIn(bytes).map(({ type }) => type);
    expect(types.slice(0, 3)).toEqual(['ftyp', 'moov', 'sidx']);
    expect(types.filter((type) => type === 'moov')).toHaveLength(1);
    const { found, tracks } = times(bytes);
    expect(tracks).toEqual([1, 2]);
    const pictures = found.filter(({ track }) => track === 1).map(({ from }) => from);
    expect(pictures.map((from) => from - (pictures[0] ?? 0))).toEqual([0, 1, 2, 3, 4]);
    for (const [index, { from }] of found.filter(({ track }) => track === 2).entries())
      expect(Math.abs(from - index)).toBeLessThan(1025 / 48_000);
    const [, , sidx] = boxesIn(bytes);
    if (sidx === undefined) throw new Error('no index');
    const index = fieldsOf(bytes, sidx);
    index.skip(20);
    const count = index.u32() & 0xffff;
    let end = sidx.end;
    for (let left = count; left > 0; left -= 1) {
      end += index.u32();
      index.skip(8);
    }
    expect([count, end]).toEqual([5, bytes.length]);
  });

  test('of the same cut is made once', async () => {
    const { film, room, asked } = films();
    const [first, second] = await Promise.all([film(), film()]);
    const before = asked.length;
    expect(second).toBe(first);
    expect(await film()).toBe(first);
    expect(asked).toHaveLength(before);
    expect(room.stats()).toMatchObject({ spliced: 1, reused: 2 });
  });

  test('without sound has one track', async () => {
    const plan = planFilm(clip, MOMENTS, { hasSound: false });
    const { film } = films();
    expect(times((await film(plan)).bytes).tracks).toEqual([1]);
  });

  test('places say where a cut lies in it before it is made', async () => {
    const { placed } = await films().film();
    const places = placesOf(clip.title, MOMENTS) ?? [];
    expect(places.map(({ atSeconds }) => atSeconds)).toEqual(placed.map(({ atSeconds }) => atSeconds));
    expect(placesOf(clip.title, [])).toBeUndefined();
  });
});

describe('a segment that is not what it should be', () => {
  const harmed = (name: string, harm: (bytes: Buffer) => Buffer) => {
    const bytes = harm(Buffer.from(file(name)));
    return new Map([...clip.files, [clip.baseUrl + name, bytes]]);
  };
  const inMoof = (bytes: Buffer, path: readonly string[]) => {
    const moof = boxesIn(bytes).find(({ type }) => type === 'moof');
    if (moof === undefined) throw new Error('no moof');
    return boxAt(bytes, moof, path);
  };
  const cases: [string, string, (bytes: Buffer) => Buffer][] = [
    ['cut short', 'v6.m4s', (bytes) => bytes.subarray(0, bytes.length - 40)],
    ['empty', 'v6.m4s', () => Buffer.alloc(0)],
    ['an error page', 'v6.m4s', () => Buffer.from('<html>not found</html>')],
    ['of another track', 'v6.m4s', () => Buffer.from(file('a0.m4s'))],
    ['with NAL units that do not fit', 'v6.m4s', (bytes) => bytes.fill(0x5a, bytes.indexOf('mdat') + 4)],
    [
      'with a sample beyond its mdat',
      'v6.m4s',
      (bytes) => {
        const trun = inMoof(bytes, ['traf', 'trun']);
        bytes.writeInt32BE(bytes.length, trun.body + 8);
        return bytes;
      },
    ],
    [
      'that claims a billion samples',
      'v6.m4s',
      (bytes) => {
        bytes.writeUInt32BE(1_000_000_000, inMoof(bytes, ['traf', 'trun']).body + 4);
        return bytes;
      },
    ],
  ];
  test.each(cases)('%s: is left out and counted, the rest decodes', async (_name, name, harm) => {
    const { film, room } = films(harmed(name, harm));
    const { bytes, skipped, seconds } = await film();
    expect(skipped).toBe(1);
    expect(seconds).toBeCloseTo(4, 6);
    expect(room.stats().skipped).toEqual({ missing: 0, corrupt: 1 });
    expect(await decode(bytes)).toEqual({ pictures: 48, complaints: '' });
  });

  test('missing: is left out, and the file is not kept', async () => {
    const { film, room } = films(new Map([...clip.files].filter(([url]) => !url.endsWith('/v10.m4s'))));
    expect((await film()).skipped).toBe(1);
    await film();
    expect(room.stats()).toMatchObject({ spliced: 2, reused: 0, skipped: { missing: 2, corrupt: 0 } });
  });

  test('of the sound: the pictures go on in silence', async () => {
    const { film } = films(harmed('a1.m4s', (bytes) => bytes.subarray(0, 50)));
    const { bytes, skipped, seconds } = await film();
    expect([skipped, Math.round(seconds)]).toEqual([1, 5]);
    expect((await decode(bytes)).pictures).toBe(60);
  });

  test('all of them: there is no file', async () => {
    const { room, plan } = films(new Map());
    expect(await room.film(plan, openBudget(1_000, new AbortController().signal))).toBeUndefined();
    const broken = [...clip.files].map(([url, bytes]): [string, Buffer] => [
      url,
      url.includes('/v') ? Buffer.alloc(9) : bytes,
    ]);
    const other = films(new Map(broken));
    expect(await other.room.film(plan, openBudget(1_000, new AbortController().signal))).toBeUndefined();
    expect(other.room.stats().skipped.corrupt).toBe(5);
  });

  test('late: the file is what came in time', async () => {
    const never = Promise.withResolvers<Buffer>();
    const { plan } = films();
    const room = openFilms({ read: async (url) => (url.endsWith('/v11.m4s') ? never.promise : clip.files.get(url)) });
    const film = await room.film(plan, openBudget(80, new AbortController().signal));
    if (film === undefined || film === 'busy') throw new Error('no film');
    expect(film.skipped).toBe(1);
    expect(film.placed).toHaveLength(4);
  });
});

describe('inits', () => {
  test('two tracks, no track, an encrypted one and nonsense are refused', () => {
    const { init } = video('v2.m4s');
    const moov = boxAt(init, { body: 0, end: init.length }, ['moov']);
    const trak = boxAt(init, moov, ['trak']);
    const rest = boxesIn(init, moov).filter(({ type }) => type !== 'trak');
    const part = ({ start, end }: { start: number; end: number }) => init.subarray(start, end);
    const twice = makeBox('moov', part(trak), part(trak), ...rest.map(part));
    const encrypted = Buffer.from(init.toString('latin1').replace('avc1\0\0\0\0\0\0', 'encv\0\0\0\0\0\0'), 'latin1');
    for (const bad of [
      Buffer.alloc(0),
      Buffer.from('nonsense'),
      makeBox('moov'),
      twice,
      encrypted,
      makeBox('moov', u32s(1, 2)),
    ])
      expect(() => readTrack(bad)).toThrow(Mp4Error);
    expect(() => splice({ init: file('a-init.mp4'), segments: [file('a0.m4s')] })).toThrow(Mp4Error);
  });

  test('every cut of an init or a segment is refused or read, never more than an Mp4Error', () => {
    const { init } = video();
    const track = readTrack(init);
    const segment = file('v3.m4s');
    const tryIt = (work: () => unknown) => {
      try {
        work();
      } catch (error) {
        expect(error).toBeInstanceOf(Mp4Error);
      }
    };
    for (let length = 0; length < init.length; length += 3) tryIt(() => readTrack(init.subarray(0, length)));
    for (let at = 0; at < 600; at += 1) {
      const harmed = Buffer.from(segment);
      harmed.writeUInt8(harmed.readUInt8(at) ^ 0xff, at);
      tryIt(() => readFragments(harmed, track));
      const short = Buffer.from(init);
      if (at < short.length) {
        short.writeUInt8(short.readUInt8(at) ^ 0xff, at);
        tryIt(() => readTrack(short));
      }
    }
  });
});
