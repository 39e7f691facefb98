/**
 * Ranking measures over (score, label) columns: ROC AUC and average precision. Tied scores form one threshold, so the
 * order of the rows never changes a result. Scores must be numbers (a NaN is refused: a payment without a score is the
 * caller's decision to place); labels are 1 for fraud, 0 for genuine.
 */

/** Row numbers by falling score. Rows of equal score stand in any order. */
export function byFallingScore(score: Float64Array): Uint32Array {
  const order = new Uint32Array(score.length);
  for (let i = 0; i < order.length; i++) order[i] = i;
  return order.sort((a, b) => score[b] - score[a]);
}

/** Refuses columns of different length, NaN scores and labels other than 0 and 1. Throws RangeError naming the row. */
export function checkColumns(score: Float64Array, fraud: Uint8Array): void {
  if (score.length !== fraud.length) throw new RangeError(`${score.length} scores for ${fraud.length} labels`);
  for (let i = 0; i < score.length; i++) {
    if (Number.isNaN(score[i])) throw new RangeError(`row ${i} has no score (NaN)`);
    if (fraud[i] > 1) throw new RangeError(`row ${i} has label ${fraud[i]}, expected 0 or 1`);
  }
}

/** One distinct score: how many frauds and genuine payments have it. */
type Threshold = (frauds: number, genuine: number) => void;

function eachThreshold(score: Float64Array, fraud: Uint8Array, visit: Threshold): void {
  const order = byFallingScore(score);
  let i = 0;
  while (i < order.length) {
    const at = score[order[i]];
    let frauds = 0;
    let genuine = 0;
    for (; i < order.length && score[order[i]] === at; i++) {
      if (fraud[order[i]] === 1) frauds++;
      else genuine++;
    }
    visit(frauds, genuine);
  }
}

/**
 * Area under the ROC curve: the chance that a fraud scores above a genuine payment, a tie counting one half
 * (the Mann-Whitney statistic). 0..1; NaN when either class is absent.
 */
export function rocAuc(score: Float64Array, fraud: Uint8Array): number {
  checkColumns(score, fraud);
  let fraudsAbove = 0;
  let genuineTotal = 0;
  let wins = 0;
  eachThreshold(score, fraud, (frauds, genuine) => {
    wins += genuine * (fraudsAbove + frauds / 2);
    fraudsAbove += frauds;
    genuineTotal += genuine;
  });
  return wins / (fraudsAbove * genuineTotal);
}

/**
 * Average precision: sum over the distinct thresholds n, falling, of (R_n - R_{n-1}) P_n with recall R and precision P
 * of "score >= threshold". No interpolation. 0..1; NaN without a fraud.
 */
export function averagePrecision(score: Float64Array, fraud: Uint8Array): number {
  checkColumns(score, fraud);
  let caught = 0;
  let flagged = 0;
  let sum = 0;
  eachThreshold(score, fraud, (frauds, genuine) => {
    caught += frauds;
    flagged += frauds + genuine;
    sum += frauds * (caught / flagged);
  });
  return sum / caught;
}
