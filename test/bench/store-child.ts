// A fresh process over a store directory: `store-child.ts open|hold DIRECTORY KEY`. `open` prints what opening took and what
// memory the store takes once all rows are counted; `hold` opens, stores a few objects, says `ready` and waits to be killed.
import { setTimeout as delay } from 'node:timers/promises';
import { openStore } from '../../cache/store/store.ts';
import { bodyOf, get, optionsOf, put } from '../cache/store/support.ts';

const [how = '', directory = '', key = ''] = process.argv.slice(2);
const counted = Promise.withResolvers<void>();
const log = (_level: string, event: string): void => {
  if (event === 'store.counted') counted.resolve();
};
const began = performance.now();
const store = await openStore({
  ...optionsOf(directory, { ramBytes: 0, scrubDays: 0, log }), // Most rows have no body that it could read.
  dirs: [{ path: directory, maxBytes: 2 ** 44 }],
});
if (how === 'hold') {
  for (let n = 0; n < 20; n += 1) await put(store, `held ${n}`, bodyOf(`held ${n}`, 100_000));
  await delay(600); // So that a batch or two of them is committed.
  console.log('ready');
  setInterval(() => undefined, 1000);
} else {
  const hasFound = key === '' || store.find(key).length === 1;
  const readyMs = performance.now() - began;
  await counted.promise;
  const countedMs = performance.now() - began;
  const isRight = (await get(store, 'held 3'))?.equals(bodyOf('held 3', 100_000)) ?? false;
  for (let round = 0; round < 3; round += 1) {
    globalThis.gc?.();
    await delay(100);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  const objects = store.stats().objects;
  console.log(JSON.stringify({ readyMs, countedMs, hasFound, isRight, objects, rss, heap: heapUsed + external }));
  await store.close(10_000);
}
