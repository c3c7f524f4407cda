// What sensors say, as values: degrees by zone, watts and joules by rail, and what is lost of them. Pure.

/**
 * One temperature; `celsius` undefined: there once, and not readable or not plausible now. `tripCelsius`: where the
 * kernel begins to slow the processor down; undefined where it says nothing.
 */
export type Zone = {
  readonly zone: string;
  readonly celsius: number | undefined;
  readonly tripCelsius: number | undefined;
  /** Of the processor or the package around it, so that background work heats it. */
  readonly isProcessor: boolean;
};

/** One supply; `joules` since the sensors were opened. `watts` undefined: not known now. */
export type Rail = { readonly rail: string; readonly watts: number | undefined; readonly joules: number };

/** Everything that was read at one time, milliseconds since the epoch. Sensors that a host never had are not in it. */
export type Reading = {
  readonly at: number;
  readonly zones: readonly Zone[];
  readonly rails: readonly Rail[];
  /** Throttle events of all cores since boot; undefined where the kernel does not count them. */
  readonly throttles: number | undefined;
  /** A cooling device slows the processor now. */
  readonly isThrottled: boolean;
  /** Sensor -> why it gives no value now. */
  readonly faults: ReadonlyMap<string, string>;
};

/** Colder or hotter than any board that still runs: such a value is a fault of the sensor. */
const PLAUSIBLE_CELSIUS = { least: -40, most: 150 } as const;
/** Trip points outside are placeholders: firmware writes 0, -274 or 200 for "none". */
const TRIP_CELSIUS = { least: 40, most: 130 } as const;
/** No supply of one host gives more. */
const MOST_WATTS = 5_000;

/** A whole number as sysfs writes it; undefined for anything else. */
export function parseWhole(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? '';
  return /^-?\d{1,16}$/.test(trimmed) ? Number(trimmed) : undefined;
}

/** Millidegrees to degrees, undefined when they cannot be true. */
export function parseCelsius(text: string | undefined): number | undefined {
  const celsius = (parseWhole(text) ?? Number.NaN) / 1000;
  return celsius >= PLAUSIBLE_CELSIUS.least && celsius <= PLAUSIBLE_CELSIUS.most ? celsius : undefined;
}

/** A trip point in degrees, undefined for a placeholder. */
export function parseTrip(text: string | undefined): number | undefined {
  const celsius = parseCelsius(text);
  return celsius !== undefined && celsius >= TRIP_CELSIUS.least && celsius <= TRIP_CELSIUS.most ? celsius : undefined;
}

/** Watts as they are, undefined when they cannot be true. */
export function plausibleWatts(watts: number): number | undefined {
  return watts >= 0 && watts <= MOST_WATTS ? watts : undefined;
}

/** A counter of energy: microjoules at a time in milliseconds. It begins anew at 0 beyond `rangeMicrojoules`. */
export type EnergyCount = { readonly microjoules: number; readonly at: number };

/**
 * Joules between two counts of one counter that may have begun anew once (Linux power capping: energy_uj wraps at
 * max_energy_range_uj). Undefined when that cannot be told: time stood still, so much of it passed that MOST_WATTS would
 * have wrapped the counter twice, or the result is more than MOST_WATTS.
 */
export function joulesBetween(
  earlier: EnergyCount,
  later: EnergyCount,
  rangeMicrojoules: number | undefined,
): number | undefined {
  const seconds = (later.at - earlier.at) / 1000;
  if (seconds <= 0) return undefined;
  const grown = later.microjoules - earlier.microjoules;
  if (grown < 0 && (rangeMicrojoules === undefined || rangeMicrojoules <= 0)) return undefined;
  const joules = (grown < 0 ? grown + (rangeMicrojoules ?? 0) + 1 : grown) / 1e6;
  return plausibleWatts(joules / seconds) === undefined ? undefined : joules;
}

/** Rails that measure the whole board or package tree; each contains all others. In the order of preference. */
const WHOLE = [/^psys$/, /^VDD_IN$/i, /^POM_5V_IN$/i, /^(total|input|system)[ _]power$/i] as const;

/** The rails that together are the host: one for the whole where there is one, else packages with their memory. */
function hostRails<Named extends Pick<Rail, 'rail'>>(rails: readonly Named[]): readonly Named[] {
  for (const pattern of WHOLE) {
    const whole = rails.filter(({ rail }) => pattern.test(rail));
    if (whole.length > 0) return whole;
  }
  const packages = rails.filter(({ rail }) => /^package-\d+$/.test(rail));
  if (packages.length === 0) return rails;
  return [...packages, ...rails.filter(({ rail }) => /^dram(-\d+)?$/.test(rail))];
}

/** Watts of the host; undefined when one of its rails is not known, or there is none. */
export function hostWatts(rails: readonly Rail[]): number | undefined {
  const host = hostRails(rails);
  if (host.length === 0) return undefined;
  return host.reduce<number | undefined>(
    (sum, { watts }) => (sum === undefined || watts === undefined ? undefined : sum + watts),
    0,
  );
}

/** Joules of the host since the sensors were opened; undefined where it has no rails. */
export function hostJoules(rails: readonly Rail[]): number | undefined {
  const host = hostRails(rails);
  return host.length === 0 ? undefined : host.reduce((sum, { joules }) => sum + joules, 0);
}
