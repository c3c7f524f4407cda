// Title cards and the large picture above them. Cards are made once and then only changed, so that nothing jumps.
import { consent, sessionId } from '/.nearcast/page/events.js';
import { leave, restOn, whyInWords } from '/.nearcast/page/preview.js';

/**
 * @typedef {object} Title
 * @property {string} id
 * @property {string} name
 * @property {string} manifestUrl
 * @property {string | null} [poster]
 * @property {string} [report]
 * @property {boolean} ready
 * @property {number} progressRatio
 * @property {string} [nextId]
 * @property {boolean} [isEncodedHere]
 * @property {string} [failure]
 */

/**
 * @typedef {object} Card
 * @property {HTMLLIElement} item
 * @property {HTMLButtonElement} button
 * @property {HTMLElement} art
 * @property {HTMLImageElement} image
 * @property {HTMLElement} name
 * @property {HTMLElement} note
 * @property {HTMLProgressElement} progress
 * @property {HTMLAnchorElement} report
 * @property {Title} title
 */

const HERO = ['hero', 'hero-art', 'hero-name', 'hero-note', 'hero-play'];
const [hero, heroArt, heroName, heroNote, heroPlay] = HERO.map((id) => document.getElementById(id));

/** @type {Map<string, Card>} */
const cards = new Map();
/**
 * Reward tokens of the pictures that are shown, by title.
 * @type {Map<string, string>}
 */
const pictureTokens = new Map();

/**
 * The reward token of a title's picture, once.
 * @param {string} title
 */
export function takePictureToken(title) {
  const token = pictureTokens.get(title);
  pictureTokens.delete(title);
  return token;
}

/** @param {string} id */
export function findTitle(id) {
  return cards.get(id)?.title;
}

/** Whether any title is still being made. */
export function isAnyPending() {
  return [...cards.values()].some(({ title }) => !title.ready);
}

/**
 * Shows these titles and no others.
 * @param {HTMLElement} list
 * @param {readonly Title[]} titles
 * @param {(title: Title) => void} onOpen
 */
export function showTitles(list, titles, onOpen) {
  const ids = new Set(titles.map((title) => title.id));
  for (const [id, card] of cards) {
    if (ids.has(id)) continue;
    card.item.remove();
    cards.delete(id);
  }
  for (const title of titles) {
    const card = cards.get(title.id) ?? makeCard(title, onOpen);
    if (!card.item.isConnected) list.append(card.item);
    cards.set(title.id, card);
    fill(card, title);
  }
  showHero(titles);
}

/**
 * @param {string} tag
 * @param {string} className
 */
function make(tag, className) {
  const made = document.createElement(tag);
  made.className = className;
  return made;
}

/**
 * @param {Title} title
 * @param {(title: Title) => void} onOpen
 * @returns {Card}
 */
function makeCard(title, onOpen) {
  const item = document.createElement('li');
  item.className = 'card';
  item.dataset.title = title.id;
  const button = document.createElement('button');
  button.type = 'button';
  const art = make('span', 'art');
  const image = document.createElement('img');
  image.alt = '';
  image.decoding = 'async';
  image.hidden = true;
  image.addEventListener('error', () => {
    image.hidden = true;
  });
  const progress = document.createElement('progress');
  progress.max = 1;
  art.append(image, make('span', 'play'), progress);
  const name = make('span', 'name');
  const note = make('span', 'note');
  button.append(art, name, note);
  const report = document.createElement('a');
  report.className = 'report';
  report.textContent = 'Report';
  report.hidden = true;
  item.append(button, report);
  /** @type {Card} */
  const card = { item, button, art, image, name, note, progress, report, title };
  const rest = () => {
    if (card.title.ready) restOn(card.title.id, art, card.title.isEncodedHere !== false);
  };
  button.addEventListener('pointerenter', (event) => {
    if (event.pointerType === 'mouse') rest();
  });
  button.addEventListener('pointerleave', leave);
  button.addEventListener('focus', () => {
    if (button.matches(':focus-visible')) rest();
  });
  button.addEventListener('blur', leave);
  button.addEventListener('click', () => {
    if (card.title.ready) onOpen(card.title);
  });
  return card;
}

/**
 * @param {Title} title
 * @returns {'ready' | 'failed' | 'encoding' | 'waiting'}
 */
