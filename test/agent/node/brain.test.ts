// Prediction without its model process, and previews with their rewards, on a whole node.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  beacon,
  catalogue,
  leavePlace,
  makePlace,
  openWorld,
  type Place,
  publish,
  sample,
  type World,
} from './world.ts';

let place: Place;
let world: World;
beforeAll(async () => {
  place = await makePlace();
  publish(place, 'film', 8);
  publish(place, 'other', 4);
  catalogue(place, [{ id: 'film', durationSeconds: 32, nextId: 'other' }, { id: 'other' }, { id: 'without-package' }]);
  world = await openWorld({ predict: { enabled: true, deadlineMs: 2_000 } }, { place });
  await beacon(world, {
    sid: 'viewer',
    consent: 'personal',
    events: [{ type: 'play', title: 'film', positionSeconds: 0 }],
  });
  await world.line('model.ready');
});
afterAll(async () => {
  await world?.close();
  await leavePlace(place);
});

/** Process ids of the model processes that this process started. */
function modelProcesses(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const parent = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
        return parent === process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('model/child.ts');
      } catch {
        // It ended between the listing and the reading.
        return false;
      }
    });
}

const ofTitle = () => world.ask('GET', '/explain?title=film');
const ofViewer = () => world.ask('GET', '/explain?sid=viewer');

test('the model ranks, and explain names it', async () => {
  expect(await ofTitle()).toMatchObject({
    ranking: { titleId: 'film', answeredBy: 'model', place: expect.any(Number) },
  });
  // Nobody has watched a whole day of it: the demand says so, and what it would be made of.
  expect(await ofTitle()).toMatchObject({
    demand: { model: 'hours-1', why: 'no whole day has been counted yet', madeOf: { hoursByDay: [], judged: 0 } },
  });
  expect(await ofViewer()).toMatchObject({ ranking: { answeredBy: 'model', titles: expect.anything() } });
  expect(await world.metrics()).toMatch(/nearcast_model_info\{alias="champion",version="[0-9a-f]{12}"\} 1/);
});

test('what a consented viewer does makes a plan at once, and says how long it took', async () => {
  const plans = async () => sample(await world.metrics(), 'nearcast_predict_duration_seconds_count{step="plan"}');
  await expect.poll(plans, { interval: 5, timeout: 5_000 }).toBeGreaterThan(0);
  const before = await plans();
  await beacon(world, { sid: 'viewer', consent: 'personal', events: [{ type: 'hover', title: 'other' }] });
  await expect.poll(plans, { interval: 5, timeout: 5_000 }).toBeGreaterThan(before);
});

test('its process killed, rules answer at once, and it comes back', async () => {
  const [pid, ...more] = modelProcesses();
  expect(more).toEqual([]);
  if (pid === undefined) throw new Error('no model process');
  process.kill(pid, 'SIGKILL');
  expect(await ofTitle()).toMatchObject({ ranking: { titleId: 'film', answeredBy: 'rules' } });
  expect(await ofViewer()).toMatchObject({ ranking: { answeredBy: 'rules', titles: expect.anything() } });
  await expect
    .poll(() => world.ask('GET', '/models'), { timeout: 10_000, interval: 20 })
    .toMatchObject({ running: [{ alias: 'champion' }] });
  expect(await ofTitle()).toMatchObject({ ranking: { answeredBy: 'model' } });
  expect(modelProcesses()).not.toContain(pid);
  expect(sample(await world.metrics(), 'nearcast_model_child_restarts_total')).toBe(1);
});

test('with predict.enabled false there is no process, and rules answer', async () => {
  const before = modelProcesses();
  const plain = await openWorld({}, { place: { dir: `${place.dir}/plain`, origin: place.origin } });
  try {
    publish({ dir: plain.dir, origin: place.origin }, 'film', 8);
    await beacon(plain, { sid: 'a', consent: 'personal', events: [{ type: 'play', title: 'film' }] });
    expect(await plain.ask('GET', '/explain?sid=a')).toMatchObject({ ranking: { answeredBy: 'rules' } });
    await expect(plain.ask('GET', '/models')).rejects.toThrow(/without a model/);
    expect(modelProcesses()).toEqual(before);
  } finally {
    await plain.close();
  }
});

