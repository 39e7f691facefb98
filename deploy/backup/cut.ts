/**
 * A point in time that is one over all shards. Frames of a shard tell which frames of other shards they have folded; so
 * a cut may keep a frame only if it keeps all that this frame has folded. From the frames up to a moment the largest
 * such cut is found by lowering what is ahead of its sources, until nothing is.
 */

/** What one shard's frames have folded of each source, as far as it rose: both lists rise together. */
export class FoldMarks {
  readonly frames: number[][];
  readonly upTo: number[][];

  constructor(shards: number) {
    this.frames = Array.from({ length: shards }, () => []);
    this.upTo = Array.from({ length: shards }, () => []);
  }

  /** `frame` folds the source's frame `folded`; frames come in order. */
  add(frame: number, source: number, folded: number): void {
    const [frames, upTo] = [this.frames[source], this.upTo[source]];
    if (frames === undefined || folded <= (upTo.at(-1) ?? 0)) return;
    if (frames.at(-1) === frame) upTo[upTo.length - 1] = folded;
    else {
      frames.push(frame);
      upTo.push(folded);
    }
  }

  /** The first frame that has folded more of the source than its frame `cut`; Infinity when none has. */
  firstBeyond(source: number, cut: number): number {
    const upTo = this.upTo[source];
    let [low, high] = [0, upTo.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (upTo[middle] > cut) high = middle;
      else low = middle + 1;
    }
    return this.frames[source][low] ?? Number.POSITIVE_INFINITY;
  }
}

/** The largest consistent cut at or below `start`: the newest frame kept of each shard, 0 for none. */
export function consistentCut(start: readonly number[], marks: readonly FoldMarks[]): number[] {
  const cut = [...start];
  for (let hasFallen = true; hasFallen; ) {
    hasFallen = false;
    for (let target = 0; target < cut.length; target++) {
      for (let source = 0; source < cut.length; source++) {
        if (source === target) continue;
        const limit = marks[target].firstBeyond(source, cut[source]) - 1;
        if (limit >= cut[target]) continue;
        cut[target] = limit;
        hasFallen = true;
      }
    }
  }
  return cut;
}

/** Whether a state that folded `watermarks` up to `frame` of its shard lies within a cut. */
export function liesWithin(
  cut: readonly number[],
  state: { readonly shard: number; readonly frame: number; readonly watermarks: readonly number[] },
): boolean {
  // Of a source it may also know that frames hold nothing for it: not of frames that come again, and are others.
  return state.frame <= cut[state.shard] && state.watermarks.every((w, s) => s === state.shard || w <= cut[s]);
}
