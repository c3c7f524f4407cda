// Reads what a host tells of its heat and power below sysfs: thermal zones, hwmon, INA3221, RAPL, throttle counters. What
// is absent, unreadable or absurd is a value, never an error; one file at a time, so a driver that hangs holds one thread.
import { constants, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type EnergyCount,
  joulesBetween,
  parseCelsius,
  parseTrip,
  parseWhole,
  plausibleWatts,
  type Rail,
  type Reading,
  type Zone,
} from './reading.ts';

/** What openSensors() needs. `root`: where /sys is; another one for tests and containers. */
export type SensorsOptions = {
  readonly root: string;
  readonly now: () => number;
  /** All sensors of a host within this; default READ_MS, and FIRST_MS for the first reading, which looks for them. */
  readonly deadlineMs?: number;
};

/** Open sensors. */
export type Sensors = {
  /** Never rejects. After the deadline it gives what it has; what is missing then counts as lost. */
  readonly read: () => Promise<Reading>;
};

/** Sysfs answers in microseconds, slow I2C chips in milliseconds. */
const READ_MS = 1_000;
const FIRST_MS = 5_000;
/** A value of sysfs is a line; more is something else. */
const MAX_BYTES = 256;
const MAX_ENTRIES = 256;
const MAX_ZONES = 32;
const MAX_RAILS = 16;
const MAX_CORES = 64;
/** Readings between two looks for sensors that came later. */
const READINGS_PER_SEARCH = 150;

/** Zones that the processor heats, by their type or chip. */
const PROCESSOR = /cpu|pkg|coretemp|k10temp|zenpower|\btj|soc/i;
/** Chips of hwmon whose temperatures are the processor's. */
const PROCESSOR_CHIP = /^(coretemp|k10temp|zenpower|cpu_thermal|scpi_sensors)$/;

type ZoneSensor = Pick<Zone, 'zone' | 'tripCelsius' | 'isProcessor'> & { readonly path: string; wasRead: boolean };
type RailSource =
  | { readonly kind: 'energy'; readonly path: string; readonly range: number | undefined }
  | { readonly kind: 'power'; readonly path: string }
  | { readonly kind: 'product'; readonly volts: string; readonly amperes: string };
type RailSensor = {
  readonly rail: string;
  readonly source: RailSource;
  joules: number;
  /** The last count of an energy counter. */
  counted: EnergyCount | undefined;
  /** When watts were last known, for rails that tell nothing else. */
  wattsAt: number | undefined;
  wasRead: boolean;
};

/** Found so far, by path; a sensor that vanishes stays here and is lost. */
type Found = {
  readonly zones: Map<string, ZoneSensor>;
  readonly rails: Map<string, RailSensor>;
  throttleCounters: readonly string[];
  coolers: readonly string[];
};

/** The text of a small file; undefined when it cannot be read. Never waits for a writer, as a pipe would ask for. */
async function readText(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
      return buffer.toString('utf8', 0, bytesRead).trim();
    } finally {
      await file.close();
    }
  } catch {
    // Absent, forbidden or failing: the caller counts it as no value.
    return undefined;
  }
}

async function entriesOf(folder: string, pattern: RegExp): Promise<readonly string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => pattern.test(name));
    return names.sort((one, other) => one.localeCompare(other, 'en', { numeric: true })).slice(0, MAX_ENTRIES);
  } catch {
    // A host without that class of devices.
    return [];
  }
}

/** A name that no other sensor has: the same one with a number behind it. */
function unlike(name: string, taken: Iterable<string>): string {
  const known = new Set(taken);
  for (let count = 1; ; count += 1) {
    const candidate = count === 1 ? name : `${name}-${count}`;
    if (!known.has(candidate)) return candidate;
  }
}

function addZone(found: Found, path: string, zone: Pick<ZoneSensor, 'zone' | 'tripCelsius' | 'isProcessor'>): void {
  if (found.zones.has(path) || found.zones.size >= MAX_ZONES) return;
  const names = [...found.zones.values()].map((known) => known.zone);
  found.zones.set(path, { ...zone, zone: unlike(zone.zone, names), path, wasRead: false });
}

function addRail(found: Found, key: string, { rail, source }: Pick<RailSensor, 'rail' | 'source'>): void {
  if (found.rails.has(key) || found.rails.size >= MAX_RAILS) return;
  const names = [...found.rails.values()].map((known) => known.rail);
  const fresh = { joules: 0, counted: undefined, wattsAt: undefined, wasRead: false };
  found.rails.set(key, { rail: unlike(rail, names), source, ...fresh });
}

