// What a node keeps of a viewer, with and without consent, in memory and on disk; and that nothing a player tells of
// itself reaches the origin or the cache key.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  beacon,
  catalogue,
  command,
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
let title: Published;
beforeAll(async () => {
  place = await makePlace();
  title = publish(place, 'private-film', 3);
  catalogue(place, [{ id: 'private-film', durationSeconds: 12 }]);
  world = await openWorld({ prefetch: { enabled: false }, telemetry: { maxEventsPerViewerPerMinute: 50 } }, { place });
});
afterAll(async () => {
  await world?.close();
  await leavePlace(place);
});

const personal = 'personal' as const;
const sessions = () => world.ask('GET', '/status');

/** Whether the bytes of any file of a folder have a text. */
function isOnDisk(folder: string, text: string): boolean {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .some((entry) => readFileSync(join(entry.parentPath, entry.name)).includes(text));
}

/** Plays the title: twenty seconds between a play and a stop, as the player tells it. */
function watch(sid: string, consent: 'none' | 'personal') {
  const started = Date.now() - 20_000;
  return beacon(world, {
    sid,
    consent,
    events: [
      { at: started, type: 'play', title: 'private-film', positionSeconds: 0 },
      { at: started + 11_000, type: 'stop', title: 'private-film', positionSeconds: 11 },
    ],
  });
}

test('without consent there is no session, and nothing on disk that ties a viewer to a title', async () => {
  const sid = 'no-consent-7f3a';
  expect((await watch(sid, 'none')).status).toBe(204);
  await world.get(`${title.segments[0]}?CMCD=${encodeURIComponent(`sid="${sid}",ot=v,d=4000,cid="private-film"`)}`);
  expect(await sessions()).toMatchObject({ sessions: 0 });
  expect(await world.ask('GET', `/explain?sid=${sid}`)).toMatchObject({ session: null });
  const preview = await world.get(`/.nearcast/preview/private-film.m3u8?sid=${sid}`);
  expect(preview.status).toBe(200);
  expect(await sessions()).toMatchObject({ sessions: 0 });
  // Playing at all is counted for the title, so the event was heard.
  expect(sample(await world.metrics(), 'nearcast_events_total{outcome="accepted"}')).toBe(2);
});

test('with consent there is one session, whose history explain shows', async () => {
  expect((await watch('consenting-1', personal)).status).toBe(204);
  expect(await sessions()).toMatchObject({ sessions: 1 });
  const explained = await command(['explain', '--sid', 'consenting-1', '--socket', world.socket]);
  expect(explained.code).toBe(0);
  expect(JSON.parse(explained.stdout)).toMatchObject({ session: { history: [{ titleId: 'private-film' }] } });
});

test('a word of no consent forgets the session at once', async () => {
  await watch('leaving-1', personal);
  expect(await sessions()).toMatchObject({ sessions: 2 });
  await beacon(world, { sid: 'leaving-1', consent: 'none', events: [] });
  expect(await sessions()).toMatchObject({ sessions: 1 });
});

test('erasing forgets within a second, in memory and on disk', async () => {
  await watch('erased-by-call', personal);
  const began = performance.now();
  expect(await world.ask('DELETE', '/viewers/erased-by-call')).toEqual({ sessions: 1, rows: 1 });
  expect(performance.now() - began).toBeLessThan(1_000);
  expect(await world.ask('GET', '/explain?sid=erased-by-call')).toMatchObject({ session: null });
  expect(await world.ask('DELETE', '/viewers/erased-by-call')).toEqual({ sessions: 0, rows: 0 });
});

test('what was written of a viewer leaves the bytes of the disk as well', async () => {
  const seen = 'seen-by-one-alone';
  const state = join(place.dir, 'state');
  const started = Date.now() - 20_000;
  const events = [
    { at: started, type: 'play', title: seen, positionSeconds: 0 },
    { at: started + 11_000, type: 'stop', title: seen, positionSeconds: 11 },
  ];
  expect((await beacon(world, { sid: 'written-down', consent: personal, events })).status).toBe(204);
  await expect.poll(() => isOnDisk(state, seen), { timeout: 5_000, interval: 20 }).toBe(true);
  expect(await world.ask('DELETE', '/viewers/written-down')).toEqual({ sessions: 1, rows: 1 });
  expect(isOnDisk(state, seen)).toBe(false);
});

test('nearcast erase does the same from the command line', async () => {
  await watch('erased-by-command', personal);
  const erased = await command(['erase', 'erased-by-command', '--socket', world.socket]);
  expect(JSON.parse(erased.stdout)).toEqual({ sessions: 1, rows: 1 });
  expect(await world.ask('GET', '/explain?sid=erased-by-command')).toMatchObject({ session: null });
});

