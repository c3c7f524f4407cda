// The order of encode jobs and why each of them waits, from what they are worth.
import type { Kept } from './encode-files.ts';
import { byOrder, mayRun, type Worth } from './power/worth.ts';

/** Why a job that could run does not; `turn`: another runs, or goes first. */
export type WaitReason = 'operator' | 'memory' | 'power' | 'worth' | 'turn';

/** A job of the plan, in the order in which jobs are to run; the running one has no reason. */
export type PlannedJob = {
  readonly id: string;
  readonly waitsFor: WaitReason | undefined;
  readonly worth: Worth;
  /** When it must be ready, milliseconds since the epoch. */
  readonly dueAt: number | undefined;
  /** It runs whether it pays or not. */
  readonly isForced: boolean;
};

/** What a title is worth when its source costs so many bytes to fetch. */
export type WorthOf = (id: string, sourceBytes: number) => Worth;

/** When a job must be ready: its deadline counts from when it was submitted. */
function dueAt({ job, submittedAt }: Kept): number | undefined {
  return job.deadlineSeconds === undefined ? undefined : submittedAt + job.deadlineSeconds * 1000;
}

/** The job as it is run at a time: what is left of its deadline, one second at least. */
export function jobAt(kept: Kept, now: number): Kept['job'] {
  const due = dueAt(kept);
  return due === undefined ? kept.job : { ...kept.job, deadlineSeconds: Math.max(1, (due - now) / 1000) };
}

/** A waiting job with what decides its place. */
type Placed<Entry extends Kept> = {
  readonly entry: Entry;
  readonly dueAt: number | undefined;
  readonly isForced: boolean;
  readonly worth: Worth;
};

function place<Entry extends Kept>(entry: Entry, worthOf: WorthOf): Placed<Entry> {
  const worth = worthOf(entry.job.id, entry.sourceBytes);
  return { entry, dueAt: dueAt(entry), isForced: entry.isForced, worth };
}

/** Waiting jobs, the next one first; equals stay as they came. */
const inOrder = <Entry extends Kept>(waiting: readonly Entry[], worthOf: WorthOf): readonly Placed<Entry>[] =>
  waiting.map((entry) => place(entry, worthOf)).sort(byOrder);

/** The job to run next; undefined when none of them may run. */
export const nextOf = <Entry extends Kept>(waiting: readonly Entry[], worthOf: WorthOf): Entry | undefined =>
  inOrder(waiting, worthOf).find(mayRun)?.entry;

/** All open jobs in their order. `heldBy`: what holds back every job now. */
export function planOf(
  jobs: { readonly running: Kept | undefined; readonly waiting: readonly Kept[] },
  worthOf: WorthOf,
  heldBy: WaitReason | undefined,
): readonly PlannedJob[] {
  const told = ({ entry, ...rest }: Placed<Kept>, waitsFor: WaitReason | undefined): PlannedJob => ({
    ...{ id: entry.job.id, waitsFor, ...rest },
  });
  const waiting = inOrder(jobs.waiting, worthOf).map((job) => told(job, mayRun(job) ? (heldBy ?? 'turn') : 'worth'));
  return jobs.running === undefined ? waiting : [told(place(jobs.running, worthOf), undefined), ...waiting];
}
