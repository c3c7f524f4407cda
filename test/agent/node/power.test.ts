// A node on a host that gets too hot: what it says of it, and what waits; the plan of encodes and why a title is in none.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { renderStatus } from '../../../agent/commands/status-text.ts';
import { leavePlace, makePlace, openWorld, type Place, sample, type World } from './world.ts';

let place: Place;
let world: World;
const write = (path: string, text: string): void => {
  mkdirSync(dirname(join(place.dir, path)), { recursive: true });
  writeFileSync(join(place.dir, path), text);
};
beforeAll(async () => {
  place = await makePlace();
  write('sys/class/thermal/thermal_zone0/type', 'cpu-thermal\n');
  write('sys/class/thermal/thermal_zone0/temp', '91000\n');
  write('sys/class/thermal/thermal_zone0/trip_point_0_type', 'passive\n');
  write('sys/class/thermal/thermal_zone0/trip_point_0_temp', '95000\n');
  write('sys/class/hwmon/hwmon0/name', 'ina3221\n');
  write('sys/class/hwmon/hwmon0/in1_label', 'VDD_IN\n');
  write('sys/class/hwmon/hwmon0/in1_input', '5000\n');
  write('sys/class/hwmon/hwmon0/curr1_input', '3000\n');
  const titles = [
    { id: 'film', durationSeconds: 3600 },
    { id: 'sealed', source: 'sealed', manifestUrl: '/x/p.m3u8' },
    { id: 'foreign', manifestUrl: 'https://elsewhere.example/p.m3u8' },
    { id: 'queued', durationSeconds: 60 },
  ];
  write('catalogue.jsonl', titles.map((title) => JSON.stringify(title)).join('\n'));
  world = await openWorld({ encode: { enabled: true }, power: { sysfsRoot: 'sys', wattsBudget: 40 } }, { place });
});
afterAll(async () => {
  await world?.close();
  await leavePlace(place);
});

test('says so in status and metrics, and lets no encode begin', async () => {
  expect(await world.ask('POST', '/encode', { input: join(place.dir, 'none.mp4'), id: 'queued' })).toEqual({
    isNew: true,
  });
  const status = await world.ask('GET', '/status');
  expect(status).toMatchObject({
    power: { pace: 0, reason: 'heat', watts: 15, celsius: { 'cpu-thermal': 91 }, lost: [] },
    encodes: [{ id: 'queued', state: 'queued' }],
  });
  expect(renderStatus(status)).toMatch(/background +paused \(heat\), 15\.0 W, hottest 91 C\n/);
  const metrics = await world.metrics();
  expect(sample(metrics, 'nearcast_power_pace_ratio')).toBe(0);
  expect(sample(metrics, 'nearcast_power_watts{rail="VDD_IN"}')).toBe(15);
  expect(sample(metrics, 'nearcast_temperature_celsius{zone="cpu-thermal"}')).toBe(91);
  expect(sample(metrics, 'nearcast_power_held{reason="heat"}')).toBe(1);
  expect(sample(metrics, 'nearcast_encode_waiting{reason="power"}')).toBe(1);
});

test('plans what waits, with its worth and cost, and says why the others do not', async () => {
  await world.ask('POST', '/encode', { input: join(place.dir, 'rare.mp4'), id: 'rare', when: 'pays', sourceBytes: 7 });
  await world.ask('POST', '/encode', { input: join(place.dir, 'soon.mp4'), id: 'soon', deadlineSeconds: 600 });
  expect(await world.ask('GET', '/plan')).toMatchObject({
    encodes: {
      jobs: [
        { id: 'soon', waitsFor: 'power', dueAt: expect.any(Number), worth: { savedBytes: 0 } },
        { id: 'queued', waitsFor: 'power', isForced: true, worth: { cpuHours: expect.any(Number) } },
        { id: 'rare', waitsFor: 'worth', isForced: false, worth: { pays: false, sourceBytes: 7 } },
      ],
      notEncoded: [
        { id: 'film', why: 'no-source' },
        { id: 'sealed', why: 'sealed' },
        { id: 'foreign', why: 'elsewhere' },
      ],
    },
  });
});

test.each([
  [{ when: 'later' }, /when must be now or pays/],
  [{ deadlineSeconds: 'soon' }, /numbers/],
  [{ sourceBytes: -1 }, /numbers/],
  [{ deadlineSeconds: 0 }, /\(400\)/],
])('refuses a job with %j', async (part, message) => {
  const job = { input: '/nothing', id: 'odd', ...part };
  await expect(world.ask('POST', '/encode', job)).rejects.toThrow(message);
});
