/**
 * What the columns of a feature matrix hold, and which of them say the same: one pass over its rows, constant memory.
 * Each block of rows is centred on its own means, each pair on the means of its own rows, and blocks are joined as in
 * Chan, Golub and LeVeque 1983 (Algorithms for Computing the Sample Variance): large means cost no digits, and neither
 * does a row far from the others. A constant's mean is the constant itself, so that its squares are exactly 0.
 */

/** A pair is judged on at least this many rows: two columns of two rows always correlate. */
export const PAIR_ROWS_MIN = 30;

export interface ColumnProfile {
  /** Rows that hold a finite number. */
  readonly present: number;
  /** Rows that hold an infinite one: a fault of who computed it; left out of everything else. */
  readonly infinite: number;
  /** Null when no row has the column. */
  readonly minimum: number | null;
  readonly maximum: number | null;
  readonly mean: number | null;
  /** One and the same number wherever present. */
  readonly is_constant: boolean;
}

export class FeatureProfile {
  readonly columns: number;
  #rows = 0;
  readonly #present: Float64Array;
  readonly #infinite: Float64Array;
  readonly #minimum: Float64Array;
  readonly #maximum: Float64Array;
  readonly #mean: Float64Array;
  // Of each pair a < b, over the rows that have both: count, means, sums of squared deviations and of their products.
  readonly #n: Float64Array;
  readonly #meanA: Float64Array;
  readonly #meanB: Float64Array;
  readonly #squaresA: Float64Array;
  readonly #squaresB: Float64Array;
  readonly #products: Float64Array;
  /** The block at hand, column by column; NaN where missing or infinite. */
  #block = new Float64Array(0);
  // Of each column in the block, over the rows that have it: count, mean, sum of squared deviations.
  readonly #blockPresent: Float64Array;
  readonly #blockMean: Float64Array;
  readonly #blockSquares: Float64Array;

  constructor(columns: number) {
    this.columns = columns;
    const ofColumns = (): Float64Array => new Float64Array(columns);
    const ofPairs = (): Float64Array => new Float64Array((columns * (columns - 1)) / 2);
    this.#present = ofColumns();
    this.#infinite = ofColumns();
    this.#minimum = ofColumns().fill(Number.POSITIVE_INFINITY);
    this.#maximum = ofColumns().fill(Number.NEGATIVE_INFINITY);
    this.#mean = ofColumns();
    this.#blockPresent = ofColumns();
    this.#blockMean = ofColumns();
    this.#blockSquares = ofColumns();
    this.#n = ofPairs();
    this.#meanA = ofPairs();
    this.#meanB = ofPairs();
    this.#squaresA = ofPairs();
    this.#squaresB = ofPairs();
    this.#products = ofPairs();
  }

  get rows(): number {
    return this.#rows;
  }

