// A page with one video element, in which players of the npm registry play what a package server has.
import type { Browser, Page } from 'playwright-core';
import type { PackageServer } from '../fake/package-server.ts';

/** `problems`: what scripts of the page throw. What the video element and players report is in `seen` of the page. */
export type PlayerPage = { readonly page: Page; readonly problems: readonly string[] };

/** Opens it; what the server was asked before is forgotten. */
export async function openPlayerPage(browser: Browser, server: PackageServer): Promise<PlayerPage> {
  const problems: string[] = [];
  const page = await browser.newPage();
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(server.url);
  server.asked.length = 0;
  await page.evaluate(`
    globalThis.video = document.querySelector('video');
    globalThis.seen = { errors: [], levels: new Set(), audio: new Set() };
    video.muted = true;
    video.addEventListener('error', () => seen.errors.push('video ' + video.error?.message));
  `);
  return { page, problems };
}
