// Prefetch of a whole node, seen from its origin: what is fetched before anybody asks, and what a viewer gets of it.
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  beacon,
  catalogue,
  held,
  leavePlace,
  makePlace,
  openWorld,
  type Place,
  type Published,
  publish,
  sample,
  type World,
} from './world.ts';

let place: Place;
let world: World;
let one: Published;
let two: Published;
let hovered: Published;
let hinted: Published;
let paused: Published;

beforeAll(async () => {
  place = await makePlace();
  one = publish(place, 'episode-1', 10);
  two = publish(place, 'episode-2', 10);
  hovered = publish(place, 'looked-at', 5);
  hinted = publish(place, 'hinted', 5);
  paused = publish(place, 'paused', 5);
  catalogue(place, [
    { id: 'episode-1', series: 'a series', episode: 1, nextId: 'episode-2' },
    { id: 'episode-2', series: 'a series', episode: 2 },
    { id: 'looked-at' },
    { id: 'hinted' },
    { id: 'paused' },
  ]);
  // Three segments of 4 s.
  world = await openWorld({ prefetch: { aheadSeconds: 11 } }, { place });
});
afterAll(async () => {
  await world?.close();
  await leavePlace(place);
});

const at = (title: Published, index: number): string => {
  const path = title.segments[index];
  if (path === undefined) throw new Error(`${title.id} has no segment ${index}`);
  return path;
};

test('a segment that is watched brings the next three, which then are hits', async () => {
  expect((await world.get(at(one, 0))).headers.get('cache-status')).not.toMatch(/; ?hit\b/);
  for (const index of [1, 2, 3]) {
    await world.origin.asked(at(one, index), 1);
    await held(world, at(one, index));
  }
  expect(world.origin.seen(at(one, 4))).toEqual([]);
  const got = await world.get(at(one, 1));
  expect(got.headers.get('cache-status')).toMatch(/; ?hit\b/);
  expect(world.origin.seen(at(one, 1))).toHaveLength(1);
});

test('a segment that came ahead and was watched counts as useful, and status tells so', async () => {
  expect(sample(await world.metrics(), 'nearcast_prefetch_bytes_total{outcome="useful"}')).toBeGreaterThan(0);
  const status = await world.ask('GET', '/status');
  expect(status).toMatchObject({ prefetch: { outcomes: { stored: expect.any(Number) } } });
});

test('explain and the page say why it was fetched', async () => {
  const explained = await world.ask('GET', `/explain?url=${at(one, 2)}`);
  expect(explained).toMatchObject({
    title: 'episode-1',
    decisions: [{ reason: 'next-segments', outcome: 'stored', why: 'follows segment 0 of v540' }],
  });
  const activity = JSON.parse((await world.get('/.nearcast/activity')).body.toString());
  expect(activity.prefetched).toContainEqual(
    expect.objectContaining({ url: at(one, 2), titleId: 'episode-1', reason: 'next-segments' }),
  );
});

test('past seven tenths the start of the next episode is fetched', async () => {
  await world.get(at(one, 4));
  expect(world.origin.seen(at(two, 0))).toEqual([]);
  await world.get(at(one, 7));
  for (const path of [two.playlist, two.init, at(two, 0), at(two, 1)]) {
    await world.origin.asked(path, 1);
    await held(world, path);
  }
  expect((await world.get(at(two, 0))).headers.get('cache-status')).toMatch(/; ?hit\b/);
  const explained = await world.ask('GET', '/explain?title=episode-2');
  expect(JSON.stringify(explained)).toContain('"next-episode"');
});

test('a hover fetches the beginning, with no consent and no session', async () => {
  await beacon(world, { sid: 'somebody', consent: 'none', events: [{ type: 'hover', title: 'looked-at' }] });
  await world.origin.asked(hovered.master, 1);
  const first = hovered.allSegments.filter((path) => path.endsWith('/0.m4s'));
  await Promise.race(first.map((path) => world.origin.asked(path, 1)));
  expect(await world.ask('GET', '/status')).toMatchObject({ sessions: 0 });
  expect(world.origin.seen().filter(({ url }) => /looked-at.*\/1\.m4s/.test(url))).toEqual([]);
});

test('a hover over a title that nobody knows fetches nothing', async () => {
  const asked = world.origin.seen().length;
  await beacon(world, { sid: 'somebody', consent: 'none', events: [{ type: 'hover', title: 'made-up' }] });
  await world.get('/.nearcast/titles');
  expect(world.origin.seen().length).toBe(asked);
});

test('a hint of CMCD is followed where the node knows no package', async () => {
  const foreign = (name: string) => `/titles/foreign/v/${name}`;
  for (const name of ['a.m4s', 'b.m4s'])
    world.origin.set(foreign(name), { headers: { 'cache-control': 'max-age=600' }, body: name });
  await world.get(`${foreign('a.m4s')}?CMCD=${encodeURIComponent('nor="b.m4s",ot=v,sid="x"')}`);
  await world.origin.asked(foreign('b.m4s'), 1);
  await held(world, foreign('b.m4s'));
  expect((await world.get(foreign('b.m4s'))).headers.get('cache-status')).toMatch(/; ?hit\b/);
  expect(await world.ask('GET', `/explain?url=${foreign('b.m4s')}`)).toMatchObject({
    decisions: [{ reason: 'next-object' }],
  });
});

