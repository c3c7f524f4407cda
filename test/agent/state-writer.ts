// Writes rows to the state in argv[2], argv[3] of them, tells how many are flushed after each, and stays.
import { setImmediate as turn } from 'node:timers/promises';
import { openState } from '../../agent/state.ts';

const state = openState({ dir: process.argv[2] ?? '', flushMs: 60_000, log: () => undefined });
const total = Number(process.argv[3]);
for (let i = 1; i <= total; i += 1) {
  state.arms.put({ slot: 'preview', title: `title-${i}`, arm: 'a', information: i, response: 0, at: i });
  state.flush();
  process.stdout.write(`${i}\n`);
  await turn();
}
setInterval(() => undefined, 1_000);
