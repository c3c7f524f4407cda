// Work that a control call starts and that may outlast it: purges of many objects, prepositions. Each is asked again by
// its id until it has ended; the last ones are remembered.
import { randomBytes } from 'node:crypto';

/** A job as a control call shows it. */
export type JobStatus = {
  readonly job: string;
  readonly kind: string;
  readonly isDone: boolean;
  /** Why it ended without a result. */
  readonly error?: string;
  /** How far it is, by the job's own counts. */
  readonly progress: Readonly<Record<string, unknown>>;
};

/** What a job does: it tells how far it is, and stops by the signal. Its last word is what it resolves with. */
export type JobWork = (
  tell: (progress: Readonly<Record<string, unknown>>) => void,
  signal: AbortSignal,
) => Promise<Readonly<Record<string, unknown>>>;

/** The jobs of a node. */
export type Jobs = {
  /** Undefined: too many run already. Resolves when the job has ended or `waitMs` is over. */
  readonly start: (kind: string, work: JobWork, waitMs: number) => Promise<JobStatus | undefined>;
  /** Undefined: no such job. Resolves like start(). */
  readonly look: (id: string, waitMs: number) => Promise<JobStatus | undefined>;
  /** Stops every job. */
  readonly close: () => void;
};

/** Jobs at once, and jobs remembered. */
const MAX_RUNNING = 8;
const MAX_KEPT = 64;

type Job = { status: JobStatus; readonly ended: Promise<void> };

/** Opens an empty list of jobs. */
export function openJobs(): Jobs {
  const jobs = new Map<string, Job>();
  const closing = new AbortController();

  const wait = async (job: Job, waitMs: number): Promise<JobStatus> => {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, waitMs);
    await Promise.race([job.ended, late.promise]);
    clearTimeout(timer);
    return job.status;
  };

  const forgetOld = (): void => {
    for (const [id, { status }] of jobs) {
      if (jobs.size <= MAX_KEPT) return;
      if (status.isDone) jobs.delete(id);
    }
  };

  return {
    start: async (kind, work, waitMs) => {
      const running = [...jobs.values()].filter(({ status }) => !status.isDone).length;
      if (running >= MAX_RUNNING || closing.signal.aborted) return undefined;
      const id = randomBytes(6).toString('hex');
      const ended = Promise.withResolvers<void>();
      const job: Job = { status: { job: id, kind, isDone: false, progress: {} }, ended: ended.promise };
      jobs.set(id, job);
      const tell = (progress: JobStatus['progress']): void => {
        job.status = { ...job.status, progress };
      };
      work(tell, closing.signal)
        .then(
          (progress) => {
            job.status = { ...job.status, isDone: true, progress };
          },
          (error: unknown) => {
            job.status = { ...job.status, isDone: true, error: error instanceof Error ? error.message : String(error) };
          },
        )
        .finally(() => {
          ended.resolve();
          forgetOld();
        });
      return wait(job, waitMs);
    },
    look: async (id, waitMs) => {
      const job = jobs.get(id);
      return job === undefined ? undefined : wait(job, waitMs);
    },
    close: () => closing.abort(new Error('the node is stopping')),
  };
}