/** The lowest trip at which the kernel slows down ("passive"), else the lowest at which it gives up. */
async function tripOf(zone: string): Promise<number | undefined> {
  const trips: { kind: string; celsius: number }[] = [];
  for (const name of await entriesOf(zone, /^trip_point_\d+_type$/)) {
    const kind = await readText(join(zone, name));
    const celsius = parseTrip(await readText(join(zone, name.replace('_type', '_temp'))));
    if (kind !== undefined && celsius !== undefined) trips.push({ kind, celsius });
  }
  for (const kinds of [['passive'], ['hot', 'critical']]) {
    const lowest = trips.filter(({ kind }) => kinds.includes(kind)).map(({ celsius }) => celsius);
    if (lowest.length > 0) return Math.min(...lowest);
  }
  return undefined;
}

async function findThermal(root: string, found: Found): Promise<void> {
  const folder = join(root, 'class/thermal');
  for (const name of await entriesOf(folder, /^thermal_zone\d+$/)) {
    const zone = join(folder, name);
    if (found.zones.has(join(zone, 'temp'))) continue;
    const type = (await readText(join(zone, 'type'))) || name;
    const tripCelsius = await tripOf(zone);
    addZone(found, join(zone, 'temp'), { zone: type, tripCelsius, isProcessor: PROCESSOR.test(type) });
  }
  const coolers: string[] = [];
  for (const name of await entriesOf(folder, /^cooling_device\d+$/)) {
    const type = (await readText(join(folder, name, 'type'))) ?? '';
    if (/cpufreq|^Processor$/i.test(type)) coolers.push(join(folder, name, 'cur_state'));
  }
  found.coolers = coolers;
}

/** Temperatures of processor chips, and supplies: an INA3221's channels by label, other meters' power in microwatts. */
async function findHwmon(root: string, found: Found): Promise<void> {
  const folder = join(root, 'class/hwmon');
  for (const name of await entriesOf(folder, /^hwmon\d+$/)) {
    const device = join(folder, name);
    const chip = (await readText(join(device, 'name'))) || name;
    const inputs = await entriesOf(device, /^(temp|curr|power)\d+_(input|average)$/);
    for (const input of inputs) {
      const [, kind = '', index = ''] = /^([a-z]+)(\d+)_/.exec(input) ?? [];
      const path = join(device, input);
      if (kind === 'temp' && PROCESSOR_CHIP.test(chip)) {
        const label = await readText(join(device, `temp${index}_label`));
        const limits = [`temp${index}_crit`, `temp${index}_max`].map((file) => readText(join(device, file)));
        const [crit, max] = (await Promise.all(limits)).map(parseTrip);
        const tripCelsius = crit ?? max;
        addZone(found, path, { zone: label ? `${chip} ${label}` : chip, tripCelsius, isProcessor: true });
      }
      if (kind === 'power') {
        const rail = (await readText(join(device, `power${index}_label`))) || `${chip} power${index}`;
        addRail(found, path, { rail, source: { kind: 'power', path } });
      }
      if (kind === 'curr' && !inputs.includes(`power${index}_input`)) {
        const rail = await readText(join(device, `in${index}_label`));
        // Channels without a label are not connected.
        if (!rail || rail === 'NC') continue;
        const source = { kind: 'product', volts: join(device, `in${index}_input`), amperes: path } as const;
        addRail(found, path, { rail, source });
      }
    }
  }
}

/** Running average power limit: intel-rapl:N packages and what is in them; AMD's come through the same interface. */
async function findRapl(root: string, found: Found): Promise<void> {
  const folder = join(root, 'class/powercap');
  for (const name of await entriesOf(folder, /^intel-rapl:\d+(:\d+)?$/)) {
    const path = join(folder, name, 'energy_uj');
    if (found.rails.has(path)) continue;
    const rail = await readText(join(folder, name, 'name'));
    const range = parseWhole(await readText(join(folder, name, 'max_energy_range_uj')));
    if (rail) addRail(found, path, { rail, source: { kind: 'energy', path, range } });
  }
}

async function findThrottleCounters(root: string, found: Found): Promise<void> {
  const folder = join(root, 'devices/system/cpu');
  const cores = (await entriesOf(folder, /^cpu\d+$/)).slice(0, MAX_CORES);
  const paths = cores.map((core) => join(folder, core, 'thermal_throttle/core_throttle_count'));
  found.throttleCounters = paths;
}

async function readZone(sensor: ZoneSensor, faults: Map<string, string>): Promise<Zone | undefined> {
  const text = await readText(sensor.path);
  const celsius = parseCelsius(text);
  const { zone, tripCelsius, isProcessor } = sensor;
  if (celsius === undefined) {
    faults.set(zone, text === undefined ? 'cannot be read' : `says ${text.slice(0, 20)}`);
    // Some zones are only there while their part of the chip is powered, and never were.
    if (!sensor.wasRead) return undefined;
  } else {
    sensor.wasRead = true;
  }
  return { zone, celsius, tripCelsius, isProcessor };
}

