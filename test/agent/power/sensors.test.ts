// Sensors over trees of files as real hosts have them: a server with RAPL, a Jetson Orin, a virtual machine with none;
// and files that are gone, forbidden, endless or never answer.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openSensors, type Sensors } from '../../../agent/power/sensors.ts';

let root: string;
let now = 0;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nearcast-sysfs-'));
  now = 1_000_000;
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(files: Readonly<Record<string, string | number>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
}
// A loaded machine must not make a sensor late.
const open = (): Sensors => openSensors({ root, now: () => now, deadlineMs: 60_000 });

const SERVER = {
  'class/thermal/thermal_zone0/type': 'acpitz',
  'class/thermal/thermal_zone0/temp': 27_800,
  'class/thermal/thermal_zone1/type': 'x86_pkg_temp',
  'class/thermal/thermal_zone1/temp': 61_000,
  'class/thermal/thermal_zone1/trip_point_0_type': 'passive',
  'class/thermal/thermal_zone1/trip_point_0_temp': 0,
  'class/thermal/thermal_zone1/trip_point_1_type': 'critical',
  'class/thermal/thermal_zone1/trip_point_1_temp': 105_000,
  'class/thermal/cooling_device0/type': 'Processor',
  'class/thermal/cooling_device0/cur_state': 0,
  'class/thermal/cooling_device1/type': 'intel_powerclamp',
  'class/thermal/cooling_device1/cur_state': 3,
  'class/hwmon/hwmon0/name': 'nvme',
  'class/hwmon/hwmon0/temp1_input': 41_000,
  'class/hwmon/hwmon1/name': 'coretemp',
  'class/hwmon/hwmon1/temp1_input': 60_000,
  'class/hwmon/hwmon1/temp1_label': 'Package id 0',
  'class/hwmon/hwmon1/temp1_crit': 100_000,
  'class/powercap/intel-rapl:0/name': 'package-0',
  'class/powercap/intel-rapl:0/energy_uj': 262_143_000_000,
  'class/powercap/intel-rapl:0/max_energy_range_uj': 262_143_328_850,
  'class/powercap/intel-rapl:0:0/name': 'core',
  'class/powercap/intel-rapl:0:0/energy_uj': 5_000_000,
  'class/powercap/intel-rapl:0:0/max_energy_range_uj': 262_143_328_850,
  'class/powercap/intel-rapl-mmio:0/name': 'package-0',
  'class/powercap/intel-rapl-mmio:0/energy_uj': 1,
  'devices/system/cpu/cpu0/thermal_throttle/core_throttle_count': 3,
  'devices/system/cpu/cpu1/thermal_throttle/core_throttle_count': 4,
};

const ORIN = {
  'class/thermal/thermal_zone0/type': 'cpu-thermal',
  'class/thermal/thermal_zone0/temp': 51_250,
  'class/thermal/thermal_zone0/trip_point_0_type': 'passive',
  'class/thermal/thermal_zone0/trip_point_0_temp': 99_000,
  'class/thermal/thermal_zone0/trip_point_1_type': 'active',
  'class/thermal/thermal_zone0/trip_point_1_temp': 50_000,
  'class/thermal/thermal_zone8/type': 'tj-thermal',
  'class/thermal/thermal_zone8/temp': 52_000,
  'class/thermal/cooling_device0/type': 'cpufreq-cpu0',
  'class/thermal/cooling_device0/cur_state': 2,
  'class/hwmon/hwmon1/name': 'ina3221',
  'class/hwmon/hwmon1/in1_label': 'VDD_IN',
  'class/hwmon/hwmon1/in1_input': 5_040,
  'class/hwmon/hwmon1/curr1_input': 1_500,
  'class/hwmon/hwmon1/in2_label': 'VDD_CPU_GPU_CV',
  'class/hwmon/hwmon1/in2_input': 5_000,
  'class/hwmon/hwmon1/curr2_input': 400,
  'class/hwmon/hwmon1/in3_label': 'NC',
  'class/hwmon/hwmon1/curr3_input': 0,
  // The sum of shunts, which has no channel of its own.
  'class/hwmon/hwmon1/curr4_input': 1_900,
};

