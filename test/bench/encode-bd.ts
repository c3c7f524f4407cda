// Bjontegaard delta rate: how many more bits one curve needs than another for the same quality.

/** A point of a rate-quality curve; the rate is above 0. */
export type RatePoint = { readonly bits: number; readonly quality: number };

type Knot = { readonly x: number; readonly y: number };

/**
 * Mean difference in bits of `curve` against `anchor` at equal quality, percent, negative for fewer bits: VCEG-M33
 * (Bjontegaard 2001), log rate over quality, integrated over the qualities that both have, with the piecewise cubic
 * Hermite interpolation of the JCT-VC and JVET common test conditions (JCTVC-L1100, JVET-T2010). Points that a cheaper
 * one equals or beats are left out. NaN when less than two points are left or the qualities do not overlap.
 */
export function bdRate(anchor: readonly RatePoint[], curve: readonly RatePoint[]): number {
  const [a, b] = [knotsOf(anchor), knotsOf(curve)];
  const low = Math.max(a[0]?.x ?? Number.NaN, b[0]?.x ?? Number.NaN);
  const high = Math.min(a.at(-1)?.x ?? Number.NaN, b.at(-1)?.x ?? Number.NaN);
  if (a.length < 2 || b.length < 2 || !(high > low)) return Number.NaN;
  return (Math.exp((integrate(b, low, high) - integrate(a, low, high)) / (high - low)) - 1) * 100;
}

/** Qualities in which two curves overlap, as a share of the anchor's; a BD-rate over little overlap says little. */
export function overlapOf(anchor: readonly RatePoint[], curve: readonly RatePoint[]): number {
  const [a, b] = [knotsOf(anchor), knotsOf(curve)];
  const [low, high] = [a[0]?.x ?? 0, a.at(-1)?.x ?? 0];
  const shared = Math.min(high, b.at(-1)?.x ?? 0) - Math.max(low, b[0]?.x ?? 0);
  return high > low ? Math.max(0, shared) / (high - low) : 0;
}

/** Log rate over quality, both strictly growing. */
function knotsOf(points: readonly RatePoint[]): Knot[] {
  const sorted = [...points].sort((p, q) => p.bits - q.bits || q.quality - p.quality);
  const knots: Knot[] = [];
  for (const { bits, quality } of sorted) {
    if (quality > (knots.at(-1)?.x ?? Number.NEGATIVE_INFINITY)) knots.push({ x: quality, y: Math.log(bits) });
  }
  return knots;
}

/** Slopes at the knots that keep the interpolation monotone (Fritsch and Butland 1984, as in MATLAB's pchip). */
function slopesOf(knots: readonly Knot[]): number[] {
  const steps = knots.slice(1).map((knot, at) => {
    const before = knots[at] ?? knot;
    return { h: knot.x - before.x, d: (knot.y - before.y) / (knot.x - before.x) };
  });
  return knots.map((_, at) => {
    const [left, right] = [steps[at - 1], steps[at]];
    if (left === undefined) return right === undefined ? 0 : endSlope(right, steps[1]);
    if (right === undefined) return endSlope(left, steps[at - 2]);
    if (left.d * right.d <= 0) return 0;
    const [w1, w2] = [2 * right.h + left.h, right.h + 2 * left.h];
    return (w1 + w2) / (w1 / left.d + w2 / right.d);
  });
}

type Step = { readonly h: number; readonly d: number };

function endSlope(edge: Step, inner: Step | undefined): number {
  if (inner === undefined) return edge.d;
  const slope = ((2 * edge.h + inner.h) * edge.d - edge.h * inner.d) / (edge.h + inner.h);
  if (slope * edge.d <= 0) return 0;
  return edge.d * inner.d <= 0 && Math.abs(slope) > 3 * Math.abs(edge.d) ? 3 * edge.d : slope;
}

/** Integral of the interpolation from `low` to `high`, which lie within the knots: exact for cubics by Simpson's rule. */
function integrate(knots: readonly Knot[], low: number, high: number): number {
  const slopes = slopesOf(knots);
  let sum = 0;
  for (let at = 0; at + 1 < knots.length; at++) {
    const [a, b] = [knots[at], knots[at + 1]];
    if (a === undefined || b === undefined) continue;
    const [from, to] = [Math.max(low, a.x), Math.min(high, b.x)];
    if (to <= from) continue;
    const value = (x: number): number => hermite(a, b, { from: slopes[at] ?? 0, to: slopes[at + 1] ?? 0, x });
    sum += ((to - from) / 6) * (value(from) + 4 * value((from + to) / 2) + value(to));
  }
  return sum;
}

function hermite(a: Knot, b: Knot, at: { readonly from: number; readonly to: number; readonly x: number }): number {
  const h = b.x - a.x;
  const t = (at.x - a.x) / h;
  const s = 1 - t;
  return a.y * s * s * (1 + 2 * t) + at.from * h * t * s * s + b.y * t * t * (3 - 2 * t) - at.to * h * t * t * s;
}

/** Value at `x` of the monotone interpolation of knots that grow in x; beyond them straight on. */
export function interpolate(knots: readonly Knot[], x: number): number {
  const slopes = slopesOf(knots);
  const [first, last] = [knots[0], knots.at(-1)];
  if (first === undefined || last === undefined) return Number.NaN;
  if (x <= first.x) return first.y + (slopes[0] ?? 0) * (x - first.x);
  if (x >= last.x) return last.y + (slopes.at(-1) ?? 0) * (x - last.x);
  const at = knots.findIndex((knot) => knot.x >= x) - 1;
  const [a, b] = [knots[at], knots[at + 1]];
  if (a === undefined || b === undefined) return Number.NaN;
  return hermite(a, b, { from: slopes[at] ?? 0, to: slopes[at + 1] ?? 0, x });
}
