// `nearcast experiment` on a whole node: started, sessions enrolled by the previews they are shown, reported, stopped.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  beacon,
  catalogue,
  command,
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
  catalogue(place, [{ id: 'film', durationSeconds: 32 }]);
  world = await openWorld({ predict: { enabled: false } }, { place });
});
afterAll(async () => {
  await world?.close();
  await leavePlace(place);
});

const experiment = (...args: readonly string[]) => command(['experiment', ...args, '--socket', world.socket]);
const started = ['--variants', 'control=default:0.5,without=holdout:0.5'];
const consent = (sid: string) =>
  beacon(world, { sid, consent: 'personal', events: [{ type: 'hover', title: 'film' }] });
const preview = (sid: string) => world.get(`/.nearcast/preview/film.m3u8?sid=${sid}`);

test('a session that consented is in it once; half get a preview, half get none', async () => {
  expect(await experiment('start', 'what-previews-change', ...started)).toMatchObject({ code: 0 });
  expect(sample(await world.metrics(), 'nearcast_experiments_running')).toBe(1);
  const statuses: number[] = [];
  for (let n = 0; n < 16; n += 1) {
    await consent(`viewer-${n}`);
    const first = await preview(`viewer-${n}`);
    expect((await preview(`viewer-${n}`)).status).toBe(first.status);
    expect(first.headers.get('nearcast-arm') === null).toBe(first.status !== 200);
    statuses.push(first.status);
  }
  expect((await preview('never-asked')).status).toBe(200);
  expect(new Set(statuses)).toEqual(new Set([200, 409]));
  const { stdout } = await experiment('list');
  expect(JSON.parse(stdout)).toMatchObject({ experiments: [{ id: 'what-previews-change', units: 16 }] });
});

describe('reports', () => {
  test('as text, JSON and a page', async () => {
    const text = await experiment('report', 'what-previews-change');
    expect(text.stdout).toMatch(/shares as planned[\s\S]*played, without: too-little/);
    const json = JSON.parse((await experiment('report', 'what-previews-change', '--json')).stdout);
    expect(json.variants.reduce((sum: number, { units }: { units: number }) => sum + units, 0)).toBe(16);
    const file = join(place.dir, 'report.html');
    expect(await experiment('report', 'what-previews-change', '--html', file)).toMatchObject({ code: 0, stdout: '' });
    expect(readFileSync(file, 'utf8')).toContain('<h1>Experiment what-previews-change</h1>');
  });

  test('without an id: what other policies would have earned', async () => {
    expect((await experiment('report')).stdout).toMatch(/too little to tell|Nothing was chosen yet/);
    expect(JSON.parse((await experiment('report', '--json')).stdout)).toMatchObject({ version: 1 });
  });

  test('what this region learnt, for others', async () => {
    const { stdout } = await experiment('priors');
    expect(JSON.parse(stdout)).toMatchObject({ version: 1, regions: expect.anything() });
  });
});

test('stopped, it enrols nobody; then it can be removed', async () => {
  expect(await experiment('remove', 'what-previews-change')).toMatchObject({ code: 1 });
  expect(await experiment('stop', 'what-previews-change')).toMatchObject({ code: 0 });
  for (let n = 0; n < 16; n += 1) expect((await preview(`viewer-${n}`)).status).toBe(200);
  expect(await experiment('remove', 'what-previews-change')).toMatchObject({ code: 0 });
  expect(JSON.parse((await experiment('list')).stdout)).toEqual({ experiments: [] });
});

test.each([
  ['no action', [], 64],
  ['an unknown action', ['dance', 'x'], 64],
  ['no id', ['start'], 64],
  ['no variants', ['start', 'x'], 64],
  ['malformed variants', ['start', 'x', '--variants', 'a=b'], 64],
  ['shares beyond 1', ['start', 'x', '--variants', 'a=default:0.9,b=linucb:0.9'], 1],
  ['a policy that nobody has', ['start', 'x', '--variants', 'a=default:0.5,b=magic:0.5'], 1],
  ['a ramp that is no number', ['start', 'x', '--variants', 'a=default:0.5,b=linucb:0.5', '--ramp', 'half'], 64],
  ['a report of nothing', ['report', 'nothing'], 1],
])('%s is refused', async (_name, args, code) => {
  const ended = await experiment(...args);
  expect(ended.code).toBe(code);
  expect(ended.stderr).not.toBe('');
  expect(existsSync(join(place.dir, 'nothing'))).toBe(false);
});
