/**
 * The same ONNX model for the peers: counts, sums and means of their windows in the model's columns, the rest
 * missing.
 */
import { FEATURE_COUNT, featureColumn, WINDOWS } from "../../../actors/features/registry.ts";
import { loadModel } from "../../../actors/inference/model.ts";
import { ModelSession } from "../../../actors/inference/session.ts";
import type { PeerBatch } from "./peer_workload.ts";

/** Numbers a payment: count and sum of each window, of its user, then of its merchant. */
export const PEER_COLUMNS = WINDOWS.length * 2 * 2;

const OWNERS = ["user", "merchant"] as const;
const PLACES = OWNERS.flatMap((owner) =>
  WINDOWS.map((w) => [
    featureColumn(`${owner}_count_${w.name}`),
    featureColumn(`${owner}_amount_sum_${w.name}`),
    featureColumn(`${owner}_amount_mean_${w.name}`),
  ]),
);
const AMOUNT = featureColumn("amount");

export class PeerScorer {
  readonly #session: ModelSession;
  readonly #matrix: Float32Array;
  readonly #scores: Float32Array;
  readonly #rows: number;

  private constructor(session: ModelSession, rows: number) {
    this.#session = session;
    this.#rows = rows;
    this.#matrix = new Float32Array(rows * FEATURE_COUNT).fill(Number.NaN);
    this.#scores = new Float32Array(rows);
  }

  static async load(model_dir: string, rows: number): Promise<PeerScorer> {
    const { onnx } = await loadModel(model_dir);
    return new PeerScorer(await ModelSession.create(onnx, "cpu", FEATURE_COUNT), rows);
  }

  /** Scores a batch from its windows (PEER_COLUMNS a row). The result stands until the next call. */
  async score(batch: PeerBatch, windows: Float64Array): Promise<Float32Array> {
    if (batch.n > this.#rows) throw new RangeError(`${batch.n} payments, room for ${this.#rows}`);
    const m = this.#matrix;
    for (let i = 0; i < batch.n; i++) {
      const row = i * FEATURE_COUNT;
      m[row + AMOUNT] = batch.amount[i];
      for (let k = 0; k < PLACES.length; k++) {
        const count = windows[i * PEER_COLUMNS + 2 * k];
        const sum = windows[i * PEER_COLUMNS + 2 * k + 1];
        const [c, s, mean] = PLACES[k];
        m[row + c] = count;
        m[row + s] = sum;
        m[row + mean] = sum / count;
      }
    }
    await this.#session.run(m, batch.n, this.#scores);
    return this.#scores;
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}