function stateOf(title) {
  if (title.ready) return 'ready';
  if (title.failure !== undefined) return 'failed';
  return title.progressRatio > 0 ? 'encoding' : 'waiting';
}

/**
 * @param {Card} card
 * @param {Title} title
 */
function fill(card, title) {
  card.title = title;
  const percent = Math.floor(title.progressRatio * 100);
  const state = stateOf(title);
  card.item.dataset.state = state;
  setText(card.name, title.name);
  setText(
    card.note,
    {
      ready: 'Ready to play',
      encoding: `Encoding, ${percent} %`,
      waiting: 'Waiting to be encoded',
      failed: `Could not be encoded (${title.failure})`,
    }[state],
  );
  card.progress.value = title.progressRatio;
  card.progress.hidden = state === 'ready' || state === 'failed';
  card.progress.setAttribute('aria-label', `Encoding of ${title.name}`);
  card.button.setAttribute('aria-disabled', String(!title.ready));
  if (setPoster(card.image, title)) askArtwork(card.image, title.id).catch(() => undefined); // The poster stays.
  const hasReport = title.ready && typeof title.report === 'string';
  card.report.hidden = !hasReport;
  if (hasReport) card.report.setAttribute('href', title.report ?? '');
  card.report.setAttribute('aria-label', `How ${title.name} was encoded`);
}

/** @param {readonly Title[]} titles */
function showHero(titles) {
  const title = titles.find((one) => one.ready) ?? titles[0];
  if (hero === null) return;
  hero.dataset.state = title === undefined ? 'empty' : title.ready ? 'ready' : 'encoding';
  hero.dataset.title = title?.id ?? '';
  if (heroPlay instanceof HTMLButtonElement) heroPlay.disabled = title?.ready !== true;
  if (heroArt instanceof HTMLImageElement && title !== undefined) setPoster(heroArt, title);
  setText(heroName, title?.name ?? 'Nothing here yet');
  if (title === undefined) setText(heroNote, 'The first title appears as soon as its encode begins.');
  else if (title.ready && title.isEncodedHere === false) setText(heroNote, "Served from this node's cache.");
  else if (title.ready) setText(heroNote, 'Encoded shot by shot on this node, and served from its cache.');
  else if (title.failure !== undefined) setText(heroNote, `It could not be encoded: ${title.failure}.`);
  else setText(heroNote, `The first title is being encoded: ${Math.floor(title.progressRatio * 100)} % done.`);
}

/**
 * Shows the poster; true when it was not shown yet for this consent, and a picture may be asked for.
 * @param {HTMLImageElement} image
 * @param {Title} title
 */
function setPoster(image, title) {
  if (typeof title.poster !== 'string' || !title.ready) {
    image.hidden = true;
    return false;
  }
  const of = `${consent()} ${title.poster}`;
  if (image.dataset.of === of) return false;
  image.dataset.of = of;
  image.removeAttribute('srcset');
  image.removeAttribute('title');
  image.src = title.poster;
  image.hidden = false;
  return true;
}

/**
 * Shows the picture that was chosen for this viewer in place of the poster.
 * @param {HTMLImageElement} image
 * @param {string} title
 */
async function askArtwork(image, title) {
  const { of } = image.dataset;
  const asked = new URLSearchParams({ width: String(Math.round(image.clientWidth * devicePixelRatio) || 320) });
  if (consent() === 'personal') asked.set('sid', sessionId());
  const answer = await fetch(`/.nearcast/artwork/${encodeURIComponent(title)}?${asked}`, { cache: 'no-store' });
  if (!answer.ok) return;
  const { src, srcset, why, token } = await answer.json();
  if (image.dataset.of !== of || typeof src !== 'string') return;
  if (typeof token === 'string') pictureTokens.set(title, token);
  image.dataset.answer = why.answer;
  image.title = whyInWords(why.answer, why.variant === 'poster' ? 'its poster' : 'a picture of it', why.like);
  if (srcset !== '') {
    image.sizes = `${Math.round(image.clientWidth) || 320}px`;
    image.srcset = srcset;
  }
  image.src = src;
}

/** Asks anew for what depends on the consent. */
export function refreshArtwork() {
  for (const card of cards.values()) fill(card, card.title);
}

/**
 * Leaves the text alone when it is the same, so that a reader aloud is not disturbed.
 * @param {Element | null} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target !== null && target.textContent !== text) target.textContent = text;
}
