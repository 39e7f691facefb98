/**
 * The order in which a tick accepts its rows: by event time, equal times as they came. Rows of several streams are
 * merged here, so that payments a few milliseconds apart are not late for each other.
 */

const runs = new Uint32Array(65537);
let spare = new Uint16Array(2048);

/**
 * Fills order[0..n) with the rows 0..n - 1 by ascending time, stable: a natural merge sort, which costs one pass for
 * rows that are in order and log2(number of ascending runs) passes otherwise. NaN times count as the start of a run.
 */
export function orderByTime(times: Float64Array, n: number, order: Uint16Array): void {
  let count = 0;
  runs[0] = 0;
  for (let i = 0; i < n; i++) {
    order[i] = i;
    if (i > 0 && !(times[i] >= times[i - 1])) runs[++count] = i;
  }
  if (n === 0) return;
  runs[++count] = n;
  if (spare.length < n) spare = new Uint16Array(n);
  while (count > 1) {
    let merged = 0;
    for (let k = 0; k < count; k += 2) {
      const middle = runs[k + 1];
      if (k + 1 < count) merge(times, order, runs[k], middle, runs[k + 2]);
      runs[++merged] = k + 1 < count ? runs[k + 2] : middle;
    }
    count = merged;
  }
}

/** Merges order[from, middle) and order[middle, to), each ascending. */
function merge(times: Float64Array, order: Uint16Array, from: number, middle: number, to: number): void {
  if (times[order[middle - 1]] <= times[order[middle]]) return;
  for (let i = from; i < middle; i++) spare[i] = order[i];
  let left = from;
  let right = middle;
  let at = from;
  while (left < middle && right < to) {
    if (times[order[right]] < times[spare[left]]) order[at++] = order[right++];
    else order[at++] = spare[left++];
  }
  while (left < middle) order[at++] = spare[left++];
}
