// Inverse of a symmetric positive definite matrix, in place and in half the memory: Cholesky, inverse of the triangle,
// product (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 14.2; LAPACK's potrf, trtri, lauum), all
// in square tiles that fit the processor's first cache.
import assert from 'node:assert/strict';

/** Side of a tile: two of 64 x 64 x 8 bytes fit into a 64 KiB cache, and fewer, larger tiles copy less. */
const SIDE = 64;
const AREA = SIDE * SIDE;

/** The lower half of a symmetric matrix [size, size], by tiles. */
export type SymmetricMatrix = {
  readonly size: number;
  /** Element (row, column); of the two mirrored ones, either. */
  readonly at: (row: number, column: number) => number;
  readonly set: (row: number, column: number, value: number) => void;
  readonly add: (row: number, column: number, value: number) => void;
  /** Becomes its own inverse; throws RangeError when it is not positive definite. */
  readonly invert: () => void;
};

/** A zero matrix. Takes 4 x size^2 bytes. */
export function symmetricMatrix(size: number): SymmetricMatrix {
  assert(Number.isSafeInteger(size) && size > 0, 'a matrix has at least one row');
  const across = Math.ceil(size / SIDE);
  const tiles = Array.from({ length: (across * (across + 1)) / 2 }, () => new Float64Array(AREA));
  const tile = (row: number, column: number): Float64Array => {
    const found = tiles[(row * (row + 1)) / 2 + column];
    assert(found !== undefined);
    return found;
  };
  const place = (row: number, column: number): [Float64Array, number] => {
    const [below, right] = row >= column ? [row, column] : [column, row];
    assert(right >= 0 && below < size, 'inside the matrix');
    return [tile(Math.floor(below / SIDE), Math.floor(right / SIDE)), (below % SIDE) * SIDE + (right % SIDE)];
  };
  const add = (row: number, column: number, value: number): void => {
    const [values, at] = place(row, column);
    values[at] = (values[at] ?? 0) + value;
  };
  return {
    size,
    at: (row, column) => {
      const [values, at] = place(row, column);
      return values[at] ?? 0;
    },
    set: (row, column, value) => {
      const [values, at] = place(row, column);
      values[at] = value;
    },
    add,
    invert: () => {
      prepareDiagonal(tile, across, size);
      factor(tile, across);
      invertTriangle(tile, across);
      multiplyByOwn(tile, across);
    },
  };
}

type TileAt = (row: number, column: number) => Float64Array;

/** Ones where the last tile goes beyond the matrix, and the upper halves of tiles on the diagonal filled in. */
function prepareDiagonal(tile: TileAt, across: number, size: number): void {
  for (let block = 0; block < across; block += 1) {
    const values = tile(block, block);
    for (let row = 0; row < SIDE; row += 1) {
      if (block * SIDE + row >= size) values[row * SIDE + row] = 1;
      for (let column = 0; column < row; column += 1) values[column * SIDE + row] = values[row * SIDE + column] ?? 0;
    }
  }
}

/** c += sign * a bT; four rows by two columns at a time stay in registers. */
function addProduct(c: Float64Array, a: Float64Array, b: Float64Array, sign: 1 | -1): void {
  for (let row = 0; row < SIDE; row += 4) {
    const a0 = row * SIDE;
    const a1 = a0 + SIDE;
    const a2 = a1 + SIDE;
    const a3 = a2 + SIDE;
    for (let column = 0; column < SIDE; column += 2) {
      const b0 = column * SIDE;
      const b1 = b0 + SIDE;
      let [s00, s01, s10, s11, s20, s21, s30, s31] = [0, 0, 0, 0, 0, 0, 0, 0];
      for (let inner = 0; inner < SIDE; inner += 1) {
        const x0 = a[a0 + inner] ?? 0;
        const x1 = a[a1 + inner] ?? 0;
        const x2 = a[a2 + inner] ?? 0;
        const x3 = a[a3 + inner] ?? 0;
        const y0 = b[b0 + inner] ?? 0;
        const y1 = b[b1 + inner] ?? 0;
        s00 += x0 * y0;
        s01 += x0 * y1;
        s10 += x1 * y0;
        s11 += x1 * y1;
        s20 += x2 * y0;
        s21 += x2 * y1;
        s30 += x3 * y0;
        s31 += x3 * y1;
      }
      c[a0 + column] = (c[a0 + column] ?? 0) + sign * s00;
      c[a0 + column + 1] = (c[a0 + column + 1] ?? 0) + sign * s01;
      c[a1 + column] = (c[a1 + column] ?? 0) + sign * s10;
      c[a1 + column + 1] = (c[a1 + column + 1] ?? 0) + sign * s11;
      c[a2 + column] = (c[a2 + column] ?? 0) + sign * s20;
      c[a2 + column + 1] = (c[a2 + column + 1] ?? 0) + sign * s21;
      c[a3 + column] = (c[a3 + column] ?? 0) + sign * s30;
      c[a3 + column + 1] = (c[a3 + column + 1] ?? 0) + sign * s31;
    }
  }
}

