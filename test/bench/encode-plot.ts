// The Pareto plot of bench:encode as one HTML page with SVG: what each way of making a ladder costs and what it gives,
// and the ladders of each clip.
import type { TitlePoint } from './encode-baselines.ts';
import { bdRate } from './encode-bd.ts';
import type { Measured } from './encode-figures.ts';

type Series = {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly TitlePoint[];
  readonly cpu: number;
};

const SIZE = { width: 560, height: 320, left: 52, bottom: 40, top: 12, right: 12 } as const;

function seriesOf(clip: Measured): Series[] {
  const cpu = (points: readonly TitlePoint[]): number => points.reduce((sum, point) => sum + point.cpu, 0);
  return [
    { name: 'ours', colour: '#0a7d4f', points: clip.ours.rungs, cpu: clip.ours.cpu },
    { name: 'fixed two-pass ladder', colour: '#888888', points: clip.fixed, cpu: cpu(clip.fixed) },
    {
      name: 'per-shot target (Av1an style)',
      colour: '#c2410c',
      points: clip.perShotTarget,
      cpu: cpu(clip.perShotTarget),
    },
    { name: 'one CRF (ab-av1 style)', colour: '#1d4ed8', points: clip.perTitleTarget, cpu: cpu(clip.perTitleTarget) },
  ];
}

type Dot = { readonly x: number; readonly y: number };
type Line = {
  readonly name: string;
  readonly colour: string;
  readonly dots: readonly Dot[];
  readonly isJoined: boolean;
};
type Axis = { readonly title: string; readonly low: number; readonly high: number; readonly ticks: readonly number[] };

function chart(lines: readonly Line[], x: Axis, y: Axis): string {
  const { width, height, left, bottom, top, right } = SIZE;
  const atX = (value: number): number => left + ((value - x.low) / (x.high - x.low)) * (width - left - right);
  const atY = (value: number): number =>
    height - bottom - ((value - y.low) / (y.high - y.low)) * (height - top - bottom);
  const parts = [
    ...x.ticks.map((tick) => {
      const place = atX(Math.log10(tick)).toFixed(1);
      return `<line x1="${place}" x2="${place}" y1="${top}" y2="${height - bottom}" stroke="#eee"/><text x="${place}" y="${height - bottom + 14}" text-anchor="middle">${tick}</text>`;
    }),
    ...y.ticks.map((tick) => {
      const place = atY(tick).toFixed(1);
      return `<line x1="${left}" x2="${width - right}" y1="${place}" y2="${place}" stroke="#eee"/><text x="${left - 6}" y="${place}" text-anchor="end" dy="4">${tick}</text>`;
    }),
    `<text x="${(left + width) / 2}" y="${height - 6}" text-anchor="middle">${x.title}</text>`,
    `<text x="12" y="${height / 2}" text-anchor="middle" transform="rotate(-90 12 ${height / 2})">${y.title}</text>`,
    ...lines.map(({ name, colour, dots, isJoined }) => {
      const places = dots.map((dot) => `${atX(dot.x).toFixed(1)},${atY(dot.y).toFixed(1)}`);
      const line = isJoined
        ? `<polyline points="${places.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.5"/>`
        : '';
      const circles = dots.map(
        (dot) =>
          `<circle cx="${atX(dot.x).toFixed(1)}" cy="${atY(dot.y).toFixed(1)}" r="4" fill="${colour}"><title>${name}</title></circle>`,
      );
      return line + circles.join('');
    }),
  ];
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">${parts.join('')}</svg>`;
}

/** The page. */
export function plotPage(clips: readonly Measured[]): string {
  const cost = clips.flatMap((clip) => {
    const reference = clip.fixed.map((point) => ({ bits: point.bits, quality: point.vmaf }));
    return seriesOf(clip).map(({ name, colour, points, cpu }): Line => {
      const own = points.map((point) => ({ bits: point.bits, quality: point.vmaf }));
      const dot = { x: Math.log10(cpu / clip.seconds), y: name.startsWith('fixed') ? 0 : bdRate(reference, own) };
      return { name: `${name}, ${clip.clip}`, colour, dots: [dot], isJoined: false };
    });
  });
  const xs = cost.flatMap(({ dots }) => dots.map((dot) => dot.x));
  const ys = cost.flatMap(({ dots }) => dots.map((dot) => dot.y));
  const decades = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500];
  const within = (low: number, high: number): number[] =>
    decades.filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
  const [low, high] = [Math.min(...xs) - 0.1, Math.max(...xs) + 0.1];
  const [least, most] = [Math.floor(Math.min(...ys) / 10) * 10, Math.ceil(Math.max(...ys) / 10) * 10];
  const tens = Array.from({ length: (most - least) / 10 + 1 }, (_, at) => least + at * 10);
  const pareto = chart(
    cost,
    { title: 'CPU-seconds for a second of video (log)', low, high, ticks: within(low, high) },
    { title: 'BD-rate against fixed, %', low: least, high: most, ticks: tens },
  );
  const ladders = clips.map((clip) => {
    const lines = seriesOf(clip).map(({ name, colour, points }): Line => {
      const dots = points.map((point) => ({ x: Math.log10(point.bits / 1e6), y: point.vmaf }));
      return { name, colour, dots: dots.sort((a, b) => a.x - b.x), isJoined: true };
    });
    const rates = lines.flatMap(({ dots }) => dots.map((dot) => dot.x));
    const [from, to] = [Math.min(...rates) - 0.05, Math.max(...rates) + 0.05];
    const x = { title: 'Mbit/s (log)', low: from, high: to, ticks: within(from, to) };
    const y = { title: 'VMAF', low: 30, high: 100, ticks: [30, 40, 50, 60, 70, 80, 90, 100] };
    return `<h2>${clip.clip}</h2>${chart(lines, x, y)}`;
  });
  const [first] = clips;
  const keys = (first === undefined ? [] : seriesOf(first)).map(
    ({ name, colour }) => `<span style="color:${colour}">&#9679; ${name}</span>`,
  );
  return `<!doctype html><meta charset="utf-8"><title>bench:encode</title><style>body{font:14px system-ui;margin:2em}text{font:11px system-ui}span{margin-right:1.5em}</style>
<h1>What a ladder costs and what it gives</h1><p>${keys.join('')}</p>${pareto}${ladders.join('')}
`;
}
