import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { REASON_SLOTS, RowBlock } from "../../proto/columns.ts";
import { FEATURE_COUNT } from "../features/registry.ts";
import { TreeExplainer } from "./explanation.ts";
import { type LoadedModel, loadModel, ModelError } from "./model.ts";
import { ModelSession } from "./session.ts";
import { syntheticMatrix } from "./synthetic_matrix.ts";
import { SHIPPED_MODEL } from "./testkit.ts";

const SCORE_TOLERANCE = 1e-5;
const SUM_TOLERANCE = 1e-9;

let model: LoadedModel;
let session: ModelSession;
let explainer: TreeExplainer;

before(async () => {
  model = await loadModel(SHIPPED_MODEL);
  session = await ModelSession.create(model.onnx, "cpu", FEATURE_COUNT);
  explainer = new TreeExplainer(model.explain, FEATURE_COUNT);
});
after(() => session.close());

const sigmoid = (margin: number) => 1 / (1 + Math.exp(-margin));

/** Every row: the contributions make up the margin, and the margin is the score that ONNX Runtime gives. */
async function checkRows(matrix: Float32Array, rows: number): Promise<void> {
  const scores = new Float32Array(rows);
  await session.run(matrix, rows, scores);
  for (let r = 0; r < rows; r++) {
    const margin = explainer.contribute(matrix, r * FEATURE_COUNT);
    const sum = explainer.contributions.reduce((total, c) => total + c, explainer.bias);
    assert.ok(Math.abs(sum - margin) < SUM_TOLERANCE, `row ${r}: contributions ${sum}, margin ${margin}`);
    assert.equal(explainer.margin(matrix, r * FEATURE_COUNT), margin);
    const difference = Math.abs(sigmoid(margin) - scores[r]);
    assert.ok(difference <= SCORE_TOLERANCE, `row ${r}: ${sigmoid(margin)} explained, ${scores[r]} scored`);
  }
}

/** (feature, threshold) of each inner node, read from the file by its documented layout. */
function splits(bytes: Uint8Array): { feature: number; threshold: number }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const nodes = view.getUint32(16, true);
  const words = 32 + nodes * 8;
  return Array.from({ length: nodes }, (_, i) => ({
    feature: view.getInt32(words + nodes * 4 + i * 4, true),
    threshold: view.getFloat32(words + i * 4, true),
  })).filter((s) => s.feature >= 0);
}

describe("explanations", () => {
  test("are the margin, and its score, on made-up rows with missing values", async () => {
    await checkRows(syntheticMatrix(3000, 21).matrix, 3000);
  });

  test("take the same way as ONNX Runtime for values at and beside each threshold", async () => {
    const all = splits(model.explain);
    assert.ok(all.length > 500, `${all.length} splits`);
    const random = syntheticMatrix(all.length, 22).matrix;
    const word = new Float32Array(1);
    const bits = new Int32Array(word.buffer);
    for (const step of [-1, 0, 1]) {
      all.forEach(({ feature, threshold }, i) => {
        word[0] = threshold;
        // The neighbouring float32.
        bits[0] += step;
        random[i * FEATURE_COUNT + feature] = word[0];
      });
      await checkRows(random, all.length);
    }
  });

  test("hold for any float32 in any column", async () => {
    const value = fc.oneof(fc.constant(Number.NaN), fc.float({ noNaN: true }), fc.constantFrom(0, -0, 1, 1e30));
    const rows = fc.array(fc.array(value, { minLength: FEATURE_COUNT, maxLength: FEATURE_COUNT }), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(rows, (values) => checkRows(Float32Array.from(values.flat()), values.length)),
      { numRuns: 60 },
    );
  });
});

describe("reasons", () => {
  test("name the features that raised the score most, strongest first", () => {
    const { matrix, rows } = syntheticMatrix(500, 23);
    const block = new RowBlock();
    for (let r = 0; r < rows; r++) {
      const blockRow = (r * 7) % 2048;
      block.reasonFeature.fill(99, blockRow * REASON_SLOTS, (blockRow + 1) * REASON_SLOTS);
      explainer.explain(matrix, r, block, blockRow);
      explainer.contribute(matrix, r * FEATURE_COUNT);
      const expected = Array.from(explainer.contributions, (c, f) => ({ weight: Math.fround(c), feature: f + 1 }))
        .filter((c) => c.weight >= 1e-3)
        .sort((a, b) => b.weight - a.weight || a.feature - b.feature)
        .slice(0, REASON_SLOTS);
      while (expected.length < REASON_SLOTS) expected.push({ weight: 0, feature: 0 });
      const found = expected.map((_, s) => ({
        weight: block.reasonWeight[blockRow * REASON_SLOTS + s],
        feature: block.reasonFeature[blockRow * REASON_SLOTS + s],
      }));
      assert.deepEqual(found, expected);
    }
  });

  test("are not made from a damaged file", () => {
    const refused = (bytes: Uint8Array, features = FEATURE_COUNT) =>
      assert.throws(
        () => new TreeExplainer(bytes, features),
        (error) => error instanceof ModelError && error.code === "format",
      );
    refused(new Uint8Array(0));
    refused(model.explain.subarray(0, model.explain.length - 1));
    refused(model.explain, FEATURE_COUNT + 1);
    const loop = Uint8Array.from(model.explain);
    const view = new DataView(loop.buffer);
    const nodes = view.getUint32(16, true);
    // The left child of the first root becomes the root itself.
    view.setInt32(32 + nodes * 16, 0, true);
    refused(loop);
  });
});
