// The table of a replay as a page of HTML with its charts inside: no script, nothing from the network. Pure.
import type { Replayed } from './replay.ts';

/** A line of the table. */
export type ChartRow = { readonly name: string; readonly size: string } & Pick<
  Replayed,
  'requestHitRatio' | 'byteHitRatio' | 'originBytes' | 'prefetchedBytes' | 'originP95' | 'bins'
>;

/** The page's parts besides the rows: the text above them, and how numbers are written. */
export type ChartText = {
  readonly title: string;
  readonly lines: readonly string[];
  readonly bytes: (value: number) => string;
  readonly bits: (value: number) => string;
  /** Seconds since the epoch of the first bin, and how long a bin is. */
  readonly firstSeconds: number;
  readonly binSeconds: number;
};

/** Okabe and Ito's colours, which colour-blind readers can tell apart (jfly.uni-koeln.de/color). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#000000', '#999999'] as const;
const WIDTH = 900;
const HEIGHT = 300;
const LEFT = 90;
const BOTTOM = 34;
/** Points of a line over time at most. */
const POINTS = 400;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
const colourOf = (index: number): string => COLOURS[index % COLOURS.length] ?? '#000000';
const places = (value: number): string => value.toFixed(1);

/** A round number of steps' height: 1, 2 or 5 times a power of ten. */
function stepOf(most: number): number {
  const raw = most / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * ([1, 2, 5].find((factor) => factor * power >= raw) ?? 10);
}

/** The frame of a chart: lines with their values on the left. */
function frame(most: number, written: (value: number) => string): { svg: string; y: (value: number) => number } {
  const step = stepOf(Math.max(most, Number.MIN_VALUE));
  const top = Math.max(1, Math.ceil(most / step)) * step;
  const y = (value: number): number => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - 12);
  const marks = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step);
  const svg = marks
    .map(
      (mark) =>
        `<line x1="${LEFT}" x2="${WIDTH}" y1="${places(y(mark))}" y2="${places(y(mark))}" class="grid"/>` +
        `<text x="${LEFT - 8}" y="${places(y(mark) + 4)}" text-anchor="end">${escaped(written(mark))}</text>`,
    )
    .join('');
  return { svg, y };
}

const legend = (names: readonly string[]): string =>
  `<p class="legend">${names.map((name, index) => `<span><i style="background:${colourOf(index)}"></i>${escaped(name)}</span>`).join(' ')}</p>`;

const figure = (title: string, names: readonly string[], svg: string): string =>
  `<figure><figcaption>${escaped(title)}</figcaption>${legend(names)}` +
  `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">${svg}</svg></figure>`;

type Bars = {
  readonly title: string;
  readonly value: (row: ChartRow) => number;
  readonly written: (value: number) => string;
};

/** A group of bars for each size, one of each name. */
function bars(rows: readonly ChartRow[], { title, value, written }: Bars): string {
  const sizes = [...new Set(rows.map(({ size }) => size))];
  const names = [...new Set(rows.map(({ name }) => name))];
  const { svg, y } = frame(Math.max(...rows.map(value)), written);
  const group = (WIDTH - LEFT) / sizes.length;
  const width = (group * 0.84) / names.length;
  const drawn = rows.map((row) => {
    const x = LEFT + sizes.indexOf(row.size) * group + group * 0.08 + names.indexOf(row.name) * width;
    const top = y(value(row));
    const label = `${row.name}, ${row.size}: ${written(value(row))}`;
    return (
      `<rect x="${places(x)}" y="${places(top)}" width="${places(width * 0.92)}" height="${places(y(0) - top)}" ` +
      `fill="${colourOf(names.indexOf(row.name))}"><title>${escaped(label)}</title></rect>`
    );
  });
  const labels = sizes.map(
    (size, index) =>
      `<text x="${places(LEFT + (index + 0.5) * group)}" y="${HEIGHT - 10}" text-anchor="middle">${escaped(size)}</text>`,
  );
  return figure(title, names, [svg, ...drawn, ...labels].join(''));
}

