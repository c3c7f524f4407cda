// The demo page: asks the node for its titles and its doings, and puts cards, previews, player and consent together.
import {
  findTitle,
  isAnyPending,
  refreshArtwork,
  setText,
  showTitles,
  takePictureToken,
} from '/.nearcast/page/cards.js';
import { consent, keepForPlay, keepToken, setConsent } from '/.nearcast/page/events.js';
import { showActivity } from '/.nearcast/page/panel.js';
import { openPlayer, play, showNext } from '/.nearcast/page/player.js';
import { leave, showAnew, takeToken } from '/.nearcast/page/preview.js';

/** @typedef {import('./cards.js').Title} Title */

/** Between two questions while something is being made or missed, and otherwise. */
const PENDING_MS = 1000;
const SETTLED_MS = 15_000;
const ACTIVITY_MS = 2000;
const ANSWER_MS = 5000;
/** One missed answer is a hiccup, more are an outage. */
const MOST_MISSED = 2;

const list = document.getElementById('titles');
const link = document.getElementById('link');
const radios = /** @type {HTMLInputElement[]} */ (Array.from(document.querySelectorAll('input[name=consent]')));
let missed = 0;

/** @param {string} url */
async function ask(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS), cache: 'no-store' });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.json();
}

/** @param {boolean} isAnswered */
function showLink(isAnswered) {
  missed = isAnswered ? 0 : missed + 1;
  if (link === null || (missed > 0 && missed < MOST_MISSED)) return;
  const state = missed === 0 ? 'live' : navigator.onLine ? 'lost' : 'offline';
  link.dataset.state = state;
  document.body.dataset.link = state;
  const texts = { live: 'Live', lost: 'The node does not answer; trying again', offline: 'You are offline' };
  setText(document.getElementById('link-text'), texts[state]);
}

/** @param {Title} title */
function open(title) {
  const token = takeToken(title.id);
  const picture = takePictureToken(title.id);
  if (token === undefined) keepToken(title.id, picture);
  else keepForPlay(title.id, picture);
  play(title, token ?? picture);
}

async function refreshTitles() {
  const titles = await ask('/.nearcast/titles');
  if (list === null || !Array.isArray(titles)) return;
  showTitles(list, titles, open);
  showNext();
  const [empty, hint] = ['empty', 'shelf-hint'].map((id) => document.getElementById(id));
  empty?.toggleAttribute('hidden', titles.length > 0);
  hint?.toggleAttribute('hidden', titles.length === 0);
}

async function refreshActivity() {
  showActivity(await ask('/.nearcast/activity'));
}

/**
 * Repeats while the page is seen; the first round is at once, and another one when the page is seen again.
 * @param {() => Promise<void>} refresh
 * @param {() => number} waitMs
 */
function repeat(refresh, waitMs) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let isRunning = false;
  const round = async () => {
    if (isRunning || document.visibilityState === 'hidden') return;
    isRunning = true;
    clearTimeout(timer);
    try {
      await refresh();
      showLink(true);
    } catch {
      showLink(false); // Shown to the viewer; the next round tries again.
    }
    isRunning = false;
    timer = setTimeout(round, waitMs());
  };
  document.addEventListener('visibilitychange', round);
  addEventListener('online', round);
  round();
}

function showConsent() {
  for (const radio of radios) radio.checked = radio.value === consent();
}

/**
 * @param {'none' | 'personal'} next
 * @param {string} note
 */
function changeConsent(next, note) {
  setConsent(next);
  showConsent();
  setText(document.getElementById('consent-note'), note);
  refreshArtwork();
  showAnew();
}

for (const radio of radios)
  radio.addEventListener('change', () => {
    if (radio.value === 'personal') changeConsent('personal', 'Thank you. Your previews will follow what you watch.');
    else changeConsent('none', 'What was known is erased.');
  });
document
  .getElementById('forget')
  ?.addEventListener('click', () => changeConsent('none', 'Everything about you is erased.'));
document.getElementById('hero-play')?.addEventListener('click', () => {
  const title = findTitle(document.getElementById('hero')?.dataset.title ?? '');
  if (title?.ready) open(title);
});
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'hidden') leave();
});

openPlayer(findTitle);
showConsent();
repeat(refreshTitles, () => (isAnyPending() || missed > 0 ? PENDING_MS : SETTLED_MS));
repeat(refreshActivity, () => (missed > 0 ? PENDING_MS : ACTIVITY_MS));