test('a folder of models that cannot be made leaves rules, and the node serves', async () => {
  const dir = `${place.dir}/no-models`;
  mkdirSync(`${dir}/state`, { recursive: true });
  writeFileSync(`${dir}/state/models`, 'a file');
  const before = modelProcesses();
  const node = await openWorld({ predict: { enabled: true } }, { place: { dir, origin: place.origin } });
  try {
    expect(await node.line('model.registry')).toMatchObject({ level: 'error' });
    await beacon(node, { sid: 'a', consent: 'personal', events: [{ type: 'play', title: 'film' }] });
    expect(await node.ask('GET', '/explain?sid=a')).toMatchObject({ ranking: { answeredBy: 'rules' } });
    expect(modelProcesses()).toEqual(before);
  } finally {
    await node.close();
    // A second close finds nothing to do.
    await node.close();
  }
});

const rewards = async (result: string) =>
  sample(await world.metrics(), `nearcast_preview_rewards_total{outcome="${result}"}`);
const open = (rewardToken: string) =>
  beacon(world, { sid: 'viewer', consent: 'personal', events: [{ type: 'open', title: 'film', rewardToken }] });

test('a preview plays existing segments, and its token is good for one reward', async () => {
  const asked = await world.get('/.nearcast/preview/film.m3u8?sid=viewer');
  expect(asked.status).toBe(200);
  expect(asked.headers.get('cache-control')).toMatch(/private.*no-store/);
  const token = asked.headers.get('nearcast-arm') ?? '';
  expect(token).not.toBe('');
  const segments = asked.body
    .toString()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  expect(segments.length).toBeGreaterThan(0);
  for (const segment of segments) {
    const path = new URL(segment, `${world.url}/.nearcast/preview/film.m3u8`).pathname;
    expect((await world.get(path)).status, path).toBe(200);
  }
  const before = await rewards('played');
  expect((await open(token)).status).toBe(204);
  expect(await rewards('played')).toBe(before + 1);
  expect((await open(token)).status).toBe(204);
  expect(await rewards('played')).toBe(before + 1);
  expect(await rewards('replayed')).toBe(1);
});

test('a token that somebody made up, or that was changed, gives nothing', async () => {
  const asked = await world.get('/.nearcast/preview/film.m3u8');
  const token = asked.headers.get('nearcast-arm') ?? '';
  const before = await rewards('played');
  await open(`${token.slice(0, 30)}${token[30] === 'A' ? 'B' : 'A'}${token.slice(31)}`);
  await open('made-up');
  expect(await rewards('played')).toBe(before);
  expect(await rewards('forged')).toBe(1);
  expect(await rewards('malformed')).toBe(1);
});

test.each([
  ['a title that nobody knows', '/.nearcast/preview/nothing.m3u8', 404],
  ['a name that is no playlist', '/.nearcast/preview/film', 404],
  ['a name that is no text', '/.nearcast/preview/%ff.m3u8', 404],
  ['a name that climbs', '/.nearcast/preview/..%2F..%2Fstate.m3u8', 400],
])('a preview of %s is refused with a code', async (_name, path, status) => {
  const got = await world.get(path);
  expect(got.status).toBe(status);
  expect(got.headers.get('nearcast-arm')).toBeNull();
});

test('a title without a package yet has no preview, and is listed as not ready', async () => {
  const got = await world.get('/.nearcast/preview/without-package.m3u8');
  expect(got.status).toBe(409);
  const listed = JSON.parse((await world.get('/.nearcast/titles')).body.toString());
  expect(listed).toMatchObject([
    { id: 'film', ready: true, nextId: 'other' },
    { id: 'other', ready: true },
    { id: 'without-package', ready: false, poster: null },
  ]);
});

test('with preview.enabled false there are no previews, and the rest is there', async () => {
  const plain = await openWorld(
    { preview: { enabled: false } },
    { place: { dir: `${place.dir}/no-previews`, origin: place.origin } },
  );
  try {
    publish({ dir: plain.dir, origin: place.origin }, 'film', 8);
    catalogue(plain, [{ id: 'film' }]);
    const got = await plain.get('/.nearcast/preview/film.m3u8?sid=viewer');
    expect(got.status).toBe(404);
    expect(JSON.parse(got.body.toString())).toMatchObject({ code: 'ROUTE_NOT_FOUND' });
    expect((await plain.get('/.nearcast/titles')).status).toBe(200);
  } finally {
    await plain.close();
  }
});

test("a path of the control socket that is no text is the asker's mistake", async () => {
  await expect(world.ask('DELETE', '/viewers/%ff')).rejects.toThrow(/\(400\)/);
});
