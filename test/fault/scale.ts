// How much of the long loops a run does: `npm run test:fault` a share that ends within minutes, FAULT=full all of it.

const isFull = process.env['FAULT'] === 'full';

/** The number for this run. */
export function scaled(short: number, full: number): number {
  return isFull ? full : short;
}

/** Drawn anew for each run, unless FAULT_SEED repeats one; names of tests carry it, so that a failure does. */
export const seed = Number(process.env['FAULT_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** Keeps a figure in the output of a run. */
export function report(what: string, figures: Readonly<Record<string, unknown>>): void {
  console.log(`${what}: ${JSON.stringify({ seed, ...figures })}`);
}
