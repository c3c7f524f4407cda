// Debian's Chromium, headless, with a new profile and its background traffic off.
import { type Browser, chromium } from 'playwright-core';

/** Opens a browser; the caller closes it. Autoplay needs no gesture, as in a kiosk. `flags`: more of Chromium's own. */
export function openBrowser(flags: readonly string[] = []): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      ...flags,
    ],
  });
}
