// The room of power over a tree of sensors that changes: the pace falls and comes back, everybody hears of it, nothing
// throws.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { newHistogram } from '../../../agent/histogram.ts';
import { openLoad } from '../../../agent/power/load.ts';
import { openPower, type Power } from '../../../agent/power/power.ts';
import { openSensors } from '../../../agent/power/sensors.ts';

let root: string;
let now: number;
let power: Power;
let logged: string[];
const write = (path: string, text: string | number): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), `${text}\n`);
};
const heat = (celsius: number): void => write('class/thermal/thermal_zone0/temp', celsius * 1000);
/** The next reading, so much later on the node's clock. */
const next = (ms = 2_000): Promise<void> => {
  now += ms;
  return new Promise((resolve) => {
    // Of one that was under way when the sensors changed the next but one is sure.
    let left = 2;
    const end = power.onReading(() => {
      left -= 1;
      if (left > 0) return;
      end();
      resolve();
    });
  });
};

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'nearcast-power-'));
  now = 1_000_000;
  logged = [];
  write('class/thermal/thermal_zone0/type', 'x86_pkg_temp');
  write('class/thermal/thermal_zone0/trip_point_0_type', 'passive');
  write('class/thermal/thermal_zone0/trip_point_0_temp', 95_000);
  write('class/powercap/intel-rapl:0/name', 'package-0');
  write('class/powercap/intel-rapl:0/energy_uj', 1_000_000);
  heat(50);
  power = await openPower({
    limits: { wattsBudget: null, degreesBudget: null },
    // A loaded machine must not make a sensor late.
    sensors: openSensors({ root, now: () => now, deadlineMs: 60_000 }),
    load: openLoad(join(root, 'proc')),
    hits: newHistogram,
    isActive: () => true,
    log: (_level, event) => logged.push(event),
    periodMs: 1,
  });
});
afterEach(() => {
  power.close();
  rmSync(root, { recursive: true, force: true });
});

test('row 44: heat pauses before the trip, urgently, and ends; a lost sensor slows down; none of it throws', async () => {
  expect(power.pace()).toEqual({ pace: 1, reason: 'none', isUrgent: false });
  expect(power.stats()).toMatchObject({ celsius: { x86_pkg_temp: 50 }, rails: {}, lost: [], pauses: 0 });
  write('class/powercap/intel-rapl:0/energy_uj', 81_000_000);
  heat(90);
  await next();
  expect(power.pace()).toEqual({ pace: 0, reason: 'heat', isUrgent: true });
  expect(power.stats()).toMatchObject({ joules: 80, pauses: 1 });
  expect(power.joules()).toBe(80);
  heat(50);
  await next(61_000);
  for (let steps = 0; steps < 5 && power.pace().pace === 0; steps += 1) await next(20_000);
  expect(power.pace().pace).toBeGreaterThan(0);
  for (const text of ['NaN', '', '-999999']) {
    write('class/thermal/thermal_zone0/temp', text);
    await next();
    expect(power.pace()).toMatchObject({ reason: 'blind', isUrgent: false });
  }
  rmSync(join(root, 'class'), { recursive: true });
  await next();
  expect(power.stats()).toMatchObject({ lost: ['x86_pkg_temp', 'package-0'], celsius: {} });
  expect(logged).toEqual(['power.paused', 'power.resumed', 'power.sensor-lost', 'power.sensor-lost']);
});

test('a budget of watts that nothing measures is said at the start, and kept by guess', async () => {
  const blind = await openPower({
    limits: { wattsBudget: 30, degreesBudget: null },
    sensors: openSensors({ root: join(root, 'nowhere'), now: () => now }),
    load: openLoad('/proc'),
    hits: newHistogram,
    isActive: () => true,
    log: (level, event) => logged.push(`${level} ${event}`),
  });
  expect(blind.pace()).toEqual({ pace: 0.25, reason: 'blind', isUrgent: false });
  expect(logged).toEqual(['warn power.no-watts']);
  blind.close();
});

test('a host without sensors has a pace, and nothing to show', async () => {
  const none = await openPower({
    limits: { wattsBudget: null, degreesBudget: null },
    sensors: openSensors({ root: join(root, 'nowhere'), now: () => now }),
    load: openLoad('/proc'),
    hits: newHistogram,
    isActive: () => false,
    log: () => undefined,
  });
  expect(none.pace()).toEqual({ pace: 1, reason: 'none', isUrgent: false });
  expect(none.stats()).toMatchObject({
    watts: undefined,
    joules: undefined,
    rails: {},
    celsius: {},
    lost: [],
    faults: {},
  });
  none.close();
});
