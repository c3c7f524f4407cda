// One run of openLoad in a process of its own, so that what else the benchmark does delays no answer:
// `meter.ts PORT PATH PER_SECOND FOR_MS LEAD_MS` prints it as JSON.
import { openLoad } from './overload.ts';

const [port, path = '/', ...numbers] = process.argv.slice(2);
const [perSecond = 0, forMs = 0, leadMs = 0] = numbers.map(Number);
console.log(JSON.stringify(await openLoad(Number(port), path, { perSecond, forMs, leadMs })));
