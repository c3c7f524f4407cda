// Reports of experiments as a page for people: one HTML file without scripts. Pure.
import type { PolicyReport } from './policies.ts';
import type { ExperimentReport } from './report.ts';
import type { Interval } from './sequences.ts';

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => ESCAPES[character] ?? character);

const number = (value: number): string => {
  if (!Number.isFinite(value) || Math.abs(value) > 1e300) return 'open';
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
};

const range = (interval: Interval | null | undefined): string =>
  interval === undefined || interval === null
    ? 'too little'
    : `${number(interval.estimate)} (${number(interval.low)} to ${number(interval.high)})`;

const cells = (tag: 'td' | 'th', values: readonly string[]): string =>
  `<tr>${values.map((value) => `<${tag}>${escaped(value)}</${tag}>`).join('')}</tr>`;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<table>${cells('th', head)}${rows.map((row) => cells('td', row)).join('')}</table>`;

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}' +
  'table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem .8rem;border-bottom:1px solid #8886;text-align:left}';

const page = (title: string, body: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escaped(title)}</title><style>${STYLE}</style>` +
  `<h1>${escaped(title)}</h1>${body}</html>\n`;

const WHAT_VERDICTS_MEAN =
  'Differences hold at every look at once (95 % over all of them together). "broken": variants did not get their shares of ' +
  'sessions, so nothing here counts. "too-little": fewer than 500 sessions in a variant. Adjusted and learned effects are 95 % ' +
  'intervals for one look after the end; learned ones are worth nothing where the placebo found something.';

/** An experiment's report. */
export function experimentPage(report: ExperimentReport): string {
  const { id, variants, ratio, comparisons, startedAt, stoppedAt } = report;
  const until = stoppedAt === null ? 'and runs' : `until ${new Date(stoppedAt).toISOString()}`;
  const shares = table(
    ['variant', 'policy', 'planned share', 'sessions'],
    variants.map(({ name, policy, share, units }) => [name, policy, number(share), String(units)]),
  );
  const found = table(
    ['metric', 'variant', 'mean', 'control', 'verdict', 'difference', 'adjusted', 'learned', 'placebo'],
    comparisons.map((one) => [
      ...[one.metric, one.variant, number(one.mean), number(one.controlMean), one.verdict],
      ...[range(one.difference), range(one.adjusted), range(one.learned)],
      one.placebo.isSound ? 'finds nothing' : `found ${range(one.placebo.before)}, ${range(one.placebo.shuffled)}`,
    ]),
  );
  const sound = ratio.isSound ? 'as planned' : 'NOT as planned: assignment or logging is broken';
  const check = `<p>Shares are ${sound} (p ${number(ratio.pValue)}, at every look).</p>`;
  const begun = `<p>Since ${new Date(startedAt).toISOString()} ${until}.</p>`;
  return page(`Experiment ${id}`, `${begun}${shares}${check}${found}<p>${WHAT_VERDICTS_MEAN}</p>`);
}

/** What other policies would have earned. */
export function policiesPage(report: PolicyReport): string {
  const body = report.slots.map(({ slot, choices, reward, policies }) => {
    const rows = policies.map(({ policy, estimate }) => [
      policy,
      estimate === null ? '0' : number(estimate.effectiveCount),
      ...(estimate?.isDecidable === true
        ? [range(estimate.ips), range(estimate.snips), range(estimate.dr)]
        : ['too little to tell', '', '']),
    ]);
    const head = ['policy', 'effective choices', 'IPS', 'SNIPS', 'DR'];
    return `<h2>${escaped(slot)}</h2><p>${choices} choices, mean reward ${number(reward)}.</p>${table(head, rows)}`;
  });
  return page('What other policies would have earned', body.join(''));
}
