// From a hover to the first frame of its preview in headless Chromium, on the demo page of a warm node.
import type { Page } from 'playwright-core';
import { openBrowser } from '../e2e/browser.ts';
import type { ClipPackage } from '../fake/clip-package.ts';
import { percentile } from './figures.ts';
import { startNode } from './preview-figures.ts';

const ROUNDS = 10;
const WAIT_MS = 10_000;

/** In the page: milliseconds from the pointer's entering a card to a frame of its preview on screen. */
const WATCH = `(() => {
  let entered = 0;
  window.frames = [];
  document.addEventListener('pointerover', (event) => {
    if (event.target.closest?.('.card button') && !event.relatedTarget?.closest?.('.card button')) entered = performance.now();
  }, true);
  new MutationObserver((changes) => {
    for (const change of changes) for (const node of change.addedNodes)
      if (node instanceof HTMLVideoElement)
        node.requestVideoFrameCallback(() => window.frames.push(performance.now() - entered));
  }).observe(document.body, { childList: true, subtree: true });
})()`;

/** By evaluate(), which the page's content security policy lets through. */
async function becomesTrue(page: Page, expression: string): Promise<void> {
  const until = performance.now() + WAIT_MS;
  while ((await page.evaluate(expression)) !== true) {
    if (performance.now() > until) throw new Error(`never true within ${WAIT_MS} ms: ${expression}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Median and p95 over all titles, some rounds each. */
export async function measureHover(
  dir: string,
  publicDir: string,
  clips: readonly ClipPackage[],
): Promise<Record<string, number>> {
  const node = await startNode(dir, publicDir, clips);
  const browser = await openBrowser();
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    await page.goto(`http://127.0.0.1:${node.port}/`);
    await page.waitForSelector('.card[data-state=ready]');
    await page.evaluate(WATCH);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [index, { title }] of clips.entries()) {
        await page.mouse.move(5, 5);
        await becomesTrue(page, "document.querySelector('.card video') === null");
        await page.hover(`[data-title=${title.id}].card button`);
        await becomesTrue(page, `window.frames.length > ${round * clips.length + index}`);
      }
    }
    // Sound: the script above fills it with numbers.
    const frames = (await page.evaluate('window.frames')) as readonly number[];
    return {
      hover_to_frame_p50_ms: percentile(frames.slice(clips.length), 0.5),
      hover_to_frame_p95_ms: percentile(frames.slice(clips.length), 0.95),
      new_media_bytes: node.originBytes(),
    };
  } finally {
    await browser.close();
    await node.stop();
  }
}
