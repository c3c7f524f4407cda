// Jobs of the control socket: told while they run, remembered when they have ended, bounded, stopped with the node.
import { expect, test } from 'vitest';
import { openJobs } from '../../agent/control-jobs.ts';

const forever = (_tell: unknown, signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

test('a job that ends in time answers at once, a longer one by its id', async () => {
  const jobs = openJobs();
  expect(await jobs.start('quick', async () => ({ n: 1 }), 10_000)).toMatchObject({ isDone: true, progress: { n: 1 } });
  const end = Promise.withResolvers<Record<string, unknown>>();
  const begun = await jobs.start(
    'long',
    (tell) => {
      tell({ n: 1 });
      return end.promise;
    },
    0,
  );
  expect(begun).toMatchObject({ kind: 'long', isDone: false, progress: { n: 1 } });
  const looked = jobs.look(begun?.job ?? '', 10_000);
  end.resolve({ n: 2 });
  expect(await looked).toMatchObject({ isDone: true, progress: { n: 2 } });
  expect(await jobs.look('nothing', 0)).toBeUndefined();
});

test('one that fails says why', async () => {
  const failed = await openJobs().start('bad', () => Promise.reject(new Error('on purpose')), 10_000);
  expect(failed).toMatchObject({ isDone: true, error: 'on purpose' });
});

test('eight run at once; closing stops them, and no other begins', async () => {
  const jobs = openJobs();
  const begun = await Promise.all(Array.from({ length: 8 }, () => jobs.start('long', forever, 0)));
  expect(await jobs.start('ninth', forever, 0)).toBeUndefined();
  jobs.close();
  expect(await jobs.look(begun[7]?.job ?? '', 10_000)).toMatchObject({ isDone: true, error: 'the node is stopping' });
  expect(await jobs.start('late', async () => ({}), 0)).toBeUndefined();
});

test('the last 64 that have ended are remembered', async () => {
  const jobs = openJobs();
  const ids: string[] = [];
  for (let n = 0; n < 70; n += 1) ids.push((await jobs.start('quick', async () => ({ n }), 1000))?.job ?? '');
  expect(await jobs.look(ids[0] ?? '', 0)).toBeUndefined();
  expect(await jobs.look(ids[69] ?? '', 0)).toMatchObject({ progress: { n: 69 } });
});