test.each([
  ['another title', '../../hinted/secret.m4s'],
  ['another host', 'http://169.254.169.254/latest'],
  ['a route of the node', '/.nearcast/titles'],
])('a hint that points to %s is not followed', async (_name, target) => {
  const path = `/titles/foreign/v/from-${_name.length}.m4s`;
  world.origin.set(path, { headers: { 'cache-control': 'max-age=600' }, body: 'x' });
  const asked = world.origin.seen().length;
  await world.get(`${path}?CMCD=${encodeURIComponent(`nor="${encodeURIComponent(target)}",ot=v`)}`);
  // A later request of the same kind has gone through the same queue.
  await world.get(`${at(hinted, 0)}`);
  await world.origin.asked(at(hinted, 3), 1);
  const urls = world.origin
    .seen()
    .slice(asked)
    .map(({ url }) => url);
  expect(urls.filter((url) => /secret|latest|nearcast/.test(url))).toEqual([]);
});

test('a segment that the viewer did not get brings nothing', async () => {
  const broken = publish(place, 'broken', 5);
  world.origin.set(at(broken, 0), { status: 404 });
  world.origin.set(at(broken, 1), { raw: '' });
  expect((await world.get(at(broken, 0))).status).toBe(404);
  expect((await world.get(at(broken, 1))).status).toBe(502);
  // A request after them has gone through the same queue.
  await world.get(at(hinted, 1));
  await world.origin.asked(at(hinted, 4), 1);
  expect(world.origin.seen(at(broken, 2))).toEqual([]);
});

test('while prefetch is paused nothing comes ahead; resumed, it does', async () => {
  expect(await world.ask('POST', '/pause', { what: 'prefetch' })).toEqual({ what: ['prefetch'], isPaused: true });
  await world.get(at(paused, 0));
  await beacon(world, { sid: 'somebody', consent: 'none', events: [{ type: 'hover', title: 'paused' }] });
  await world.get('/.nearcast/titles');
  expect(await world.ask('GET', '/status')).toMatchObject({ prefetch: { isPaused: true } });
  expect(sample(await world.metrics(), 'nearcast_prefetch_paused')).toBe(1);
  expect(world.origin.seen(at(paused, 1))).toEqual([]);
  await world.ask('POST', '/resume', { what: 'prefetch' });
  await world.origin.asked(at(paused, 1), 1);
  expect(sample(await world.metrics(), 'nearcast_prefetch_paused')).toBe(0);
});

test('an operator can have a title, or a path, at hand', async () => {
  const wanted = publish(place, 'wanted', 4);
  expect(await world.ask('POST', '/preposition', { titles: ['wanted'] })).toMatchObject({
    progress: { urls: wanted.allSegments.length + 7 },
  });
  for (const path of wanted.allSegments) await held(world, path);
  expect(await world.ask('GET', `/explain?url=${at(wanted, 3)}`)).toMatchObject({
    decisions: [{ reason: 'operator' }],
  });
  await expect(world.ask('POST', '/preposition', { titles: ['nothing'] })).rejects.toThrow(/nothing/);
  expect(await world.ask('POST', '/pin', { url: at(wanted, 3) })).toEqual({ objects: 1 });
  await expect(world.ask('POST', '/preposition', { urls: ['ftp://else/x'] })).rejects.toThrow(/beginning with/);
  await expect(world.ask('POST', '/pin', { url: 'no-slash' })).rejects.toThrow(/beginning with/);
});

test('the nightly window fills what the region watches, within its bytes for the day', async () => {
  const night = await makePlace();
  const popular = publish(night, 'popular', 12);
  const others = Array.from({ length: 30 }, (_, index) => ({
    id: `other-${index}`,
    manifestUrl: `/titles/other-${index}/master.m3u8`,
  }));
  catalogue(night, [{ id: 'popular', durationSeconds: 48 }, ...others]);
  const budget = 20_000;
  const window = { cron: '* * * * * *', minutes: 1, timeZone: 'UTC' };
  const settings = { prefetch: { inSession: false, bytesPerDay: budget, window } };
  const ofPopular = () => night.origin.seen().filter(({ url }) => url.startsWith('/titles/popular/'));
  const node = await openWorld(settings, { place: night });
  try {
    // What viewers begin is counted as it is served.
    for (let viewer = 0; viewer < 40; viewer += 1) await node.get(popular.segments[0] ?? '');
    const asked = ofPopular().length;
    await expect.poll(() => ofPopular().length, { timeout: 15_000, interval: 20 }).toBeGreaterThan(asked);
    const done = async () => sample(await node.metrics(), 'nearcast_offpeak_runs_total{outcome="done"}');
    const runs = await done();
    await expect.poll(done, { timeout: 15_000, interval: 50 }).toBeGreaterThan(runs + 1);
    const held = await node.ask('GET', '/explain?title=popular');
    const stored = JSON.stringify(held).match(/"outcome":"stored"/g) ?? [];
    expect(stored.length).toBeGreaterThan(0);
    const segments = ofPopular().filter(({ url }) => popular.allSegments.includes(url));
    expect(segments.length * 3_000).toBeLessThanOrEqual(budget);
    expect(segments.length).toBeGreaterThan(0);
    expect(await node.ask('GET', '/plan')).toMatchObject({ last: { considered: 31, withoutTimeline: 30 } });
  } finally {
    await node.close();
  }
  // What was spent today is spent for the node that comes after it, also when its disk is empty.
  const spent = ofPopular().filter(({ url }) => popular.allSegments.includes(url)).length;
  const next = await openWorld(
    { ...settings, store: { ramBytes: '1MiB', dirs: [{ path: 'empty' }] } },
    { place: night },
  );
  try {
    const runs = async () => sample(await next.metrics(), 'nearcast_offpeak_runs_total{outcome="done"}');
    await expect.poll(runs, { timeout: 15_000, interval: 50 }).toBeGreaterThan(0);
    expect(ofPopular().filter(({ url }) => popular.allSegments.includes(url)).length).toBe(spent);
  } finally {
    await next.close();
    await leavePlace(night);
  }
}, 30_000);