/** Origin bandwidth over time of the rows of one size, each point the mean of some bins. */
function lines(rows: readonly ChartRow[], { bits, firstSeconds, binSeconds }: ChartText): string {
  const length = Math.max(...rows.map(({ bins }) => bins.length));
  const each = Math.max(1, Math.ceil(length / POINTS));
  const series = rows.map(({ bins }) =>
    Array.from({ length: Math.ceil(bins.length / each) }, (_, index) => {
      const some = bins.slice(index * each, (index + 1) * each);
      return (some.reduce((sum, bytes) => sum + bytes, 0) * 8) / (some.length * binSeconds);
    }),
  );
  const { svg, y } = frame(Math.max(...series.flat()), bits);
  const x = (index: number): number => LEFT + (index / Math.max(1, (series[0]?.length ?? 1) - 1)) * (WIDTH - LEFT);
  const drawn = series.map((points, index) => {
    const path = points.map((point, at) => `${at === 0 ? 'M' : 'L'}${places(x(at))} ${places(y(point))}`).join('');
    return `<path d="${path}" fill="none" stroke="${colourOf(index)}" stroke-width="1.4"/>`;
  });
  const ends = [firstSeconds, firstSeconds + length * binSeconds].map((seconds) =>
    new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' '),
  );
  const labels =
    `<text x="${LEFT}" y="${HEIGHT - 10}">${ends[0]} UTC</text>` +
    `<text x="${WIDTH}" y="${HEIGHT - 10}" text-anchor="end">${ends[1]} UTC</text>`;
  const size = rows[0]?.size ?? '';
  const title = `Origin bandwidth over time, cache of ${size}, ${each * (binSeconds / 60)}-minute means`;
  return figure(
    title,
    rows.map(({ name }) => name),
    [svg, ...drawn, labels].join(''),
  );
}

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.4em}table{border-collapse:collapse;width:100%;margin:1.5em 0}th,td{padding:.3em .6em;text-align:right;border-bottom:1px solid #ddd}
th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}figure{margin:2em 0}figcaption{font-weight:600}svg{width:100%;height:auto}
svg text{font-size:12px;fill:#444}.grid{stroke:#ddd}.legend{margin:.3em 0}.legend span{margin-right:1.2em;white-space:nowrap}
.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}`;

/** A page of the rows, which is not empty. */
export function renderChart(rows: readonly ChartRow[], text: ChartText): string {
  const { title, lines: notes, bytes, bits } = text;
  const percent = (value: number): string => `${(value * 100).toFixed(1)} %`;
  const head = ['size', 'cache', 'requests hit', 'bytes hit', 'origin bytes', 'of them prefetched', '95th percentile'];
  const cells = rows.map((row) => [
    row.size,
    row.name,
    percent(row.requestHitRatio),
    percent(row.byteHitRatio),
    bytes(row.originBytes),
    bytes(row.prefetchedBytes),
    bits(row.originP95),
  ]);
  const table = cells.map((row) => `<tr>${row.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`).join('\n');
  const sizes = [...new Set(rows.map(({ size }) => size))];
  const middle = sizes[Math.floor(sizes.length / 2)];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(title)}</title><style>${STYLE}</style></head><body>
<h1>${escaped(title)}</h1>
${notes.map((line) => `<p>${escaped(line)}</p>`).join('\n')}
<table><thead><tr>${head.map((cell) => `<th>${escaped(cell)}</th>`).join('')}</tr></thead>
<tbody>${table}</tbody></table>
${bars(rows, { title: 'Bytes hit', value: ({ byteHitRatio }) => byteHitRatio, written: percent })}
${bars(rows, { title: '5-minute 95th percentile of origin bandwidth', value: ({ originP95 }) => originP95, written: bits })}
${lines(
  rows.filter(({ size }) => size === middle),
  text,
)}
</body></html>
`;
}
