// A small plot for each part of a title: every trial, their convex hull, and the trials that ship.
import { convexHull } from '../plan/hull.ts';
import { axes, bits, clock, type Frame, linearScale, logScale, picture, px } from './chart.ts';
import type { ReportTrial, TitleReport } from './facts.ts';
import { escapeHtml, section } from './html.ts';

const FRAME: Frame = { width: 260, height: 190, left: 34, right: 12, top: 10, bottom: 24 };
/** Plots on one page; a film has thousands of parts, and report.json has them all. */
const MOST_PLOTS = 240;
/** Plots that are open at first; the others are behind a heading of their kind. */
const OPEN_PLOTS = 36;
/** Shapes of the heights, highest first, so that they are told apart without colour. */
const SHAPES = [
  (x: number, y: number) => `<circle class="d1" cx="${px(x)}" cy="${px(y)}" r="3"/>`,
  (x: number, y: number) => `<rect class="d2" x="${px(x - 2.7)}" y="${px(y - 2.7)}" width="5.4" height="5.4"/>`,
  (x: number, y: number) => `<path class="d3" d="M${px(x)} ${px(y - 3.6)}l3.5 6.2h-7z"/>`,
  (x: number, y: number) => `<path class="d4" d="M${px(x)} ${px(y - 3.8)}l3.8 3.8-3.8 3.8-3.8-3.8z"/>`,
] as const;

const shapeAt = (at: number) => SHAPES[Math.min(at, SHAPES.length - 1)] ?? SHAPES[0];

/** The plots of every kind of rendition. */
export function hullSection(report: TitleReport): string {
  const kinds = [...new Set(report.renditions.map(({ kind }) => kind))];
  const heights = [...new Set(report.trials.map(({ height }) => height))].sort((a, b) => b - a);
  const keys = heights.map(
    (height, at) =>
      `<li><svg viewBox="0 0 10 10" style="width:.8rem" aria-hidden="true">${shapeAt(at)(5, 5)}</svg>${height}p</li>`,
  );
  const ring = `<li><svg viewBox="0 0 12 12" style="width:.9rem" aria-hidden="true"><circle class="ring" cx="6" cy="6" r="5"/></svg>ships, in the rendition of that number</li>`;
  const blocks = kinds.map((kind, at) =>
    hullsOf(report, kind, { heights, isFirst: at === 0, isOnly: kinds.length === 1 }),
  );
  const text = `<p>Each dot is one trial encode: its bits a second (logarithmic) against its mean quality. The line is the convex hull, beyond which nothing was found; ringed trials were chosen.</p>`;
  return section('hulls', 'Shot by shot', `${text}<ul class="legend">${keys.join('')}${ring}</ul>${blocks.join('')}`);
}

type Block = { readonly heights: readonly number[]; readonly isFirst: boolean; readonly isOnly: boolean };

function hullsOf(report: TitleReport, kind: string, { heights, isFirst, isOnly }: Block): string {
  const shown = report.parts.slice(0, MOST_PLOTS);
  const plots = shown.map((_, part) => {
    const trials = report.trials.filter((trial) => trial.part === part && trial.kind === kind);
    return trials.length === 0 ? '' : `<li>${plot(report, { part, kind, trials, heights })}</li>`;
  });
  const left = report.parts.length - shown.length;
  const more = left > 0 ? `<p class="hint">${left} more are in report.json.</p>` : '';
  const list = (items: readonly string[]): string => `<ul class="hulls">${items.join('')}</ul>`;
  const open = list(plots.slice(0, OPEN_PLOTS));
  const rest = plots.slice(OPEN_PLOTS);
  const folded = rest.length > 0 ? `<details><summary>${rest.length} more</summary>${list(rest)}</details>` : '';
  const title = isOnly ? '' : `<h3>${escapeHtml(kind)}</h3>`;
  if (isFirst) return `${title}${open}${folded}${more}`;
  return `<details><summary>${escapeHtml(kind)}: ${plots.length} plots</summary>${list(plots)}${more}</details>`;
}

type Plot = {
  readonly part: number;
  readonly kind: string;
  readonly trials: readonly ReportTrial[];
  readonly heights: readonly number[];
};

function plot(report: TitleReport, { part, kind, trials, heights }: Plot): string {
  const { startSeconds = 0, durationSeconds = 0, shot = 0 } = report.parts[part] ?? {};
  const rates = trials.map(({ bitrateBps }) => bitrateBps);
  const qualities = trials.map(({ mean }) => mean);
  const [low, high] = [Math.min(...qualities), Math.max(...qualities)];
  const room = (high - low) * 0.08 || 1;
  const across = {
    low: Math.min(...rates) * 0.88,
    high: Math.max(...rates) * 1.14,
    from: FRAME.left,
    to: FRAME.width - FRAME.right,
  };
  const x = logScale(across, 4);
  const y = linearScale({ low: low - room, high: high + room, from: FRAME.height - FRAME.bottom, to: FRAME.top }, 4);
  const hull = convexHull(trials.map((trial) => ({ bits: trial.bitrateBps, quality: trial.mean })));
  const line = hull
    .map((point, at) => `${at === 0 ? 'M' : 'L'}${px(x.of(point.bits))} ${px(y.of(point.quality))}`)
    .join('');
  const dots = trials.map((trial) => {
    const told = `${trial.height}p, CRF ${Number(trial.crf.toFixed(1))}: ${bits(trial.bitrateBps)}bit/s, mean ${trial.mean.toFixed(1)}, 5th percentile ${trial.p5.toFixed(1)}`;
    const [cx, cy] = [x.of(trial.bitrateBps), y.of(trial.mean)];
    return `<g><title>${told}</title>${shapeAt(heights.indexOf(trial.height))(cx, cy)}${chosen(trial, cx, cy)}</g>`;
  });
  const title = `Shot ${shot + 1}${isSplit(report, part) ? `, from ${clock(startSeconds)}` : ''}`;
  const label = (tick: number): string => String(Number(tick.toFixed(2)));
  const content = `${axes(FRAME, { ...x, label: bits }, { ...y, label })}<path class="hull" d="${line}"/>${dots.join('')}`;
  const ships = trials.filter(({ renditions }) => renditions.length > 0);
  const text = ships
    .map(
      ({ renditions, height, bitrateBps, mean }) =>
        `${renditions.join(' and ')}: ${height}p, ${bits(bitrateBps)}bit/s, ${mean.toFixed(1)}`,
    )
    .join('; ');
  const id = `hull-${kind.replace(/[^a-z0-9]/gi, '-')}-${part}`;
  return `<h4>${title}</h4><p>${clock(startSeconds)}, ${durationSeconds.toFixed(1)} s</p>${picture(FRAME, { id, title: `${title}: ${trials.length} trials`, text: `Chosen: ${text || 'none'}` }, content)}`;
}

/** A shot of several parts. */
function isSplit({ parts }: TitleReport, part: number): boolean {
  const shot = parts[part]?.shot;
  return parts[part - 1]?.shot === shot || parts[part + 1]?.shot === shot;
}

function chosen({ renditions }: ReportTrial, x: number, y: number): string {
  if (renditions.length === 0) return '';
  const names = renditions.map((id) => id.replace(/^v/, '')).join(',');
  const isRight = x > FRAME.width - FRAME.right - 26;
  const place = isRight ? `class="name end" x="${px(x - 8)}"` : `class="name" x="${px(x + 8)}"`;
  return `<circle class="ring" cx="${px(x)}" cy="${px(y)}" r="6"/><text ${place} y="${px(y + 10)}">${escapeHtml(names)}</text>`;
}
