// One silent preview at a time: is asked for when a pointer or the keyboard comes to a title, shown when it rests there, and
// gone when it leaves. One spliced file, so that the first frame takes one request; where the browser takes no such file
// or the node has none, the playlist.

import { consent, dwellBucket, keepToken, sessionId, tell } from '/.nearcast/page/events.js';
import Hls from '/.nearcast/page/hls.js';

/** A pointer that passes by in less time sees nothing. */
const REST_MS = 100;
/** What it asks for meanwhile it asks for after this long: a sweep over the page is no request for each title. */
const PASS_MS = 30;

/** What the features of a taste are called to viewers. */
const TRAITS = /** @type {Record<string, string>} */ ({
  spatial: 'rich detail',
  temporal: 'action',
  luma: 'bright pictures',
  saturation: 'strong colours',
  loudness: 'big sound',
  motion: 'movement',
  darkness: 'dark pictures',
  dialogue: 'dialogue',
  saliency: 'surprises',
  cutting: 'fast cuts',
});

/**
 * @typedef {object} Shown
 * @property {string} title
 * @property {number} since
 * @property {HTMLElement} art
 * @property {boolean} hasFile
 * @property {HTMLVideoElement} video
 * @property {AbortController} leaving
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
 * @param {boolean} hasFile Of titles that others publish there are only playlists.
 */
export function restOn(title, art, hasFile) {
  if (shown?.title === title) return;
  leave();
  resting = setTimeout(() => start(title, art, hasFile), PASS_MS);
}

/** Starts the preview that is shown anew: what it knows of its viewer has changed. */
export function showAnew() {
  if (shown === undefined) return;
  const { title, art, hasFile } = shown;
  end();
  start(title, art, hasFile);
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
  const token = end()?.token;
  keepToken(title, token);
  return token;
}

function end() {
  const ended = shown;
  shown = undefined;
  if (ended === undefined) return undefined;
  ended.leaving.abort();
  ended.hls?.destroy();
  ended.video.removeAttribute('src');
  ended.video.remove();
  ended.art.querySelector('.why')?.remove();
  return ended;
}

/**
 * @param {string} title
 * @param {HTMLElement} art
 * @param {boolean} hasFile
 */
function start(title, art, hasFile) {
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.loop = true;
  video.disablePictureInPicture = true;
  video.setAttribute('aria-hidden', 'true');
  video.tabIndex = -1;
  const leaving = new AbortController();
  /** @type {Shown} */
  const own = { title, since: performance.now(), art, hasFile, video, leaving, hls: undefined, token: undefined };
  shown = own;
  if (!isWanted()) return tell({ type: 'hover', title });
  const asked = new URLSearchParams({ maxHeight: String(Math.round(art.clientHeight * devicePixelRatio)) });
  if (consent() === 'personal') asked.set('sid', sessionId());
  const url = `/.nearcast/preview/${encodeURIComponent(title)}`;
  const rested = new Promise((resolve) => setTimeout(resolve, REST_MS - PASS_MS));
  video.addEventListener('playing', () => rested.then(() => video.classList.add('on')), { once: true });
  art.append(video);
  const playNext = () => {
    if (shown === own) playPlaylist(own, `${url}.m3u8?${asked}`);
  };
  // Where there is no such file, or no browser for it: the playlist, unless the pointer has left meanwhile.
  if (hasFile) playFile(own, `${url}.mp4?${asked}`).catch(playNext);
  else playNext();
  tell({ type: 'hover', title });
}

/**
 * Plays one file as its bytes come. Rejects before anything is shown where that is not possible.
 * @param {Shown} own
 * @param {string} url
 */
async function playFile(own, url) {
  if (!('MediaSource' in globalThis)) throw new Error('no Media Source Extensions');
  const media = new MediaSource();
  const opened = new Promise((resolve) => media.addEventListener('sourceopen', resolve, { once: true }));
  const address = URL.createObjectURL(media);
  own.video.src = address;
  const [answer] = await Promise.all([fetch(url, { signal: own.leaving.signal, cache: 'no-store' }), opened]);
  URL.revokeObjectURL(address);
  const type = answer.headers.get('content-type') ?? '';
  if (!answer.ok || answer.body === null || !MediaSource.isTypeSupported(type))
    throw new Error(`no file: ${answer.status}`);
  const buffer = media.addSourceBuffer(type);
  explain(own, answer.headers);
  own.video.play().catch(() => undefined); // Refused autoplay: the poster stays.
  const reader = answer.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (shown !== own) return;
    const taken = new Promise((resolve) => buffer.addEventListener('updateend', resolve, { once: true }));
    buffer.appendBuffer(part.value);
    await taken;
  }
  if (media.readyState === 'open') media.endOfStream();
}

/**
 * Keeps the token, says why this preview, and shows its captions.
 * @param {Shown} own
 * @param {Headers} headers
 */
function explain(own, headers) {
  own.token = headers.get('nearcast-arm') ?? undefined;
  const [answer, ...parts] = (headers.get('nearcast-why') ?? '').split('; ');
  const facts = new Map(parts.map((part) => /** @type {[string, string]} */ (part.split('='))));
  const why = document.createElement('span');
  why.className = 'why';
  why.textContent = whyInWords(answer ?? '', facts.get('theme') ?? 'opening', (facts.get('like') ?? '').split(','));
  own.art.append(why);
  const captions = headers.get('nearcast-captions');
  if (captions === null) return;
  const track = document.createElement('track');
  track.kind = 'captions';
  track.default = true;
  track.src = captions;
  own.video.append(track);
}

/**
 * Why something was chosen, for viewers.
 * @param {string} answer Who chose: `personal`, `cohort` or `default`.
 * @param {string} what What was chosen.
 * @param {readonly string[]} like Features that it shares with the viewer's taste.
 */
export function whyInWords(answer, what, like) {
  const liked = like.flatMap((name) => TRAITS[name] ?? []);
  if (answer === 'personal') return `For you: ${liked.length > 0 ? liked.join(' and ') : what}`;
  return answer === 'cohort' ? `Liked here: ${what}` : `For all: ${what}`;
}

/**
 * @param {Shown} own
 * @param {string} url
 */
function playPlaylist(own, url) {
  if (!Hls.isSupported()) own.video.src = url;
  else own.hls = attach(own, url);
  own.video.play().catch(() => undefined); // Refused autoplay: the poster stays.
}

/**
 * @param {Shown} own
 * @param {string} url
 */
function attach(own, url) {
  const hls = new Hls({ enableWorker: false, maxBufferLength: 12, startFragPrefetch: true, autoStartLoad: true });
  hls.on(Hls.Events.MANIFEST_LOADED, (_name, { networkDetails }) => {
    if (!(networkDetails instanceof XMLHttpRequest)) return;
    const names = ['nearcast-arm', 'nearcast-why', 'nearcast-captions'];
    const given = names.map((name) => [name, networkDetails.getResponseHeader(name)]);
    explain(own, new Headers(/** @type {[string, string][]} */ (given.filter(([, value]) => value !== null))));
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
