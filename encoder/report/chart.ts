// Small SVG charts as text: axes with round ticks, step lines, dots. Colours come from the page's style sheet.

import { escapeHtml } from './html.ts';

/** A value to a pixel. */
export type Scale = { readonly of: (value: number) => number; readonly ticks: readonly number[] };

/** About `count` round ticks (1, 2 or 5 times a power of ten) within low..high. */
function roundTicks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => (first + at) * step);
}

/** A span of values and of pixels. */
export type Span = { readonly low: number; readonly high: number; readonly from: number; readonly to: number };

/** A straight scale over the values' span. */
export function linearScale({ low, high, from, to }: Span, count: number): Scale {
  const width = high - low || 1;
  return { of: (value) => from + ((value - low) / width) * (to - from), ticks: roundTicks(low, low + width, count) };
}

/** A logarithmic scale for positive values; ticks at round multiples of the powers of ten, few enough to be read. */
export function logScale({ low, high, from, to }: Span, most: number): Scale {
  const [a, b] = [Math.log10(low), Math.log10(high)];
  const powers = Array.from({ length: Math.floor(b) - Math.floor(a) + 1 }, (_, at) => 10 ** (Math.floor(a) + at));
  const within = (factors: readonly number[]): number[] =>
    powers.flatMap((power) => factors.map((factor) => factor * power)).filter((tick) => tick >= low && tick <= high);
  const ticks =
    [[1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8], [1, 2, 5], [1, 3], [1]].map(within).find((some) => some.length <= most) ??
    [];
  return { of: (value) => from + ((Math.log10(value) - a) / (b - a || 1)) * (to - from), ticks };
}

/** A pixel with one digit behind the point. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** 950 k, 1.2 M: bits a second. */
export function bits(value: number): string {
  const [scaled, unit] = value < 999_500 ? [value / 1000, 'k'] : [value / 1e6, 'M'];
  return `${scaled.toFixed(scaled < 9.95 && unit === 'M' ? 1 : 0)} ${unit}`;
}

/** 1:02:03. */
export function clock(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number): string => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Where a chart's plot lies within its picture. */
export type Frame = {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
};

/** Grid lines and labels of both axes. */
export function axes(
  frame: Frame,
  x: Scale & { label: (value: number) => string },
  y: Scale & { label: (value: number) => string },
): string {
  const bottom = frame.height - frame.bottom;
  const right = frame.width - frame.right;
  const rows = y.ticks.map((tick) => {
    const at = px(y.of(tick));
    return `<path class="grid" d="M${frame.left} ${at}H${right}"/><text class="tick end" x="${frame.left - 6}" y="${at}" dy=".32em">${y.label(tick)}</text>`;
  });
  const columns = x.ticks.map((tick) => {
    const at = px(x.of(tick));
    return `<path class="grid" d="M${at} ${frame.top}V${bottom}"/><text class="tick middle" x="${at}" y="${bottom + 15}">${x.label(tick)}</text>`;
  });
  return [...rows, ...columns].join('');
}

/** One value for a stretch of time. */
export type Step = { readonly from: number; readonly to: number; readonly value: number };

/** A line of steps, drawn on where stretches touch. */
export function stepPath(steps: readonly Step[], x: Scale, y: Scale): string {
  let last = Number.NaN;
  return steps
    .map(({ from, to, value }) => {
      const begin = Math.abs(from - last) < 1e-6 ? `V${px(y.of(value))}` : `M${px(x.of(from))} ${px(y.of(value))}`;
      last = to;
      return `${begin}H${px(x.of(to))}`;
    })
    .join('');
}

/** A picture with a name and a description that are read out where it cannot be seen. */
export function picture(
  frame: Pick<Frame, 'width' | 'height'>,
  told: { id: string; title: string; text: string },
  content: string,
): string {
  const { id, title, text } = told;
  return `<svg viewBox="0 0 ${frame.width} ${frame.height}" role="img" aria-labelledby="${id}-t ${id}-d"><title id="${id}-t">${escapeHtml(title)}</title><desc id="${id}-d">${escapeHtml(text)}</desc>${content}</svg>`;
}
