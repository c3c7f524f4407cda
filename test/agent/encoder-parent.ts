// A process that has an encoder run a job at a crawl, to be killed meanwhile: `encoder-parent.ts JOB_AS_JSON`.
import { runEncoder } from '../../agent/encoder-process.ts';
import { jobSchema } from '../../encoder/contract.ts';

const job = jobSchema.parse(JSON.parse(process.argv[2] ?? ''));
const options = { env: process.env, niceness: 0, reservedCores: 0, log: () => undefined };
const encoder = runEncoder(job, options, (event) => {
  if (event.event === 'probe') encoder.control({ pace: 0.02 });
});
