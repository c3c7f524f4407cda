// The ladder as a table, and bitrate and quality over time.

import {
  axes,
  bits,
  clock,
  type Frame,
  linearScale,
  logScale,
  picture,
  type Scale,
  type Step,
  stepPath,
} from './chart.ts';
import type { ReportRendition, TitleReport } from './facts.ts';
import { escapeHtml, section } from './html.ts';

/** Lines in one chart that can still be told apart; dashes repeat the colours' order. */
const MOST_LINES = 8;
const DASHES = ['', '7 3', '2 3', '9 3 2 3', '4 2', '12 4', '1 2', '6 2 1 2'];
/** Cuts are marked while there are few enough to see something between them. */
const MOST_CUTS = 80;

const FRAME: Frame = { width: 1040, height: 250, left: 52, right: 12, top: 12, bottom: 26 };

/** Every rendition with its figures. */
export function ladderSection({ renditions }: TitleReport): string {
  const most = Math.max(...renditions.map(({ averageBandwidthBps }) => averageBandwidthBps));
  const hasNeg = renditions.some(({ neg }) => neg !== undefined);
  const figure = (value: number | undefined): string => (value === undefined ? '–' : value.toFixed(1));
  const rows = renditions.map((one) => {
    const share = ((one.averageBandwidthBps / most) * 100).toFixed(1);
    return `<tr><th scope="row">${escapeHtml(one.id)}</th><td>${one.width}×${one.height}</td><td><code>${escapeHtml(one.codec)}</code></td>
<td class="number">${bits(one.averageBandwidthBps)}</td><td><span class="meter" aria-hidden="true"><i style="width:${share}%"></i></span></td><td class="number">${bits(one.peakBandwidthBps)}</td>
<td class="number"><b>${figure(one.mean)}</b></td><td class="number">${figure(one.harmonicMean)}</td><td class="number">${figure(one.p5)}</td>${hasNeg ? `<td class="number">${figure(one.neg)}</td>` : ''}</tr>`;
  });
  const head = [
    '',
    'Size',
    'Codec',
    'Average bit/s',
    '',
    'Peak bit/s',
    'Mean',
    'Harmonic mean',
    '5th percentile',
    ...(hasNeg ? ['NEG mean'] : []),
  ];
  const numbers = new Set([3, 5, 6, 7, 8, 9]);
  const columns = head
    .map((name, at) => `<th scope="col"${numbers.has(at) ? ' class="number"' : ''}>${name}</th>`)
    .join('');
  return section(
    'ladder',
    'The ladder',
    `<div class="scroll" tabindex="0" role="region" aria-labelledby="ladder-h"><table><thead><tr>${columns}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`,
  );
}

/** Bitrate and quality over time, a chart each per kind of rendition. */
export function timeSection(report: TitleReport): string {
  const kinds = [...new Set(report.renditions.map(({ kind }) => kind))];
  const charts = kinds.map((kind, at) => {
    const mine = report.renditions.filter((one) => one.kind === kind).slice(0, MOST_LINES);
    const title = kinds.length > 1 ? `<h3>${escapeHtml(kind)}</h3>` : '';
    return `${title}${legend(mine)}${timeChart(report, mine, { id: `bits-${at}`, value: 'bitrateBps' })}${timeChart(report, mine, { id: `quality-${at}`, value: 'mean' })}`;
  });
  return section('time', 'Over time', `${charts.join('')}${timeTable(report)}`);
}

function legend(renditions: readonly ReportRendition[]): string {
  const items = renditions.map(({ id, height, averageBandwidthBps }, at) => {
    const sample = `<svg viewBox="0 0 32 10" aria-hidden="true"><path class="line s${at + 1}" stroke-dasharray="${DASHES[at] ?? ''}" d="M0 5H32"/></svg>`;
    return `<li>${sample}${escapeHtml(id)}: ${height}p, ${bits(averageBandwidthBps)}bit/s</li>`;
  });
  return `<ul class="legend">${items.join('')}</ul>`;
}

type Which = { readonly id: string; readonly value: 'bitrateBps' | 'mean' };

