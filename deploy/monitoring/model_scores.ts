/** Scores of the payments of an export by a model that is signed, as nodes score them. */
import { ModelSession } from "../../actors/inference/session.ts";
import type { OpenedModel } from "../models/open_model.ts";
import type { ExportRows, ReadOptions } from "./export_rows.ts";

const BLOCK_ROWS = 4096;

/** The export holds other features than the model was trained on, or the two exports hold different ones. */
export class DifferentFeatures extends Error {
  override name = "DifferentFeatures";
}

/** Throws DifferentFeatures, with the first column that differs, unless both lists are the same. */
export function requireSameFeatures(
  whose: string,
  names: readonly string[],
  others: string,
  expected: readonly string[],
): void {
  const columns = Math.max(names.length, expected.length);
  for (let c = 0; c < columns; c++) {
    if (names[c] === expected[c]) continue;
    const [has, wants] = [names[c] ?? "nothing", expected[c] ?? "nothing"];
    throw new DifferentFeatures(`${whose} has ${has} in column ${c}, ${others} has ${wants}`);
  }
}

/** The model, and where it was found. */
export type ScoringModel = Pick<OpenedModel, "model" | "stage">;

/** The score of each payment in the range, float32 as decisions have it. Rejects with DifferentFeatures. */
export async function modelScores(rows: ExportRows, opened: ScoringModel, o: ReadOptions): Promise<Float32Array> {
  const { card, onnx } = opened.model;
  requireSameFeatures(rows.exports[0], rows.feature_names, `the model ${card.name}`, card.feature_names);
  const scores = new Float32Array(rows.rows);
  const session = await ModelSession.create(onnx, "cpu", rows.feature_names.length);
  try {
    const score = (matrix: Float32Array, n: number, first: number): Promise<void> =>
      session.run(matrix, n, scores.subarray(first, first + n));
    await rows.readBlocks(BLOCK_ROWS, score, o);
  } finally {
    await session.close();
  }
  return scores;
}
