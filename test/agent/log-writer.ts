// Writes more lines than a pipe and the log's waiting room hold, then reports its counts on standard error.
import { setImmediate as turn } from 'node:timers/promises';
import { openLog } from '../../agent/log.ts';

const { log, stats, close } = openLog({ level: 'info' });
for (let i = 0; i < 20_000; i += 1) {
  log('info', 'test.line', { i, padding: 'x'.repeat(200) });
  if (i % 100 === 0) await turn();
}
await close(100);
process.stderr.write(JSON.stringify(stats()), () => process.exit(0));
