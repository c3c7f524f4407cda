// Previews on a whole node: what is likely to be looked at is fetched before anybody asks, the operator's word counts, broken
// segments are counted, promos are paced, and nothing of a title that goes away breaks.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeClipPackage, publishClip } from '../../fake/clip-package.ts';
import {
  beacon,
  catalogue,
  leavePlace,
  makePlace,
  openWorld,
  type Place,
  type Published,
  publish,
  sample,
  type World,
} from './world.ts';

const FOREVER = { 'cache-control': 'public, max-age=31536000, immutable' };
let place: Place;
let world: World;
let leaving: Published;
beforeAll(async () => {
  place = await makePlace();
  const clip = await makeClipPackage({ id: 'clip', seconds: 14 });
  await publishClip(place.dir, clip);
  for (const [path, body] of clip.files) place.origin.set(path, { headers: FOREVER, body });
  publish(place, 'garbled', 8);
  leaving = publish(place, 'leaving', 8);
  const cut = [{ startSeconds: 4, endSeconds: 6 }];
  writeFileSync(join(place.dir, 'titles', 'clip', 'preview.json'), JSON.stringify({ version: 1, cut, only: true }));
  writeFileSync(join(place.dir, 'titles', 'garbled', 'preview.json'), '{"version":1,"cutt":[]}');
  const promos = [{ id: 'spring', titleId: 'clip', perDay: 1_000_000 }];
  writeFileSync(join(place.dir, 'promos.json'), JSON.stringify({ version: 1, promos }));
  catalogue(place, [{ id: 'clip', nextId: 'leaving', durationSeconds: 14 }, { id: 'garbled' }, { id: 'leaving' }]);
  const preview = { deadlineMs: 5_000, fileDeadlineMs: 5_000, promos: 'promos.json', promosPerViewerPerHour: 2 };
  world = await openWorld({ preview: { ...preview, promoNoRepeatWithin: 0 } }, { place });
});
afterAll(async () => {
  await world?.close();
  await leavePlace(place);
});

const count = async (name: string) => sample(await world.metrics(), name);
const sid = 'viewer-one';

test("the operator's cut is the only one, and is one file with sound that decodes to its seconds", async () => {
  const playlist = await world.get('/.nearcast/preview/clip.m3u8');
  expect(playlist.headers.get('nearcast-why')).toContain('theme=editor');
  expect([...playlist.body.toString().matchAll(/v(\d+)\.m4s/g)].map(([, index]) => Number(index))).toEqual([4, 5]);
  const file = await world.get('/.nearcast/preview/clip.mp4?sound=1');
  expect(file.status).toBe(200);
  expect([file.headers.get('nearcast-seconds'), file.headers.get('nearcast-skipped')]).toEqual(['2.000', '0']);
  const captions = await world.get(file.headers.get('nearcast-captions') ?? '');
  expect(captions.body.toString()).toContain('00:00:00.100 --> 00:00:00.900\nSecond 4');
});

test('a sidecar that cannot be used is told of, and the title has its own cuts', async () => {
  expect(await world.line('preview.bad_sidecar')).toMatchObject({ title: 'garbled' });
  const reply = await world.get('/.nearcast/preview/garbled.m3u8');
  expect([reply.status, reply.headers.get('nearcast-why')]).toEqual([200, expect.stringContaining('theme=opening')]);
});

test('a title whose segments are all broken has no file, and each is counted', async () => {
  expect((await world.get('/.nearcast/preview/garbled.mp4')).status).toBe(503);
  expect(await count('nearcast_preview_skipped_segments_total{reason="corrupt"}')).toBeGreaterThan(0);
  expect(await count('nearcast_preview_reasons_total{reason="media-missing"}')).toBe(1);
});

test('what a viewer is likely to look at next is decided and fetched before it is asked for', async () => {
  const events = [
    { type: 'play', title: 'clip', positionSeconds: 0 },
    { type: 'stop', title: 'clip', positionSeconds: 13.9 },
  ];
  await beacon(world, { sid, consent: 'personal', events });
  await place.origin.asked(leaving.init, 1);
  expect(await count('nearcast_preview_ahead_total{outcome="decided"}')).toBeGreaterThan(0);
  await world.get(`/.nearcast/preview/leaving.m3u8?sid=${sid}`);
  expect(await count('nearcast_preview_ahead_total{outcome="used"}')).toBe(1);
});

test('an ad slot is filled until the viewer has seen enough, by memory or by the note', async () => {
  const ask = (more = '') => world.get(`/.nearcast/ad/slot?seconds=2${more}`);
  const slots = [await ask(`&sid=${sid}`), await ask(`&sid=${sid}`), await ask(`&sid=${sid}`)];
  expect(slots.map(({ status }) => status)).toEqual([200, 200, 204]);
  expect(slots[2]?.headers.get('nearcast-why')).toBe('capped');
  const first = await ask();
  const second = await ask(`&note=${first.headers.get('nearcast-note')}`);
  const third = await ask(`&note=${second.headers.get('nearcast-note')}`);
  expect([first.status, second.status, third.status]).toEqual([200, 200, 204]);
  expect(await count('nearcast_preview_slots_total{outcome="filled"}')).toBe(4);
});

test('a package that is taken away leaves the preview that was begun, and then a clean answer', async () => {
  const begun = await world.get('/.nearcast/preview/leaving.m3u8');
  const [segment = ''] = /^\/titles\/.*\.m4s$/m.exec(begun.body.toString()) ?? [];
  rmSync(join(place.dir, 'titles', 'leaving'), { recursive: true });
  expect((await world.get(segment)).status).toBe(200);
  expect([200, 404, 409]).toContain((await world.get('/.nearcast/preview/leaving.m3u8')).status);
  expect((await world.get('/.nearcast/artwork/leaving')).status).toBeLessThan(500);
});
