// Scrapes /metrics four times a second, in a process of its own: `scrape.ts PORT FOR_MS` prints the slowest, milliseconds.
const [port = 0, forMs = 0] = process.argv.slice(2).map(Number);
const EVERY_MS = 250;

const startedMs = performance.now();
let slowestMs = 0;
while (performance.now() - startedMs < forMs) {
  const beganMs = performance.now();
  await (await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { connection: 'close' } })).text();
  slowestMs = Math.max(slowestMs, performance.now() - beganMs);
  await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
}
console.log(JSON.stringify(slowestMs));
