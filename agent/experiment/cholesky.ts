// Symmetric positive definite systems of some dozen unknowns: factor once, solve often. Row-major Float64Array. Pure.

/** Pivots below this share of the largest diagonal entry are lifted to it: a direction that nothing was seen of. */
const LEAST_PIVOT_RATIO = 1e-12;

/** Of a matrix of zeroes, so that what is divided by its root stays finite. */
const SMALLEST_PIVOT = 1e-30;

/**
 * Lower triangular L with L Lᵀ = `matrix` (`size` x `size`, its lower triangle is read). A matrix that is only
 * semidefinite, or by rounding not even that, gets its smallest pivots lifted, so that the result is always finite.
 */
export function factorise(matrix: Float64Array, size: number): Float64Array {
  const factor = new Float64Array(size * size);
  let largest = 0;
  for (let i = 0; i < size; i += 1) largest = Math.max(largest, matrix[i * size + i] ?? 0);
  const least = Math.max(largest * LEAST_PIVOT_RATIO, SMALLEST_PIVOT);
  for (let i = 0; i < size; i += 1) {
    const row = i * size;
    for (let j = 0; j <= i; j += 1) {
      const other = j * size;
      let sum = matrix[row + j] ?? 0;
      for (let k = 0; k < j; k += 1) sum -= (factor[row + k] ?? 0) * (factor[other + k] ?? 0);
      factor[row + j] = i === j ? Math.sqrt(Math.max(sum, least)) : sum / (factor[other + j] ?? 1);
    }
  }
  return factor;
}

/** y with L y = `vector`. Then the squared length of y is vectorᵀ (L Lᵀ)⁻¹ vector. */
export function forward(factor: Float64Array, vector: Float64Array): Float64Array {
  const size = vector.length;
  const solved = new Float64Array(size);
  for (let i = 0; i < size; i += 1) {
    let sum = vector[i] ?? 0;
    const row = i * size;
    for (let k = 0; k < i; k += 1) sum -= (factor[row + k] ?? 0) * (solved[k] ?? 0);
    solved[i] = sum / (factor[row + i] ?? 1);
  }
  return solved;
}

/** x with L Lᵀ x = `vector`. */
export function solve(factor: Float64Array, vector: Float64Array): Float64Array {
  const size = vector.length;
  const solved = forward(factor, vector);
  for (let i = size - 1; i >= 0; i -= 1) {
    let sum = solved[i] ?? 0;
    for (let k = i + 1; k < size; k += 1) sum -= (factor[k * size + i] ?? 0) * (solved[k] ?? 0);
    solved[i] = sum / (factor[i * size + i] ?? 1);
  }
  return solved;
}

/** Inner product of two vectors of one length. */
export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}
