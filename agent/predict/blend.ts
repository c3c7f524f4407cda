// How answers of several models become one: standardised scores added up.

/** Scores minus their mean, over their deviation; zeros when all are equal. */
export function standardised(scores: Float32Array): Float32Array {
  let sum = 0;
  for (const score of scores) sum += score;
  const mean = sum / Math.max(1, scores.length);
  let squares = 0;
  for (const score of scores) squares += (score - mean) ** 2;
  const deviation = Math.sqrt(squares / Math.max(1, scores.length));
  return deviation > 0 ? scores.map((score) => (score - mean) / deviation) : new Float32Array(scores.length);
}

/** Adds `weight` times `other` to `scores` in place, and gives them. */
export function addWeighted(scores: Float32Array, other: Float32Array, weight: number): Float32Array {
  for (let at = 0; at < scores.length; at += 1) scores[at] = (scores[at] ?? 0) + weight * (other[at] ?? 0);
  return scores;
}
