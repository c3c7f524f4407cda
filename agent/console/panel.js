// The panel "What the node is doing": figures of GET /.nearcast/activity, shown as they come.
import { setText } from '/.nearcast/page/cards.js';

/**
 * @typedef {object} Prefetched
 * @property {number} at
 * @property {string} [title]
 * @property {string} [url]
 * @property {string} reason
 * @property {string} outcome
 * @property {number} [bytes]
 */

/**
 * @typedef {object} Activity
 * @property {number | null} hitRatio
 * @property {number | null} byteHitRatio
 * @property {Record<string, number>} requests
 * @property {number} originBytes
 * @property {number} servedBytes
 * @property {readonly Prefetched[]} prefetched
 * @property {{ version: string | number | null, answeredBy: string } | null} model
 * @property {readonly { id: string, progressRatio: number, step: string }[]} encodes
 */

/** In the order of the bar; what is not listed here is not shown. */
const RESULTS = ['hit', 'stale', 'revalidated', 'miss', 'pass', 'error'];
/** Results that are named even when there are none. */
const ALWAYS_NAMED = new Set(['hit', 'miss']);
const MOST_AHEAD = 5;

/** @param {string} id */
const at = (id) => document.getElementById(id);
const count = new Intl.NumberFormat('en');

/** @param {Activity} activity */
export function showActivity(activity) {
  showGauge('gauge-hits', activity.hitRatio);
  showGauge('gauge-bytes', activity.byteHitRatio);
  showResults(activity.requests ?? {});
  const { servedBytes = 0, originBytes = 0 } = activity;
  setText(at('served'), formatBytes(servedBytes));
  setText(at('origin'), formatBytes(originBytes));
  setText(at('saved'), formatSaved(servedBytes, originBytes));
  setText(at('model'), modelText(activity.model));
  showEncodes(activity.encodes ?? []);
  showAhead(activity.prefetched ?? []);
}

/**
 * @param {string} id
 * @param {number | null | undefined} ratio
 */
function showGauge(id, ratio) {
  const gauge = at(id);
  const isKnown = typeof ratio === 'number' && Number.isFinite(ratio);
  setText(gauge?.querySelector('strong') ?? null, isKnown ? `${Math.round(ratio * 100)} %` : '–');
  const drawn = isKnown ? Math.max(0, Math.min(1, ratio)) * 100 : 0;
  const arc = gauge?.querySelector('.value');
  if (arc instanceof SVGElement) arc.style.strokeDasharray = `${drawn} 100`;
}

/** @param {Record<string, number>} requests */
function showResults(requests) {
  const bar = at('results-bar');
  const legend = at('results');
  if (bar === null || legend === null) return;
  const total = RESULTS.reduce((sum, result) => sum + (requests[result] ?? 0), 0);
  const parts = RESULTS.map((result) => ({ result, number: requests[result] ?? 0 }));
  bar.replaceChildren(
    ...parts.map(({ result, number }) => {
      const part = document.createElement('span');
      part.dataset.result = result;
      part.style.flexGrow = String(total === 0 ? 0 : number / total);
      return part;
    }),
  );
  const named = parts.filter(({ result, number }) => number > 0 || ALWAYS_NAMED.has(result));
  legend.replaceChildren(
    ...named.map(({ result, number }) => {
      const item = document.createElement('li');
      item.dataset.result = result;
      item.append(text('span', result), text('b', count.format(number)));
      return item;
    }),
  );
}

/**
 * @param {number} served
 * @param {number} origin
 */
function formatSaved(served, origin) {
  if (served <= 0) return '–';
  const saved = Math.max(0, served - origin);
  return `${formatBytes(saved)} (${Math.floor((saved / served) * 100)} %)`;
}

/** @param {Activity['model']} model */
function modelText(model) {
  if (model === null || model === undefined) return 'nobody yet';
  if (model.answeredBy !== 'model') return 'plain rules';
  const version = model.version === null ? '' : ` ${String(model.version).slice(0, 8)}`;
  return `model${version}`;
}

/** @param {Activity['encodes']} encodes */
function showEncodes(encodes) {
  const list = at('encodes');
  const part = at('encodes-part');
  if (list === null || part === null) return;
  part.hidden = encodes.length === 0;
  list.replaceChildren(
    ...encodes.map(({ id, progressRatio, step }) => {
      const item = document.createElement('li');
      const progress = document.createElement('progress');
      progress.max = 1;
      progress.value = progressRatio;
      progress.setAttribute('aria-label', `Encoding of ${id}`);
      item.append(text('b', id), text('span', `${step}, ${Math.floor(progressRatio * 100)} %`), progress);
      return item;
    }),
  );
}

/** @param {readonly Prefetched[]} prefetched */
function showAhead(prefetched) {
  const list = at('ahead');
  if (list === null || prefetched.length === 0) return;
  list.replaceChildren(
    ...prefetched.slice(0, MOST_AHEAD).map((one) => {
      const item = document.createElement('li');
      const outcome = text('span', one.outcome.replaceAll('-', ' '));
      outcome.className = 'outcome';
      outcome.dataset.outcome = one.outcome;
      const why = text('span', one.reason.replaceAll('-', ' '));
      why.className = 'why';
      const size = typeof one.bytes === 'number' && one.bytes > 0 ? `${formatBytes(one.bytes)}, ` : '';
      const when = text('span', size + ago(one.at));
      when.className = 'when';
      const name = text('b', one.title ?? one.url ?? '');
      if (one.url !== undefined) item.title = one.url;
      item.append(name, outcome, why, when);
      return item;
    }),
  );
}

/**
 * @param {'b' | 'span'} tag
 * @param {string} content
 */
function text(tag, content) {
  const made = document.createElement(tag);
  made.textContent = content;
  return made;
}

/** @param {number} bytes */
function formatBytes(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** @param {number} time Milliseconds since the epoch. */
function ago(time) {
  const seconds = Math.max(0, Math.round((Date.now() - time) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min ago` : `${Math.floor(seconds / 3600)} h ago`;
}
