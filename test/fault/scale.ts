// How much of the long loops a run does: `npm run test:fault` a share that ends within minutes, FAULT=full all of it.

import { availableParallelism, loadavg } from 'node:os';

const isFull = process.env['FAULT'] === 'full';

/** The number for this run. */
export function scaled(short: number, full: number): number {
  return isFull ? full : short;
}

/** Drawn anew for each run, unless FAULT_SEED repeats one; names of tests carry it, so that a failure does. */
export const seed = Number(process.env['FAULT_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** Processes that want to run for each CPU: so many times longer everything takes. At least 1. */
const crowding = (): number => Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
let most = 1;

/** A bound in milliseconds for a process of its own, on a machine that may have others to run. */
export function allowed(ms: number): number {
  most = Math.max(most, crowding());
  return ms * most;
}

/** Keeps a figure in the output of a run. */
export function report(what: string, figures: Readonly<Record<string, unknown>>): void {
  console.log(`${what}: ${JSON.stringify({ seed, ...figures })}`);
}
