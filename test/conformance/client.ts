// The client process of one conformance run: PORT [ID]; its last line is the result object.
import { runClient } from './suite.ts';

const [port, id] = process.argv.slice(2);
console.log(JSON.stringify(await runClient(Number(port), id)));
process.exit(0);
