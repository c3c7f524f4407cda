// `nearcast explain URL` for people: the node's own JSON as a page that an operator reads from top to bottom.
import { at, list, number } from './ask.ts';
import { formatBytes, formatSeconds } from './status-text.ts';

const MAX_DECISIONS = 5;
const LABEL_CELLS = 11;
/** Why bytes were asked of an origin, for people. */
const PURPOSES: Readonly<Record<string, string>> = {
  viewer: 'a viewer asked for it',
  revalidate: 'it was revalidated',
  'in-session': 'prefetched for a session',
  'off-peak': 'prefetched off-peak',
  publish: 'warmed when its title was published',
  operator: 'an operator asked for it',
};

/** The queues of a disk's policy, for people. */
const QUEUES: Readonly<Record<string, string>> = {
  small: 'on trial: leaves first unless used twice',
  main: 'kept for being used: leaves last, each use gives another round',
  foretold: 'fetched ahead: waits for its first viewer',
};

const line = (label: string, text: string): string => `  ${label.padEnd(LABEL_CELLS)}${text}`;
const when = (ms: unknown): string => new Date(number(ms)).toISOString().replace(/\.\d+Z$/, 'Z');
const plural = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;

function freshness(variant: unknown): string {
  const left = number(at(variant, 'freshForSeconds'));
  const because = `because of ${String(at(variant, 'because'))}`;
  if (at(variant, 'isInvalidated') === true) return `not usable as it is: ${String(at(variant, 'because'))}`;
  if (left > 0) return `for ${formatSeconds(left)} more, ${because}`;
  return left < 0 ? `stale for ${formatSeconds(-left)}, ${because}` : `not without the origin, ${because}`;
}

function eviction(variant: unknown): string {
  if (at(variant, 'isPinned') === true) return 'pinned: it stays until "nearcast unpin"';
  const place = at(variant, 'eviction');
  if (place === null || place === undefined)
    return 'not on a disk, or not yet: leaves memory when all others were used later';
  const uses = number(at(place, 'uses'));
  const before = `${at(place, 'isMore') === true ? 'at least ' : ''}${formatBytes(number(at(place, 'beforeBytes')))}`;
  const queue = QUEUES[String(at(place, 'queue'))] ?? String(at(place, 'queue'));
  return `${queue}, ${before} before it there; ${plural(uses, 'use')} ${uses === 1 ? 'counts' : 'count'} for it`;
}

function stored(variant: unknown): string {
  const [whole, there] = [number(at(variant, 'sizeBytes')), number(at(variant, 'storedBytes'))];
  const size = there < whole ? `${formatBytes(there)} of ${formatBytes(whole)}` : formatBytes(whole);
  const purpose = String(at(variant, 'purpose'));
  const age = formatSeconds(number(at(variant, 'ageSeconds')));
  return `in ${String(at(variant, 'tier'))}, ${size}, since ${when(at(variant, 'storedAt'))} (age ${age}): ${PURPOSES[purpose] ?? purpose}`;
}

function variantLines(variant: unknown, index: number, count: number): readonly string[] {
  const names = (key: string) => list(at(variant, key)).map(String).join(', ');
  const fields = Object.entries(at(variant, 'fields') ?? {}).map(([name, value]) => `${name}: ${String(value)}`);
  const chosen = String(at(variant, 'variant') ?? '').replaceAll('\n', ', ');
  return [
    ...(count > 1 ? ['', `  variant ${index + 1} of ${count}${chosen === '' ? '' : `, for ${chosen}`}`] : []),
    line('stored', `status ${String(at(variant, 'status'))} ${stored(variant)}`),
    line('fresh', freshness(variant)),
    line('next', String(at(variant, 'next'))),
    line('on error', at(variant, 'servedOnError') === true ? 'served while the origin fails' : 'an error is passed on'),
    line('eviction', eviction(variant)),
    line('hits', String(number(at(variant, 'hits')))),
    ...(names('tags') === '' ? [] : [line('tags', names('tags'))]),
    ...(names('groups') === '' ? [] : [line('groups', names('groups'))]),
    ...fields.map((field, at) => line(at === 0 ? 'fields' : '', field)),
  ];
}

function decisionLine(decision: unknown): string {
  const text = (key: string): string => String(at(decision, key));
  return `${when(at(decision, 'at'))} ${text('outcome')}: ${text('reason')}, ${text('why')}`;
}

/** Where a URL's title stands in what the region is expected to watch, and who says so. */
function rankingText(ranking: unknown): string {
  const version = at(ranking, 'modelVersion');
  const by = typeof version === 'string' ? `model ${version.slice(0, 12)}` : 'plain rules';
  const features = Object.entries(at(ranking, 'features') ?? {})
    .filter(([, value]) => number(value) !== 0)
    .map(([name, value]) => `${name} ${number(value).toFixed(2)}`);
  const place = `${number(at(ranking, 'place'))} of ${number(at(ranking, 'candidates'))}`;
  return `${place} by ${by}, score ${number(at(ranking, 'score')).toFixed(3)}: ${features.join(', ')}`;
}

/** Renders the answer of GET /explain?url=. Missing keys show as nothing, so an older node can still be read. */
export function renderExplained(explained: unknown): string {
  const holding = at(explained, 'holding');
  const lines = [String(at(explained, 'url')), ''];
  if (holding === null || holding === undefined) {
    return `${[...lines, line('origin', 'none: no host and origin of this node serve it (404 or 421)')].join('\n')}\n`;
  }
  const variants = list(at(holding, 'variants'));
  const decisions = list(at(explained, 'decisions'));
  const title = at(explained, 'title');
  const fills = number(at(holding, 'fills'));
  lines.push(
    line('key', String(at(holding, 'key'))),
    line('host', list(at(holding, 'names')).map(String).join(', ')),
    line('origin', String(at(holding, 'origin'))),
    ...(typeof title === 'string' ? [line('title', `${title}  ("nearcast explain --title ${title}" ranks it)`)] : []),
    ...(typeof at(explained, 'ranking', 'place') === 'number'
      ? [line('ranked', rankingText(at(explained, 'ranking')))]
      : []),
    ...(fills > 0 ? [line('under way', plural(fills, 'fetch').replace('fetchs', 'fetches'))] : []),
  );
  if (variants.length === 0) {
    lines.push(line('stored', 'nothing'), line('next', 'a miss: the origin is asked, once for all who wait'));
  }
  for (const [index, variant] of variants.entries()) lines.push(...variantLines(variant, index, variants.length));
  for (const [index, decision] of decisions.slice(0, MAX_DECISIONS).entries())
    lines.push(line(index === 0 ? 'prefetch' : '', decisionLine(decision)));
  return `${lines.join('\n')}\n`;
}
