/**
 * Why a score is what it is: the trees of the model walked once more for one row, each step credited to the feature
 * that it asked. A node's expectation is the average answer below it, weighed by the training rows' cover; a step from
 * parent to child adds (child's expectation - parent's) to the parent's feature. The sums over features and the bias
 * (base margin + expectations of the roots) are the row's margin exactly, in log-odds.
 *
 * Thresholds and features are float32 on both sides, compared as ONNX Runtime does (x < threshold; NaN goes the way
 * that training found best), so that the walk ends in the same leaves as the score's.
 */
import { REASON_SLOTS, type RowBlock } from "../../proto/columns.ts";
import { ModelError } from "./model.ts";

const MAGIC = 0x58454746; // "FGEX", little-endian
const VERSION = 1;
const HEADER_BYTES = 32;
/** Limits of an explanation file; reasonFeature is a byte that holds feature + 1. */
const FEATURES_MAX = 254;
const TREES_MAX = 2000;
const NODES_MAX = 1 << 22;
/** Contributions smaller than this do not name a reason. Log-odds. */
const REASON_WEIGHT_MIN = 1e-3;

export class TreeExplainer {
  readonly featureCount: number;
  readonly treeCount: number;
  /** Margin of the average training row, log-odds. */
  readonly bias: number;
  /** Contributions of the row explained last, one a feature, log-odds. */
  readonly contributions: Float64Array;
  readonly #baseMargin: number;
  readonly #expectation: Float64Array;
  readonly #threshold: Float32Array;
  readonly #feature: Int32Array;
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #roots: Int32Array;
  readonly #defaultLeft: Uint8Array;

  /** Reads explain.bin (training/forest.py writes it). Throws ModelError("format"). */
  constructor(bytes: Uint8Array, featureCount: number) {
    if (bytes.byteLength < HEADER_BYTES) throw new ModelError("format", "explanation file: no header");
    // A copy, since typed arrays need aligned offsets and the file's buffer may be pooled.
    const buffer = new Uint8Array(bytes).buffer;
    const header = new DataView(buffer, 0, HEADER_BYTES);
    const features = header.getUint32(8, true);
    const trees = header.getUint32(12, true);
    const nodes = header.getUint32(16, true);
    if (header.getUint32(0, true) !== MAGIC || header.getUint32(4, true) !== VERSION) {
      throw new ModelError("format", `explanation file: not of version ${VERSION}`);
    }
    if (features !== featureCount || features > FEATURES_MAX) {
      throw new ModelError("format", `explanation file: ${features} features, ${featureCount} expected`);
    }
    const bytesExpected = HEADER_BYTES + nodes * (8 + 4 * 4 + 1) + trees * 4;
    if (trees < 1 || trees > TREES_MAX || nodes > NODES_MAX || bytes.byteLength !== bytesExpected) {
      throw new ModelError("format", `explanation file: ${bytes.byteLength} bytes, ${bytesExpected} expected`);
    }
    this.featureCount = features;
    this.treeCount = trees;
    this.#baseMargin = header.getFloat64(24, true);
    this.contributions = new Float64Array(features);
    const words = HEADER_BYTES + nodes * 8;
    this.#expectation = new Float64Array(buffer, HEADER_BYTES, nodes);
    this.#threshold = new Float32Array(buffer, words, nodes);
    this.#feature = new Int32Array(buffer, words + nodes * 4, nodes);
    this.#left = new Int32Array(buffer, words + nodes * 8, nodes);
    this.#right = new Int32Array(buffer, words + nodes * 12, nodes);
    this.#roots = new Int32Array(buffer, words + nodes * 16, trees);
    this.#defaultLeft = new Uint8Array(buffer, words + nodes * 16 + trees * 4, nodes);
    this.#check();
    this.bias = this.#roots.reduce((sum, root) => sum + this.#expectation[root], this.#baseMargin);
  }

  /** Children come after their parent, so that every walk ends. */
  #check(): void {
    const nodes = this.#feature.length;
    const child = (node: number, parent: number) => node > parent && node < nodes;
    for (let i = 0; i < nodes; i++) {
      if (this.#feature[i] < 0) continue;
      if (this.#feature[i] >= this.featureCount || !child(this.#left[i], i) || !child(this.#right[i], i)) {
        throw new ModelError("format", `explanation file: node ${i} points nowhere`);
      }
    }
    if (!this.#roots.every((root) => root >= 0 && root < nodes)) {
      throw new ModelError("format", "explanation file: a root points nowhere");
    }
  }

  /** Margin (log-odds) of the row whose features start at `offset` of `matrix`; score = 1 / (1 + exp(-margin)). */
  margin(matrix: Float32Array, offset: number): number {
    let sum = this.#baseMargin;
    for (let t = 0; t < this.treeCount; t++) {
      let node = this.#roots[t];
      while (this.#feature[node] >= 0) node = this.#step(node, matrix[offset + this.#feature[node]]);
      sum += this.#expectation[node];
    }
    return sum;
  }

  /** Fills `contributions` for the row whose features start at `offset` of `matrix`; returns its margin. Log-odds. */
  contribute(matrix: Float32Array, offset: number): number {
    const contributions = this.contributions.fill(0);
    let sum = this.#baseMargin;
    for (let t = 0; t < this.treeCount; t++) {
      let node = this.#roots[t];
      let expected = this.#expectation[node];
      while (this.#feature[node] >= 0) {
        const feature = this.#feature[node];
        node = this.#step(node, matrix[offset + feature]);
        contributions[feature] += this.#expectation[node] - expected;
        expected = this.#expectation[node];
      }
      sum += expected;
    }
    return sum;
  }

  #step(node: number, value: number): number {
    // value !== value holds for NaN alone: a missing value.
    // biome-ignore lint/suspicious/noSelfCompare: the cheapest NaN test, on the path of each node.
    const left = value !== value ? this.#defaultLeft[node] === 1 : value < this.#threshold[node];
    return left ? this.#left[node] : this.#right[node];
  }

  /**
   * Writes the features that raised the score of matrix row `row` most into the reason slots of block row `blockRow`,
   * strongest first (of equals the earlier column); what lowered the score is no reason. Allocates nothing.
   */
  explain(matrix: Float32Array, row: number, block: RowBlock, blockRow: number): void {
    this.contribute(matrix, row * this.featureCount);
    const at = blockRow * REASON_SLOTS;
    const weights = block.reasonWeight;
    const features = block.reasonFeature;
    for (let s = at; s < at + REASON_SLOTS; s++) {
      features[s] = 0;
      weights[s] = 0;
    }
    for (let f = 0; f < this.featureCount; f++) {
      // Rounded first, so that comparing with a slot compares like with like.
      const weight = Math.fround(this.contributions[f]);
      if (weight < REASON_WEIGHT_MIN || weight <= weights[at + REASON_SLOTS - 1]) continue;
      let s = at + REASON_SLOTS - 1;
      for (; s > at && weights[s - 1] < weight; s--) {
        weights[s] = weights[s - 1];
        features[s] = features[s - 1];
      }
      weights[s] = weight;
      features[s] = f + 1;
    }
  }
}
