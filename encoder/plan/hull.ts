// Convex hull of quality points: the encodes that no mixture of others beats. Pure.

/** One trial encode: what it costs and how good it is. */
export type QualityPoint = { readonly bits: number; readonly quality: number };

/**
 * The upper convex hull, cheapest first: bits and quality both strictly grow, the gain per bit strictly falls. Points on
 * a straight line between two others are left out. Empty only for no points.
 */
export function convexHull<Point extends QualityPoint>(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a.bits - b.bits || b.quality - a.quality);
  const hull: Point[] = [];
  for (const point of sorted) {
    const best = hull.at(-1);
    if (best !== undefined && point.quality <= best.quality) continue;
    while (hull.length >= 2 && !bends(hull.at(-2), hull.at(-1), point)) hull.pop();
    hull.push(point);
  }
  return hull;
}

/** Quality gained per bit from `a` to `b`. */
export function slope(a: QualityPoint, b: QualityPoint): number {
  return (b.quality - a.quality) / (b.bits - a.bits);
}

function bends(a: QualityPoint | undefined, b: QualityPoint | undefined, c: QualityPoint): boolean {
  return a === undefined || b === undefined || slope(a, b) > slope(b, c);
}
