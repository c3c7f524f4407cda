// Who is in which experiment: decided by hashes alone, so that nobody has to remember it and every node says the same. Pure.
import { createHash } from 'node:crypto';

/** One way to treat a session. `policy`: who chooses among arms for it; `holdout`: it gets no preview at all. */
export type Variant = { readonly name: string; readonly share: number; readonly policy: string };

/** A policy that is none: nothing is shown. */
export const HOLDOUT = 'holdout';

/** An experiment. Of its layer it takes the units from `from` to `to`, and of these the share `rampRatio`. */
export type Experiment = {
  readonly id: string;
  /** Experiments of one layer share no unit; those of different layers are independent of each other. */
  readonly layer: string;
  readonly from: number;
  readonly to: number;
  /** May grow while it runs: who is in stays in, in the same variant. */
  readonly rampRatio: number;
  /** The first one is what the others are compared with; shares sum to 1. */
  readonly variants: readonly Variant[];
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly stoppedAt?: number;
};

/** A unit's place in [0, 1): the first 52 bits of SHA-256 of salt and unit. */
export function placeOf(salt: string, unit: string): number {
  const digest = createHash('sha256').update(`${salt}\n${unit}`).digest();
  return (digest.readUInt32BE(0) * 2 ** 20 + (digest.readUInt32BE(4) >>> 12)) / 2 ** 52;
}

/** The variant of a unit in an experiment; undefined when it is not in it. */
export function variantOf(experiment: Experiment, unit: string): Variant | undefined {
  const place = placeOf(`layer ${experiment.layer}`, unit);
  if (place < experiment.from || place >= experiment.to || experiment.stoppedAt !== undefined) return undefined;
  if (placeOf(`ramp ${experiment.id}`, unit) >= experiment.rampRatio) return undefined;
  let left = placeOf(`variant ${experiment.id}`, unit);
  for (const variant of experiment.variants) {
    if (left < variant.share) return variant;
    left -= variant.share;
  }
  return experiment.variants.at(-1);
}

/** What stands against starting an experiment beside those that run; undefined for nothing. */
export function problemOf(experiment: Experiment, running: readonly Experiment[]): string | undefined {
  const { id, variants, from, to, rampRatio, layer } = experiment;
  if (!/^[a-z0-9][a-z0-9-]{0,63}$/.test(id)) return 'the id must be like "my-experiment"';
  if (running.some((other) => other.id === id)) return `there is an experiment "${id}" already`;
  if (!(from >= 0 && from < to && to <= 1)) return 'from and to must be 0 to 1, from below to';
  if (!(rampRatio > 0 && rampRatio <= 1)) return 'ramp must be above 0 and at most 1';
  const names = new Set(variants.map(({ name }) => name));
  if (variants.length < 2 || variants.length > 8 || names.size !== variants.length)
    return 'variants must be 2 to 8 of different names';
  const sum = variants.reduce((total, { share }) => total + share, 0);
  if (Math.abs(sum - 1) > 1e-9 || variants.some(({ share }) => !(share > 0)))
    return 'shares must be above 0 and sum to 1';
  const other = running.find(
    (one) => one.stoppedAt === undefined && one.layer === layer && one.from < to && from < one.to,
  );
  return other === undefined
    ? undefined
    : `"${other.id}" has ${other.from} to ${other.to} of layer "${layer}": take another part of it, or another layer`;
}