function timeChart(report: TitleReport, renditions: readonly ReportRendition[], { id, value }: Which): string {
  const { parts, durationSeconds } = report;
  const lines = renditions.map(({ timeline }) =>
    timeline.flatMap((one): Step[] => {
      const part = parts[one.part];
      return part === undefined
        ? []
        : [{ from: part.startSeconds, to: part.startSeconds + part.durationSeconds, value: one[value] }];
    }),
  );
  const values = lines.flat().map((step) => step.value);
  const x = linearScale(
    { low: 0, high: durationSeconds, from: FRAME.left, to: FRAME.width - FRAME.right },
    Math.max(1, Math.min(8, durationSeconds)),
  );
  const y = value === 'mean' ? qualityScale(values) : rateScale(values);
  const starts = parts.flatMap(({ shot, startSeconds }, at) =>
    at > 0 && parts[at - 1]?.shot !== shot ? [startSeconds] : [],
  );
  const cuts = starts.length > MOST_CUTS ? [] : starts;
  const marks = cuts.map(
    (at) => `<path class="cut" d="M${x.of(at).toFixed(1)} ${FRAME.top}V${FRAME.height - FRAME.bottom}"/>`,
  );
  const paths = lines.map(
    (steps, at) =>
      `<path class="line s${at + 1}" stroke-dasharray="${DASHES[at] ?? ''}" d="${stepPath(steps, x, y)}"><title>${escapeHtml(renditions[at]?.id ?? '')}</title></path>`,
  );
  const name =
    value === 'mean'
      ? `Quality (${report.metric.name.toUpperCase()}) over time`
      : 'Bitrate over time, bit/s, logarithmic';
  const label = value === 'mean' ? (tick: number) => String(Number(tick.toFixed(2))) : bits;
  const text = `${renditions.length} renditions over ${clock(durationSeconds)}, from ${label(Math.min(...values))} to ${label(Math.max(...values))}. The table below has every figure.`;
  const content = `${axes(FRAME, { ...x, label: clock }, { ...y, label })}${marks.join('')}${paths.join('')}`;
  return `<figure><figcaption class="hint">${name}</figcaption><div class="scroll wide">${picture(FRAME, { id, title: name, text }, content)}</div></figure>`;
}

function rateScale(values: readonly number[]): Scale {
  const [low, high] = [Math.max(1, Math.min(...values) * 0.9), Math.max(1, Math.max(...values)) * 1.1];
  return logScale({ low, high, from: FRAME.height - FRAME.bottom, to: FRAME.top }, 9);
}

function qualityScale(values: readonly number[]): Scale {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low) * 0.06 || 1;
  return linearScale({ low: low - room, high: high + room, from: FRAME.height - FRAME.bottom, to: FRAME.top }, 7);
}

/** The charts' figures for those who cannot see them, folded away. */
function timeTable({ parts, renditions }: TitleReport): string {
  const names = renditions.map(({ id }) => `<th scope="col" class="number">${escapeHtml(id)}</th>`).join('');
  const cells = renditions.map(({ timeline }) => new Map(timeline.map((one) => [one.part, one])));
  const rows = parts.slice(0, MOST_ROWS).map(({ shot, startSeconds }, part) => {
    const figures = cells.map((cell) => {
      const found = cell.get(part);
      return `<td class="number">${found === undefined ? '–' : `${bits(found.bitrateBps)}, ${found.mean.toFixed(1)}`}</td>`;
    });
    return `<tr><th scope="row">${clock(startSeconds)}</th><td class="number">${shot + 1}</td>${figures.join('')}</tr>`;
  });
  const rest =
    parts.length > MOST_ROWS
      ? `<p class="hint">The first ${MOST_ROWS} of ${parts.length}; report.json has all.</p>`
      : '';
  return `<details><summary>As a table: bit/s and mean quality, part by part</summary><div class="scroll" tabindex="0" role="region" aria-label="Bitrate and quality by part"><table><thead><tr><th scope="col">Start</th><th scope="col" class="number">Shot</th>${names}</tr></thead><tbody>${rows.join('')}</tbody></table></div>${rest}</details>`;
}

const MOST_ROWS = 500;
