/** The cut over all shards: consistent, the largest one, and nothing left that knows of what stays behind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { consistentCut, FoldMarks, liesWithin } from "./cut.ts";

/** A fold: `frame` of `target` has folded `source` up to `folded`. */
interface Fold {
  readonly target: number;
  readonly frame: number;
  readonly source: number;
  readonly folded: number;
}

const SHARDS = 4;

/** A history as it can happen: a frame folds only what stands already, each source's frames in order. */
const histories = fc
  .array(
    fc.record({
      target: fc.nat(SHARDS - 1),
      folds: fc.array(fc.tuple(fc.nat(SHARDS - 1), fc.nat(5)), { maxLength: 3 }),
    }),
    { maxLength: 80 },
  )
  .map((steps) => {
    const tails = new Array<number>(SHARDS).fill(0);
    const known = tails.map(() => new Array<number>(SHARDS).fill(0));
    const folds: Fold[] = [];
    for (const { target, folds: wanted } of steps) {
      tails[target]++;
      for (const [source, behind] of wanted) {
        const folded = tails[source] - behind;
        if (source === target || folded <= known[target][source]) continue;
        known[target][source] = folded;
        folds.push({ target, frame: tails[target], source, folded });
      }
    }
    return { tails, folds };
  });

function marksOf(folds: readonly Fold[]): FoldMarks[] {
  const marks = Array.from({ length: SHARDS }, () => new FoldMarks(SHARDS));
  for (const f of folds) marks[f.target].add(f.frame, f.source, f.folded);
  return marks;
}

function isConsistent(cut: readonly number[], folds: readonly Fold[]): boolean {
  return folds.every((f) => f.frame > cut[f.target] || f.folded <= cut[f.source]);
}

test("the cut is consistent, and no larger one below the start is", () => {
  const property = fc.property(histories, fc.array(fc.nat(20), { minLength: SHARDS, maxLength: SHARDS }), (h, back) => {
    const start = h.tails.map((t, s) => Math.max(0, t - back[s]));
    const cut = consistentCut(start, marksOf(h.folds));
    assert.ok(isConsistent(cut, h.folds), "a kept frame builds on one that is not kept");
    assert.ok(cut.every((c, s) => c >= 0 && c <= start[s]));
    // Consistent cuts are closed under the pairwise maximum: so it is the largest if nothing can be added with what
    // that needs, within the start.
    for (let s = 0; s < SHARDS; s++) {
      if (cut[s] === start[s]) continue;
      const more = closure(cut, s, h.folds);
      assert.ok(
        more.some((c, i) => c > start[i]),
        `shard ${s} could keep frame ${cut[s] + 1}`,
      );
    }
  });
  fc.assert(property, { numRuns: 500 });
});

/** The smallest consistent cut with one more frame of shard `s`. */
function closure(cut: readonly number[], s: number, folds: readonly Fold[]): number[] {
  const more = [...cut];
  more[s]++;
  for (let hasGrown = true; hasGrown; ) {
    hasGrown = false;
    for (const f of folds) {
      if (f.frame > more[f.target] || f.folded <= more[f.source]) continue;
      more[f.source] = f.folded;
      hasGrown = true;
    }
  }
  return more;
}

test("a chain over three shards falls as a whole", () => {
  const folds = [
    { target: 1, frame: 5, source: 0, folded: 9 },
    { target: 2, frame: 3, source: 1, folded: 5 },
  ];
  assert.deepEqual(consistentCut([8, 7, 4, 6], marksOf(folds)), [8, 4, 2, 6]);
  assert.deepEqual(consistentCut([9, 7, 4, 6], marksOf(folds)), [9, 7, 4, 6]);
});

test("a snapshot that knows more of a source than is kept does not come back, though no frame folds it", () => {
  const snapshot = { shard: 1, frame: 5, watermarks: [40, 0, 7, 0] };
  assert.ok(liesWithin([40, 5, 7, 0], snapshot));
  assert.ok(!liesWithin([39, 5, 7, 0], snapshot));
  assert.ok(!liesWithin([40, 4, 7, 0], snapshot));
});
