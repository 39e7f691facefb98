/**
 * (score, label) columns sorted once, so that they can be measured again and again under other row counts (bootstrap)
 * without sorting: a cell is a distinct (score, label), cells stand by falling score, and cells of one score, at most
 * two, are neighbours. Scores must be numbers (a NaN is refused: a payment without a score is the caller's decision to
 * place); labels are 1 for fraud, 0 for genuine.
 */

/** Row numbers by falling score. Rows of equal score stand in any order. */
export function byFallingScore(score: Float64Array): Uint32Array {
  const order = new Uint32Array(score.length);
  for (let i = 0; i < order.length; i++) order[i] = i;
  return order.sort((a, b) => score[b] - score[a]);
}

/** Refuses columns of different length, NaN scores and labels other than 0 and 1. Throws RangeError naming the row. */
function checkColumns(score: Float64Array, fraud: Uint8Array): void {
  if (score.length !== fraud.length) throw new RangeError(`${score.length} scores for ${fraud.length} labels`);
  for (let i = 0; i < score.length; i++) {
    if (Number.isNaN(score[i])) throw new RangeError(`row ${i} has no score (NaN)`);
    if (fraud[i] > 1) throw new RangeError(`row ${i} has label ${fraud[i]}, expected 0 or 1`);
  }
}

export class RankedCells {
  readonly rows: number;
  /** Cell of each row. */
  readonly cellOf: Uint32Array;
  // Columns over the cells: score, label, and how many rows of the data each holds.
  readonly score: Float64Array;
  readonly fraud: Uint8Array;
  readonly counts: Uint32Array;

  /** Sorts. Throws RangeError for columns that do not fit together, NaN scores and labels other than 0 and 1. */
  constructor(score: Float64Array, fraud: Uint8Array) {
    checkColumns(score, fraud);
    const rows = score.length;
    const order = byFallingScore(score);
    const cellOf = new Uint32Array(rows);
    const cellScore = new Float64Array(rows);
    const cellFraud = new Uint8Array(rows);
    const counts = new Uint32Array(rows);
    const cellOfLabel = [0, 0];
    let cells = 0;
    for (let i = 0; i < rows; ) {
      const at = score[order[i]];
      cellOfLabel[0] = cellOfLabel[1] = -1;
      for (; i < rows && score[order[i]] === at; i++) {
        const label = fraud[order[i]];
        let cell = cellOfLabel[label];
        if (cell < 0) {
          cell = cells++;
          cellOfLabel[label] = cell;
          cellScore[cell] = at;
          cellFraud[cell] = label;
        }
        cellOf[order[i]] = cell;
        counts[cell]++;
      }
    }
    this.rows = rows;
    this.cellOf = cellOf;
    this.score = cellScore.subarray(0, cells);
    this.fraud = cellFraud.subarray(0, cells);
    this.counts = counts.subarray(0, cells);
  }

  /** Rows with this label under these counts. */
  total(counts: Uint32Array, label: 0 | 1): number {
    let sum = 0;
    for (let c = 0; c < counts.length; c++) if (this.fraud[c] === label) sum += counts[c];
    return sum;
  }
}