async function readRail(sensor: RailSensor, now: () => number, faults: Map<string, string>): Promise<Rail | undefined> {
  const watts =
    sensor.source.kind === 'energy'
      ? await wattsByCounter(sensor, sensor.source, now)
      : await wattsNow(sensor, sensor.source, now);
  if (watts === 'unreadable') {
    faults.set(sensor.rail, 'cannot be read');
    if (!sensor.wasRead) return undefined;
  } else {
    sensor.wasRead = true;
  }
  return { rail: sensor.rail, watts: watts === 'unreadable' ? undefined : watts, joules: sensor.joules };
}

async function wattsByCounter(
  sensor: RailSensor,
  { path, range }: Extract<RailSource, { kind: 'energy' }>,
  now: () => number,
): Promise<number | undefined | 'unreadable'> {
  const microjoules = parseWhole(await readText(path));
  const earlier = sensor.counted;
  if (microjoules === undefined || microjoules < 0) {
    return 'unreadable';
  }
  const later = { microjoules, at: now() };
  sensor.counted = later;
  if (earlier === undefined) return undefined;
  const joules = joulesBetween(earlier, later, range);
  if (joules === undefined) return undefined;
  sensor.joules += joules;
  return joules / ((later.at - earlier.at) / 1000);
}

async function wattsNow(
  sensor: RailSensor,
  source: Exclude<RailSource, { kind: 'energy' }>,
  now: () => number,
): Promise<number | undefined | 'unreadable'> {
  const volts = source.kind === 'power' ? 1 : parseWhole(await readText(source.volts));
  const amperes = parseWhole(await readText(source.kind === 'power' ? source.path : source.amperes));
  // Microwatts, or millivolts times milliamperes.
  const watts = plausibleWatts(((volts ?? Number.NaN) * (amperes ?? Number.NaN)) / 1e6);
  const at = now();
  if (watts === undefined) {
    sensor.wattsAt = undefined;
    return 'unreadable';
  }
  if (sensor.wattsAt !== undefined) sensor.joules += (watts * Math.max(0, at - sensor.wattsAt)) / 1000;
  sensor.wattsAt = at;
  return watts;
}

async function readThrottles(paths: readonly string[]): Promise<number | undefined> {
  let sum: number | undefined;
  for (const path of paths) {
    const count = parseWhole(await readText(path));
    if (count === undefined) break;
    sum = (sum ?? 0) + count;
  }
  return sum;
}

/** Opens sensors; nothing is read before the first read(). */
export function openSensors({ root, now, deadlineMs }: SensorsOptions): Sensors {
  const found: Found = { zones: new Map(), rails: new Map(), throttleCounters: [], coolers: [] };
  let readings = 0;
  let running: Promise<Reading> | undefined;
  const readAll = async (): Promise<Reading> => {
    if (readings % READINGS_PER_SEARCH === 0) {
      for (const find of [findThermal, findHwmon, findRapl, findThrottleCounters]) await find(root, found);
    }
    readings += 1;
    const faults = new Map<string, string>();
    const zones: Zone[] = [];
    const rails: Rail[] = [];
    for (const sensor of found.zones.values()) zones.push(...maybe(await readZone(sensor, faults)));
    for (const sensor of found.rails.values()) rails.push(...maybe(await readRail(sensor, now, faults)));
    const throttles = await readThrottles(found.throttleCounters);
    let isThrottled = false;
    for (const path of found.coolers) isThrottled ||= (parseWhole(await readText(path)) ?? 0) > 0;
    return { at: now(), zones, rails, throttles, isThrottled, faults };
  };
  /** While a driver hangs: what was there before is lost. */
  const lost = (): Reading => {
    const faults = new Map<string, string>();
    const zones = [...found.zones.values()].filter(({ wasRead }) => wasRead);
    const rails = [...found.rails.values()].filter(({ wasRead }) => wasRead);
    for (const { zone } of zones) faults.set(zone, 'no answer');
    for (const { rail } of rails) faults.set(rail, 'no answer');
    return {
      at: now(),
      zones: zones.map(({ zone, tripCelsius, isProcessor }) => ({
        zone,
        celsius: undefined,
        tripCelsius,
        isProcessor,
      })),
      rails: rails.map(({ rail, joules }) => ({ rail, watts: undefined, joules })),
      throttles: undefined,
      isThrottled: false,
      faults,
    };
  };
  return {
    read: async () => {
      const isFirst = readings === 0;
      running ??= readAll().finally(() => {
        running = undefined;
      });
      const cancel = new AbortController();
      const limitMs = deadlineMs ?? (isFirst ? FIRST_MS : READ_MS);
      const late = delay(limitMs, undefined, { signal: cancel.signal }).then(lost);
      const reading = await Promise.race([running, late]);
      cancel.abort();
      // Cut short by the abort above: nobody waits for it any more.
      late.catch(() => undefined);
      return reading;
    },
  };
}

const maybe = <Value>(value: Value | undefined): readonly Value[] => (value === undefined ? [] : [value]);