  /** Takes the first `n` rows of a row-major matrix (n x columns); NaN is missing. Blocks of thousands are quickest. */
  add(matrix: Float32Array, n: number): void {
    if (matrix.length < n * this.columns) throw new RangeError(`the matrix is shorter than ${n} x ${this.columns}`);
    if (n === 0) return;
    this.#rows += n;
    if (this.#block.length < n * this.columns) this.#block = new Float64Array(n * this.columns);
    for (let c = 0; c < this.columns; c++) this.#addColumn(matrix, n, c);
    const present = this.#blockPresent;
    let pair = 0;
    for (let a = 0; a < this.columns; a++) {
      for (let b = a + 1; b < this.columns; b++, pair++) {
        if (present[a] === n && present[b] === n) this.#addWhole(pair, a, b, n);
        else if (present[a] > 0 && present[b] > 0) this.#addPart(pair, a, b, n);
      }
    }
  }

  #addColumn(matrix: Float32Array, n: number, c: number): void {
    const [block, columns] = [this.#block, this.columns];
    let present = 0;
    let sum = 0;
    let minimum = Number.POSITIVE_INFINITY;
    let maximum = Number.NEGATIVE_INFINITY;
    for (let r = 0, at = c; r < n; r++, at += columns) {
      const x = matrix[at];
      block[c * n + r] = Number.isFinite(x) ? x : Number.NaN;
      if (Number.isFinite(x)) {
        present++;
        sum += x;
        if (x < minimum) minimum = x;
        if (x > maximum) maximum = x;
      } else if (!Number.isNaN(x)) this.#infinite[c]++;
    }
    this.#blockPresent[c] = present;
    if (present === 0) return;
    const mean = minimum === maximum ? minimum : sum / present;
    let squares = 0;
    for (let i = c * n, end = i + n; i < end; i++) {
      const x = block[i] - mean;
      if (!Number.isNaN(x)) squares += x * x;
    }
    this.#blockMean[c] = mean;
    this.#blockSquares[c] = squares;
    this.#minimum[c] = Math.min(this.#minimum[c], minimum);
    this.#maximum[c] = Math.max(this.#maximum[c], maximum);
    this.#present[c] += present;
    this.#mean[c] += (mean - this.#mean[c]) * (present / this.#present[c]);
  }

  /** A pair that every row of the block has. */
  #addWhole(pair: number, a: number, b: number, n: number): void {
    const [block, means, squares] = [this.#block, this.#blockMean, this.#blockSquares];
    const [meanA, meanB] = [means[a], means[b]];
    let products = 0;
    for (let i = a * n, j = b * n, end = i + n; i < end; i++, j++) products += (block[i] - meanA) * (block[j] - meanB);
    this.#join(pair, n, meanA, meanB, squares[a], squares[b], products);
  }

  /** A pair that some rows have: its means are those of these rows, not the columns'. */
  #addPart(pair: number, a: number, b: number, n: number): void {
    const block = this.#block;
    const end = a * n + n;
    let [count, sumA, sumB, firstA, firstB] = [0, 0, 0, 0, 0];
    let [variesA, variesB] = [false, false];
    for (let i = a * n, j = b * n; i < end; i++, j++) {
      const x = block[i];
      const y = block[j];
      if (Number.isNaN(x) || Number.isNaN(y)) continue;
      if (count === 0) {
        firstA = x;
        firstB = y;
      }
      variesA ||= x !== firstA;
      variesB ||= y !== firstB;
      count++;
      sumA += x;
      sumB += y;
    }
    if (count === 0) return;
    const meanA = variesA ? sumA / count : firstA;
    const meanB = variesB ? sumB / count : firstB;
    let [squaresA, squaresB, products] = [0, 0, 0];
    for (let i = a * n, j = b * n; i < end; i++, j++) {
      const x = block[i] - meanA;
      const y = block[j] - meanB;
      if (Number.isNaN(x) || Number.isNaN(y)) continue;
      squaresA += x * x;
      squaresB += y * y;
      products += x * y;
    }
    this.#join(pair, count, meanA, meanB, squaresA, squaresB, products);
  }

  #join(pair: number, n: number, meanA: number, meanB: number, squaresA: number, squaresB: number, products: number) {
    const before = this.#n[pair];
    const all = before + n;
    const stepA = meanA - this.#meanA[pair];
    const stepB = meanB - this.#meanB[pair];
    const weight = before * (n / all);
    this.#n[pair] = all;
    this.#meanA[pair] += stepA * (n / all);
    this.#meanB[pair] += stepB * (n / all);
    this.#squaresA[pair] += squaresA + stepA * stepA * weight;
    this.#squaresB[pair] += squaresB + stepB * stepB * weight;
    this.#products[pair] += products + stepA * stepB * weight;
  }

  column(c: number): ColumnProfile {
    const present = this.#present[c];
    const infinite = this.#infinite[c];
    if (present === 0) return { present, infinite, minimum: null, maximum: null, mean: null, is_constant: false };
    const [minimum, maximum] = [this.#minimum[c], this.#maximum[c]];
    return { present, infinite, minimum, maximum, mean: this.#mean[c], is_constant: minimum === maximum };
  }

  /** Rows that have both columns. */
  rowsOfPair(a: number, b: number): number {
    return a === b ? this.#present[a] : this.#n[this.#pairAt(a, b)];
  }

  /**
   * Pearson's correlation over the rows that have both columns, -1 to 1; NaN when these are fewer than PAIR_ROWS_MIN or
   * one of the columns does not vary in them.
   */
  correlation(a: number, b: number): number {
    const at = this.#pairAt(a, b);
    const n = this.#n[at];
    if (n < PAIR_ROWS_MIN) return Number.NaN;
    const [squaresA, squaresB] = [this.#squaresA[at], this.#squaresB[at]];
    if (squaresA === 0 || squaresB === 0) return Number.NaN;
    const r = this.#products[at] / (Math.sqrt(squaresA) * Math.sqrt(squaresB));
    return Math.max(-1, Math.min(1, r));
  }

  #pairAt(a: number, b: number): number {
    const [low, high] = a < b ? [a, b] : [b, a];
    if (!(low >= 0 && low < high && high < this.columns)) throw new RangeError(`columns ${a} and ${b} are no pair`);
    return (low * (2 * this.columns - low - 1)) / 2 + high - low - 1;
  }
}