/** Root reads everything: what it does here it does as somebody else. */
async function asNobody<Result>(work: () => Promise<Result>): Promise<Result> {
  if (process.getuid?.() !== 0) return work();
  chmodSync(root, 0o755);
  process.seteuid?.('nobody');
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

describe('a server', () => {
  test('shows zones with their trips, rails by their counters, and what the kernel throttles', async () => {
    write(SERVER);
    const sensors = open();
    const first = await sensors.read();
    expect(first).toMatchObject({ throttles: 7, isThrottled: false, at: now });
    expect(first.zones).toEqual([
      { zone: 'acpitz', celsius: 27.8, tripCelsius: undefined, isProcessor: false },
      { zone: 'x86_pkg_temp', celsius: 61, tripCelsius: 105, isProcessor: true },
      { zone: 'coretemp Package id 0', celsius: 60, tripCelsius: 100, isProcessor: true },
    ]);
    expect(first.rails).toEqual([
      { rail: 'package-0', watts: undefined, joules: 0 },
      { rail: 'core', watts: undefined, joules: 0 },
    ]);

    // The package's counter begins anew in between.
    now += 2_000;
    write({
      'class/powercap/intel-rapl:0/energy_uj': 79_671_149,
      'class/powercap/intel-rapl:0:0/energy_uj': 45_000_000,
    });
    expect((await sensors.read()).rails).toEqual([
      { rail: 'package-0', watts: 40, joules: 80 },
      { rail: 'core', watts: 20, joules: 40 },
    ]);
  });

  test('whose counters are for root alone has no rails, and says why', async () => {
    write(SERVER);
    for (const name of ['intel-rapl:0', 'intel-rapl:0:0'])
      chmodSync(join(root, 'class/powercap', name, 'energy_uj'), 0);
    const reading = await asNobody(() => open().read());
    expect(reading.rails).toEqual([]);
    expect(reading.faults.get('package-0')).toBe('cannot be read');
  });
});

describe('a Jetson', () => {
  test('shows its input and the channels that are connected, from volts and amperes', async () => {
    write(ORIN);
    const sensors = open();
    const first = await sensors.read();
    expect(first.zones).toEqual([
      { zone: 'cpu-thermal', celsius: 51.25, tripCelsius: 99, isProcessor: true },
      { zone: 'tj-thermal', celsius: 52, tripCelsius: undefined, isProcessor: true },
    ]);
    expect(first.rails).toEqual([
      { rail: 'VDD_IN', watts: 7.56, joules: 0 },
      { rail: 'VDD_CPU_GPU_CV', watts: 2, joules: 0 },
    ]);
    expect(first).toMatchObject({ isThrottled: true, throttles: undefined });
    now += 10_000;
    expect((await sensors.read()).rails[1]).toEqual({ rail: 'VDD_CPU_GPU_CV', watts: 2, joules: 20 });
  });

  test('whose zone is off until later shows it from then on, and as lost after that', async () => {
    write({ ...ORIN, 'class/thermal/thermal_zone1/type': 'cpu-cv', 'class/thermal/thermal_zone1/temp': '' });
    const sensors = open();
    const zone = async () => (await sensors.read()).zones.find((known) => known.zone === 'cpu-cv');
    expect(await zone()).toBeUndefined();
    write({ 'class/thermal/thermal_zone1/temp': 40_000 });
    expect((await zone())?.celsius).toBe(40);
    rmSync(join(root, 'class/thermal/thermal_zone1'), { recursive: true });
    const lost = await sensors.read();
    expect(lost.zones.find((known) => known.zone === 'cpu-cv')).toMatchObject({ celsius: undefined });
    expect(lost.faults.get('cpu-cv')).toBe('cannot be read');
  });
});

describe('a host', () => {
  test('without any sensor, or without sysfs, has nothing to show and no fault', async () => {
    write({ 'class/thermal/cooling_device0/type': 'something' });
    const nothing = { zones: [], rails: [], throttles: undefined, isThrottled: false, faults: new Map() };
    expect(await open().read()).toEqual({ at: now, ...nothing });
    rmSync(root, { recursive: true });
    expect(await open().read()).toEqual({ at: now, ...nothing });
  });

  test.each([
    ['not a number', 'NaN', 'says NaN'],
    ['absurd', '999999999', 'says 999999999'],
    ['endless', '1'.repeat(1_000_000), `says ${'1'.repeat(20)}`],
    ['binary', '\u0000\u0001', 'says \u0000\u0001'],
  ])('whose sensor is %s calls it lost', async (_name, text, fault) => {
    write(SERVER);
    const sensors = open();
    await sensors.read();
    write({ 'class/thermal/thermal_zone1/temp': text });
    const reading = await sensors.read();
    expect(reading.zones[1]).toMatchObject({ zone: 'x86_pkg_temp', celsius: undefined });
    expect(reading.faults.get('x86_pkg_temp')).toBe(fault);
    write({ 'class/thermal/thermal_zone1/temp': 70_000 });
    expect((await sensors.read()).zones[1]).toMatchObject({ celsius: 70 });
  });

  test('whose sensor is a pipe, a folder or another zone of the same name goes on', async () => {
    write(SERVER);
    rmSync(join(root, 'class/thermal/thermal_zone0/temp'));
    execFileSync('mkfifo', [join(root, 'class/thermal/thermal_zone0/temp')]);
    mkdirSync(join(root, 'class/thermal/thermal_zone2/temp'), { recursive: true });
    write({ 'class/thermal/thermal_zone3/type': 'x86_pkg_temp', 'class/thermal/thermal_zone3/temp': 50_000 });
    const reading = await open().read();
    expect(reading.zones.map(({ zone }) => zone)).toEqual(['x86_pkg_temp', 'x86_pkg_temp-2', 'coretemp Package id 0']);
  });

  test('with very many sensors shows a bounded number', async () => {
    const many = Array.from({ length: 100 }, (_, at) => [
      [`class/thermal/thermal_zone${at}/type`, 'cpu'],
      [`class/thermal/thermal_zone${at}/temp`, 40_000],
    ]).flat();
    write(Object.fromEntries(many));
    expect((await open().read()).zones).toHaveLength(32);
  });

  test('whose sensors take too long has them lost, and waits for no more than the deadline', async () => {
    write(SERVER);
    const sensors = openSensors({ root, now: () => now, deadlineMs: 0 });
    expect((await sensors.read()).zones).toEqual([]);
    // The first reading goes on behind; until it is there the second has nothing either, and asks nothing anew.
    for (let tries = 0; tries < 1_000; tries += 1) {
      const reading = await sensors.read();
      if (reading.faults.get('x86_pkg_temp') !== 'no answer') continue;
      expect(reading.zones.map(({ celsius }) => celsius).filter((celsius) => celsius !== undefined)).toEqual([]);
      expect(reading.throttles).toBeUndefined();
      return;
    }
    expect.unreachable();
  });
});
