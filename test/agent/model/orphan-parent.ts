// A parent to be killed: runs a model process from the folder given, tells its pid, and stays.
import { openRuntime } from '../../../agent/model/runtime.ts';
import { stored, summing } from './crafted.ts';

const runtime = openRuntime({ log: () => undefined });
await runtime.load(await stored(process.argv[2] ?? '.', summing));
process.send?.(runtime.stats().pid);
