// The large player: hls.js with CMCD on, the next episode, and what the viewer does told to the node.

import { sessionId, tell } from '/.nearcast/page/events.js';
import Hls from '/.nearcast/page/hls.js';

/** @typedef {import('./cards.js').Title} Title */

/** The bar above the picture goes when the pointer rests this long. */
const IDLE_MS = 3000;
/** Seconds between the end of an episode and the next. */
const COUNTDOWN_SECONDS = 8;

/**
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${id}`);
  return found;
}

const dialog = element('player', HTMLDialogElement);
const video = element('player-video', HTMLVideoElement);
const frame = element('player-frame', HTMLElement);
const heading = element('player-name', HTMLElement);
const note = element('player-note', HTMLElement);
const nextButton = element('player-next', HTMLButtonElement);
const upNext = element('up-next', HTMLElement);
const upNextName = element('up-next-name', HTMLElement);
const upNextCount = element('up-next-count', HTMLElement);

/** @type {Hls | undefined} */
let hls;
/** @type {Title | undefined} */
let playing;
/** @type {(id: string) => Title | undefined} */
let find = () => undefined;
/** @type {ReturnType<typeof setInterval> | undefined} */
let countdown;

/**
 * Tells the player where titles are found, for the next episode.
 * @param {(id: string) => Title | undefined} findTitle
 */
export function openPlayer(findTitle) {
  find = findTitle;
}

/**
 * Opens the player with a title; `rewardToken` is that of the preview which led here.
 * @param {Title} title
 * @param {string} [rewardToken]
 */
export function play(title, rewardToken) {
  tell({ type: 'open', title: title.id, ...(rewardToken === undefined ? {} : { rewardToken }) });
  if (!dialog.open) dialog.showModal();
  load(title);
  tellOrientation();
}

/** @param {Title} title */
function load(title) {
  unload();
  playing = title;
  heading.textContent = title.name;
  note.textContent = '';
  showNext();
  if (!Hls.isSupported()) {
    video.src = title.manifestUrl;
  } else {
    hls = new Hls({
      enableWorker: false,
      capLevelToPlayerSize: true,
      cmcd: { sessionId: sessionId(), contentId: title.id },
    });
    hls.on(Hls.Events.ERROR, (_name, problem) => onProblem(problem));
    hls.loadSource(title.manifestUrl);
    hls.attachMedia(video);
  }
  video.play().catch(() => undefined); // Refused autoplay: the controls are there.
}

/** @param {import('/.nearcast/page/hls.js').ErrorData} problem */
function onProblem(problem) {
  if (!problem.fatal) return;
  if (problem.type === Hls.ErrorTypes.MEDIA_ERROR && hls !== undefined) {
    hls.recoverMediaError();
    return;
  }
  note.textContent = 'The node does not answer. Close and open the title to try again.';
}

function unload() {
  stopCountdown();
  hls?.destroy();
  hls = undefined;
  video.removeAttribute('src');
  playing = undefined;
}

/** The next episode, once it can be played. */
function next() {
  const id = playing?.nextId;
  const title = id === undefined ? undefined : find(id);
  return title?.ready === true ? title : undefined;
}

/** Shows or hides what leads to the next episode; called again when titles become ready. */
export function showNext() {
  nextButton.hidden = next() === undefined;
}

function goNext() {
  const title = next();
  if (title === undefined || playing === undefined) return;
  tell({ type: 'next', title: playing.id, ...position() });
  load(title);
}

function startCountdown() {
  const title = next();
  if (title === undefined) return;
  let left = COUNTDOWN_SECONDS;
  const show = () => {
    upNextCount.textContent = `Starts in ${left} s`;
  };
  upNextName.textContent = title.name;
  upNext.hidden = false;
  show();
  element('up-next-play', HTMLButtonElement).focus();
  countdown = setInterval(() => {
    left -= 1;
    if (left <= 0) goNext();
    else show();
  }, 1000);
}

function stopCountdown() {
  clearInterval(countdown);
  countdown = undefined;
  upNext.hidden = true;
}

function position() {
  return { positionSeconds: Math.round(video.currentTime * 1000) / 1000 };
}

/**
 * @param {import('./events.js').EventType} type
 * @param {Partial<import('./events.js').ViewerEvent>} [more]
 */
function tellNow(type, more = {}) {
  if (playing !== undefined) tell({ type, title: playing.id, ...position(), ...more });
}

function tellOrientation() {
  const isPortrait = matchMedia('(orientation: portrait)').matches;
  tellNow('orientation', { orientation: isPortrait ? 'portrait' : 'landscape' });
}

video.addEventListener('play', () => tellNow('play'));
video.addEventListener('pause', () => {
  if (!video.ended) tellNow('pause');
});
video.addEventListener('seeked', () => tellNow('seek'));
video.addEventListener('ratechange', () => tellNow('rate', { rate: video.playbackRate }));
let wasMuted = video.muted;
video.addEventListener('volumechange', () => {
  if (video.muted && !wasMuted) tellNow('mute');
  wasMuted = video.muted;
});
video.addEventListener('ended', startCountdown);
video.addEventListener('playing', stopCountdown);
matchMedia('(orientation: portrait)').addEventListener('change', tellOrientation);

/** @type {ReturnType<typeof setTimeout> | undefined} */
let idle;
function stir() {
  clearTimeout(idle);
  frame.classList.remove('idle');
  idle = setTimeout(() => frame.classList.toggle('idle', !video.paused), IDLE_MS);
}
for (const type of ['pointermove', 'pointerdown', 'keydown']) dialog.addEventListener(type, stir);
for (const type of ['play', 'pause']) video.addEventListener(type, stir);

nextButton.addEventListener('click', goNext);
element('up-next-play', HTMLButtonElement).addEventListener('click', goNext);
element('up-next-stay', HTMLButtonElement).addEventListener('click', stopCountdown);
element('player-close', HTMLButtonElement).addEventListener('click', () => dialog.close());
dialog.addEventListener('close', () => {
  tellNow('stop');
  unload();
});
