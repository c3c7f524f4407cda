// A cache with one 64 KiB object in memory, in a process of its own, so that its CPU time can be told from its client's.
import { open } from '../../cache/cache.ts';

const [originPort = '', directory = ''] = process.argv.slice(2);
const cache = await open({
  origins: [{ name: 'main', url: `http://127.0.0.1:${originPort}`, match: '/' }],
  store: { ramBytes: 64 * 1024 * 1024, dirs: [{ path: directory, maxBytes: 1024 ** 3 }], required: true },
  rules: { defaultTtlSeconds: 0, graceSeconds: 0, target: 'Nearcast-Cache-Control' },
  nodeId: 'bench',
  now: Date.now,
  log: () => undefined,
  onServed: () => undefined,
});
const { port } = await cache.serve({ host: '127.0.0.1', port: 0 });
process.stdout.write(`${port}\n`);
process.once('SIGTERM', () => void cache.close(0).then(() => process.exit(0)));
