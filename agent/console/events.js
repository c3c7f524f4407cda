// What the page tells the node: a session id, the consent, and events in small batches (CONTRACTS.md, viewer routes).

/** @typedef {'none' | 'personal'} Consent */
/** @typedef {'play'|'pause'|'seek'|'rate'|'hover'|'unhover'|'open'|'next'|'stop'|'mute'|'orientation'} EventType */
/**
 * @typedef {object} ViewerEvent
 * @property {EventType} type
 * @property {string} title
 * @property {number} [positionSeconds]
 * @property {number} [rate]
 * @property {'portrait' | 'landscape'} [orientation]
 * @property {string} [dwellBucket]
 * @property {string} [rewardToken]
 */

const URL_EVENTS = '/.nearcast/events';
const STORE_KEY = 'nearcast';
const MOST_EVENTS = 64;
/** Events wait this long for company. */
const BATCH_MS = 800;

/** @type {(ViewerEvent & { at: number })[]} */
let waiting = [];
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let session = readSession();
/**
 * Token of the preview that led to each title that was opened: what becomes of it is told with it.
 * @type {Map<string, string>}
 */
const tokens = new Map();
/** @type {Map<string, string>} */
const forPlay = new Map();
const TOLD_WITH_TOKEN = new Set(['play', 'pause', 'seek', 'stop', 'next']);
/** A return within the week is told by the token of what was watched last; kept only with consent. */
const RETURN_KEY = 'nearcast-return';
const WEEK_MS = 7 * 86_400_000;

/** @returns {{ sid: string, consent: Consent }} */
function readSession() {
  try {
    const read = JSON.parse(sessionStorage.getItem(STORE_KEY) ?? 'null');
    if (read?.consent === 'personal' && typeof read.sid === 'string') return { sid: read.sid, consent: 'personal' };
  } catch {
    // No storage here: the session lasts as long as the page.
  }
  return { sid: makeId(), consent: 'none' };
}

/** Kept for this tab, and only with consent: without it every load of the page is somebody new. */
function keepSession() {
  try {
    if (session.consent === 'personal') sessionStorage.setItem(STORE_KEY, JSON.stringify(session));
    else {
      sessionStorage.removeItem(STORE_KEY);
      localStorage.removeItem(RETURN_KEY);
    }
  } catch {
    // No storage here: the session lasts as long as the page.
  }
}

/** A random UUID; crypto.randomUUID needs a secure context, which a node on a local network is not. */
function makeId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** The CMCD session id. */
export function sessionId() {
  return session.sid;
}

/** @returns {Consent} */
export function consent() {
  return session.consent;
}

/**
 * Sets the consent. Withdrawing it erases: the node hears `none` for the old session, which then ends.
 * @param {Consent} next
 */
export function setConsent(next) {
  flush();
  const isWithdrawn = next === 'none';
  if (!isWithdrawn) session = { ...session, consent: next };
  post(isWithdrawn ? { ...session, consent: 'none' } : session, []);
  if (isWithdrawn) session = { sid: makeId(), consent: 'none' };
  keepSession();
}

/**
 * Remembers the token of the preview by which a title was opened.
 * @param {string} title
 * @param {string | undefined} token
 */
export function keepToken(title, token) {
  if (token === undefined) return;
  tokens.set(title, token);
  try {
    if (session.consent === 'personal')
      localStorage.setItem(RETURN_KEY, JSON.stringify({ token, until: Date.now() + WEEK_MS }));
  } catch {
    // No storage here: a return is not told.
  }
}

/**
 * Remembers the token of a title's picture, which the first play is told with: the opening is told with the preview's.
 * @param {string} title
 * @param {string | undefined} token
 */
export function keepForPlay(title, token) {
  if (token !== undefined) forPlay.set(title, token);
}

/**
 * @param {EventType} type
 * @param {string} title
 */
function tokenFor(type, title) {
  const picture = type === 'play' ? forPlay.get(title) : undefined;
  if (picture !== undefined) forPlay.delete(title);
  return picture ?? (TOLD_WITH_TOKEN.has(type) ? tokens.get(title) : undefined);
}

/** The token of what was watched on an earlier visit, once. */
function takeReturnToken() {
  try {
    const kept = JSON.parse(localStorage.getItem(RETURN_KEY) ?? 'null');
    if (tokens.size > 0 || session.consent !== 'personal' || typeof kept?.token !== 'string') return undefined;
    localStorage.removeItem(RETURN_KEY);
    return kept.until > Date.now() ? kept.token : undefined;
  } catch {
    return undefined; // No storage here.
  }
}

/**
 * Queues one event; `hover` and `open` go at once, because the node can fetch ahead by them.
 * @param {ViewerEvent} event
 */
export function tell(event) {
  const token = tokenFor(event.type, event.title);
  const returned = event.type === 'open' && event.rewardToken === undefined ? takeReturnToken() : undefined;
  const rewardToken = event.rewardToken ?? token ?? returned;
  waiting.push({ at: Date.now(), ...event, ...(rewardToken === undefined ? {} : { rewardToken }) });
  if (event.type === 'hover' || event.type === 'open' || waiting.length >= MOST_EVENTS) flush();
  else timer ??= setTimeout(flush, BATCH_MS);
}

/** Sends what waits; with a beacon when the page may be going. */
function flush() {
  clearTimeout(timer);
  timer = undefined;
  if (waiting.length === 0) return;
  const events = waiting.slice(0, MOST_EVENTS);
  waiting = [];
  post(session, events);
}

/**
 * @param {{ sid: string, consent: Consent }} who
 * @param {readonly object[]} events
 */
function post(who, events) {
  const body = JSON.stringify({ version: 1, sid: who.sid, consent: who.consent, events });
  if (document.visibilityState === 'hidden' && navigator.sendBeacon(URL_EVENTS, body)) return;
  const headers = { 'content-type': 'application/json' };
  // An event that is lost costs a little foresight; the page never waits for it.
  fetch(URL_EVENTS, { method: 'POST', body, headers, keepalive: true }).catch(() => undefined);
}

/** @param {number} milliseconds How long a pointer rested. */
export function dwellBucket(milliseconds) {
  if (milliseconds < 1000) return 'under-1';
  if (milliseconds < 3000) return '1-3';
  return milliseconds < 10_000 ? '3-10' : 'over-10';
}

addEventListener('pagehide', flush);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'hidden') flush();
});
