// One silent preview at a time: starts when a pointer or the keyboard rests on a title, is gone when it leaves.

import { consent, dwellBucket, sessionId, tell } from '/.nearcast/page/events.js';
import Hls from '/.nearcast/page/hls.js';

/** A pointer that passes by in less time asks for nothing. */
const REST_MS = 120;

/**
 * @typedef {object} Shown
 * @property {string} title
 * @property {number} since
 * @property {HTMLVideoElement} video
 * @property {Hls | undefined} hls
 * @property {string | undefined} token
 */

/** @type {Shown | undefined} */
let shown;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let resting;

/** Who asked for less motion or fewer bytes gets the poster. */
function isWanted() {
  // `connection` is not in every browser.
  const connection = /** @type {{ saveData?: boolean } | undefined} */ (Reflect.get(navigator, 'connection'));
  return !matchMedia('(prefers-reduced-motion: reduce)').matches && connection?.saveData !== true;
}

/**
 * Plays the preview of a title over its art once the pointer has rested.
 * @param {string} title
 * @param {HTMLElement} art
 */
export function restOn(title, art) {
  if (shown?.title === title) return;
  leave();
  resting = setTimeout(() => start(title, art), REST_MS);
}

/** Ends the preview that plays or was about to. */
export function leave() {
  clearTimeout(resting);
  const ended = end();
  if (ended === undefined) return;
  const { title, since, token } = ended;
  tell({
    type: 'unhover',
    title,
    dwellBucket: dwellBucket(performance.now() - since),
    ...(token === undefined ? {} : { rewardToken: token }),
  });
}

/**
 * Ends the preview because its title is opened, and gives the reward token for the opening event.
 * @param {string} title
 */
export function takeToken(title) {
  if (shown?.title !== title) {
    leave();
    return undefined;
  }
  clearTimeout(resting);
  return end()?.token;
}

function end() {
  const ended = shown;
  shown = undefined;
  if (ended === undefined) return undefined;
  ended.hls?.destroy();
  ended.video.removeAttribute('src');
  ended.video.remove();
  return ended;
}

/**
 * @param {string} title
 * @param {HTMLElement} art
 */
function start(title, art) {
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.loop = true;
  video.disablePictureInPicture = true;
  video.setAttribute('aria-hidden', 'true');
  video.tabIndex = -1;
  /** @type {Shown} */
  const own = { title, since: performance.now(), video, hls: undefined, token: undefined };
  shown = own;
  tell({ type: 'hover', title });
  if (!isWanted()) return;
  const asked = new URLSearchParams();
  if (consent() === 'personal') asked.set('sid', sessionId());
  asked.set('maxHeight', String(Math.round(art.clientHeight * devicePixelRatio)));
  const url = `/.nearcast/preview/${encodeURIComponent(title)}.m3u8?${asked}`;
  video.addEventListener('playing', () => video.classList.add('on'), { once: true });
  art.append(video);
  if (Hls.isSupported()) own.hls = attach(own, url);
  else video.src = url;
  video.play().catch(() => undefined); // Refused autoplay: the poster stays.
}

/**
 * @param {Shown} own
 * @param {string} url
 */
function attach(own, url) {
  const hls = new Hls({ enableWorker: false, maxBufferLength: 12, startFragPrefetch: true, autoStartLoad: true });
  hls.on(Hls.Events.MANIFEST_LOADED, (_name, { networkDetails }) => {
    own.token =
      networkDetails instanceof XMLHttpRequest
        ? (networkDetails.getResponseHeader('Nearcast-Arm') ?? undefined)
        : undefined;
  });
  hls.on(Hls.Events.ERROR, (_name, { fatal }) => {
    if (!fatal) return;
    hls.destroy();
    own.hls = undefined;
    own.video.remove();
  });
  hls.loadSource(url);
  hls.attachMedia(own.video);
  return hls;
}