test('what a player tells of itself reaches neither the origin nor the key', async () => {
  const path = title.segments[1] ?? '';
  const cmcd = (sid: string) => encodeURIComponent(`sid="${sid}",ot=v,br=1200,nor="2.m4s"`);
  const first = await world.get(`${path}?CMCD=${cmcd('viewer-a')}`);
  const second = await world.get(`${path}?CMCD=${cmcd('viewer-b')}`);
  const third = await world.get(path, { 'cmcd-session': 'sid="viewer-c",v=1', 'cmcd-request': 'mtp=20000' });
  expect([first, second, third].map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(second.headers.get('cache-status')).toMatch(/; ?hit\b/);
  expect(third.headers.get('cache-status')).toMatch(/; ?hit\b/);
  const [asked, ...more] = world.origin.seen(path);
  expect(more).toEqual([]);
  expect(asked?.url).toBe(path);
  // The one that filled the cache may be a header sender just as well.
  const other = title.segments[2] ?? '';
  await world.get(other, { 'cmcd-session': 'sid="viewer-d",v=1', 'cmcd-status': 'bs' });
  expect(JSON.stringify(world.origin.seen(other))).not.toMatch(/cmcd|viewer-d/i);
});

test.each([
  ['not JSON', '{', 'application/json', 'EVENTS_NOT_JSON'],
  ['another version', '{"version":2}', 'application/json', 'EVENTS_VERSION'],
  ['no sid', '{"version":1,"consent":"none","events":[]}', 'text/plain', 'EVENTS_INVALID'],
  ['nothing of CMCD', '', 'application/cmcd', 'EVENTS_INVALID'],
])('a beacon with %s is a 400 with its code', async (_name, body, type, code) => {
  const answer = await fetch(`${world.url}/.nearcast/events`, {
    method: 'POST',
    headers: { 'content-type': type },
    body,
  });
  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({ code });
});

test('a beacon as a browser sends it on leaving, text/plain, is taken', async () => {
  const body = JSON.stringify({
    version: 1,
    sid: 'leaving',
    consent: 'none',
    events: [{ at: Date.now(), type: 'stop', title: 'private-film' }],
  });
  const headers = { 'content-type': 'text/plain;charset=UTF-8' };
  expect((await fetch(`${world.url}/.nearcast/events`, { method: 'POST', headers, body })).status).toBe(204);
});

test('a beacon over the limit is refused, and the node goes on', async () => {
  const body = JSON.stringify({ version: 1, sid: 'x', consent: 'none', events: [], filler: 'x'.repeat(40_000) });
  const answer = await fetch(`${world.url}/.nearcast/events`, { method: 'POST', body }).catch(() => undefined);
  if (answer !== undefined) expect([400, 413]).toContain(answer.status);
  expect((await world.get('/.nearcast/titles')).status).toBe(200);
});

test('reports of CMCD in their own media type are taken', async () => {
  const before = sample(await world.metrics(), 'nearcast_events_total{outcome="accepted"}');
  const body = `e=ps,sta=s,sid="cmcd-player",cid="private-film",ts=${Date.now()},v=2\n`;
  const answer = await fetch(`${world.url}/.nearcast/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/cmcd' },
    body,
  });
  expect(answer.status).toBe(204);
  expect(sample(await world.metrics(), 'nearcast_events_total{outcome="accepted"}')).toBe(before + 1);
});

test('one viewer who floods is bounded, and what is left out is counted', async () => {
  const events = Array.from({ length: 40 }, () => ({ type: 'seek', title: 'private-film', positionSeconds: 1 }));
  const before = await world.metrics();
  for (const _ of [1, 2, 3])
    expect((await beacon(world, { sid: 'flood', consent: personal, events })).status).toBe(204);
  const after = await world.metrics();
  const grown = (outcome: string) => {
    const name = `nearcast_events_total{outcome="${outcome}"}`;
    return sample(after, name) - sample(before, name);
  };
  expect(grown('accepted') + grown('dropped')).toBe(120);
  // A minute may turn between two beacons.
  expect(grown('dropped')).toBeGreaterThanOrEqual(20);
});

test('after all of that no file of the node has a session id of anybody', async () => {
  const everybody = [
    'no-consent-7f3a',
    'consenting-1',
    'erased-by-call',
    'erased-by-command',
    'viewer-a',
    'cmcd-player',
  ];
  await world.stop();
  expect(isOnDisk(place.dir, 'private-film')).toBe(true);
  for (const sid of everybody) expect(isOnDisk(place.dir, sid), sid).toBe(false);
  const lines = JSON.stringify(world.logged());
  for (const sid of everybody) expect(lines.includes(sid), `${sid} in the log`).toBe(false);
});
