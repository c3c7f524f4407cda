// `npm run bench:start`: the demo on a fresh folder, from the command to the page's first answer, to the first title
// playing in Chromium, to all titles; then a second start on the same folder.
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openBrowser } from '../e2e/browser.ts';
import { start } from '../e2e/process.ts';

const POLL_MS = 20;
const LIMIT_MS = 400_000;
const PORTS = { listen: '127.0.0.1:18080', origin: '127.0.0.1:18090', metrics: '127.0.0.1:19464' };
const URL_OF_PAGE = `http://${PORTS.listen}/`;

type Listed = { readonly id: string; readonly ready: boolean };

async function poll<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const until = performance.now() + LIMIT_MS;
  while (performance.now() < until) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined) return answer;
    await sleep(POLL_MS);
  }
  throw new Error(`${what}: nothing within ${LIMIT_MS / 1000} s`);
}

const isAnswering = async () => ((await fetch(URL_OF_PAGE)).ok ? true : undefined);

async function readyTitles(): Promise<readonly Listed[]> {
  // The route of our own node, whose shape the API tests hold.
  const titles = (await (await fetch(`${URL_OF_PAGE}.nearcast/titles`)).json()) as readonly Listed[];
  return titles.filter(({ ready }) => ready);
}

/** Opens the page, clicks the first title and waits until its picture moves. */
async function playFirst(): Promise<void> {
  const browser = await openBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(URL_OF_PAGE);
    await page.locator('.card[data-state=ready] button').first().click();
    // By evaluate(), which the page's content security policy lets through.
    await poll('the picture', async () =>
      (await page.evaluate(`document.querySelector('#player-video').currentTime > 0.5`)) === true ? true : undefined,
    );
  } finally {
    await browser.close();
  }
}

async function run(dir: string, titles: number, isFirst: boolean): Promise<Record<string, number>> {
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const demo = start([
    'demo',
    '--dir',
    dir,
    '--listen',
    PORTS.listen,
    '--origin',
    PORTS.origin,
    '--metrics',
    PORTS.metrics,
  ]);
  try {
    await Promise.race([
      poll('the page', isAnswering),
      demo.ended.then(() => Promise.reject(new Error(`the demo ended: ${demo.stderr()}`))),
    ]);
    const answersSeconds = seconds();
    await poll('the first title', async () => ((await readyTitles()).length > 0 ? true : undefined));
    const firstReadySeconds = seconds();
    if (isFirst) await playFirst();
    const firstPlaysSeconds = seconds();
    await poll('all titles', async () => ((await readyTitles()).length >= titles ? true : undefined));
    const allReadySeconds = seconds();
    const stopping = performance.now();
    demo.child.kill('SIGTERM');
    await demo.ended;
    const stopSeconds = (performance.now() - stopping) / 1000;
    return {
      answersSeconds,
      firstReadySeconds,
      ...(isFirst ? { firstPlaysSeconds } : {}),
      allReadySeconds,
      stopSeconds,
    };
  } finally {
    demo.child.kill('SIGKILL');
  }
}

const dir = mkdtempSync(join(tmpdir(), 'nearcast-bench-'));
try {
  const first = await run(dir, 4, true);
  const second = await run(dir, 4, false);
  const round = (figures: Record<string, number>) =>
    Object.fromEntries(Object.entries(figures).map(([key, value]) => [key, Number(value.toFixed(2))]));
  console.table({ 'first start': round(first), 'second start': round(second) });
  console.log(
    JSON.stringify({
      bench: 'start',
      cores: cpus().length,
      cpu: cpus()[0]?.model,
      first: round(first),
      second: round(second),
    }),
  );
} finally {
  rmSync(dir, { recursive: true, force: true });
}