/** Writes a tile turned into `into`. */
function turn(from: Float64Array, into: Float64Array): void {
  for (let row = 0; row < SIDE; row += 1) {
    for (let column = 0; column < SIDE; column += 1) into[column * SIDE + row] = from[row * SIDE + column] ?? 0;
  }
}

/** One tile becomes its lower Cholesky factor, zeros above. */
function factorTile(a: Float64Array): void {
  for (let column = 0; column < SIDE; column += 1) {
    for (let row = column; row < SIDE; row += 1) {
      let sum = a[row * SIDE + column] ?? 0;
      for (let at = 0; at < column; at += 1) sum -= (a[row * SIDE + at] ?? 0) * (a[column * SIDE + at] ?? 0);
      if (row > column) a[row * SIDE + column] = sum / (a[column * SIDE + column] ?? 1);
      else if (sum > 0) a[row * SIDE + row] = Math.sqrt(sum);
      else throw new RangeError('The matrix is not positive definite');
    }
    for (let above = 0; above < column; above += 1) a[above * SIDE + column] = 0;
  }
}

/** The inverse of a lower triangular tile. */
function inverseTile(lower: Float64Array): Float64Array {
  const inverse = new Float64Array(AREA);
  for (let column = 0; column < SIDE; column += 1) {
    inverse[column * SIDE + column] = 1 / (lower[column * SIDE + column] ?? 1);
    for (let row = column + 1; row < SIDE; row += 1) {
      let sum = 0;
      for (let at = column; at < row; at += 1)
        sum += (lower[row * SIDE + at] ?? 0) * (inverse[at * SIDE + column] ?? 0);
      inverse[row * SIDE + column] = -sum / (lower[row * SIDE + row] ?? 1);
    }
  }
  return inverse;
}

/** A becomes L with L LT = A. Tiles on the diagonal are left as the inverses of L's, which is all the next steps need. */
function factor(tile: TileAt, across: number): void {
  const solved = new Float64Array(AREA);
  for (let step = 0; step < across; step += 1) {
    const diagonal = tile(step, step);
    factorTile(diagonal);
    diagonal.set(inverseTile(diagonal));
    for (let row = step + 1; row < across; row += 1) {
      // A tile below becomes itself by the inverse, turned.
      solved.fill(0);
      addProduct(solved, tile(row, step), diagonal, 1);
      tile(row, step).set(solved);
    }
    for (let row = step + 1; row < across; row += 1) {
      for (let column = step + 1; column <= row; column += 1) {
        addProduct(tile(row, column), tile(row, step), tile(column, step), -1);
      }
    }
  }
}

/** L becomes its inverse, column by column: a column needs the columns of L to its right, which are still whole. */
function invertTriangle(tile: TileAt, across: number): void {
  const sum = new Float64Array(AREA);
  const turned = new Float64Array(AREA);
  for (let column = 0; column < across; column += 1) {
    for (let row = column + 1; row < across; row += 1) {
      sum.fill(0);
      for (let at = column; at < row; at += 1) {
        turn(tile(at, column), turned);
        addProduct(sum, tile(row, at), turned, 1);
      }
      turn(sum, turned);
      sum.fill(0);
      addProduct(sum, tile(row, row), turned, -1);
      tile(row, column).set(sum);
    }
  }
}

/** W becomes WT W, row by row: a row needs the rows of W below it, which are still whole. */
function multiplyByOwn(tile: TileAt, across: number): void {
  const sum = new Float64Array(AREA);
  const left = new Float64Array(AREA);
  const right = new Float64Array(AREA);
  for (let row = 0; row < across; row += 1) {
    for (let column = 0; column <= row; column += 1) {
      sum.fill(0);
      for (let below = row; below < across; below += 1) {
        turn(tile(below, row), left);
        turn(tile(below, column), right);
        addProduct(sum, left, right, 1);
      }
      tile(row, column).set(sum);
    }
  }
}
