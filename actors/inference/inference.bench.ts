/**
 * Rows a second of the shipped model by batch: on the actor's own thread, on the caller's, and as it chooses itself;
 * and the cost of an explanation. One JSON object a line on standard output.
 */
import { RowBlock } from "../../proto/columns.ts";
import { FEATURE_COUNT } from "../features/registry.ts";
import { InlineEngine, WorkerEngine } from "./engine.ts";
import { TreeExplainer } from "./explanation.ts";
import { HybridEngine } from "./hybrid_engine.ts";
import { InferenceActor } from "./inference_actor.ts";
import { loadModel } from "./model.ts";
import { syntheticMatrix } from "./synthetic_matrix.ts";
import { CLOCK, HandTimer, SHIPPED_MODEL } from "./testkit.ts";

const BATCHES = [1, 16, 64, 512, 2048];
const MEASURE_MS = 1000;

const model = await loadModel(SHIPPED_MODEL);
const { matrix } = syntheticMatrix(2048, 31);
for (const [thread, engine] of [
  ["own", WorkerEngine.start],
  ["caller", InlineEngine.start],
  ["both", HybridEngine.start],
] as const) {
  const timer = new HandTimer();
  const options = { model, capacity: 2048, buffers: 2, budget_ms: 1000, timer, clock: CLOCK, engine };
  const actor = await InferenceActor.start(options);
  for (const rows of BATCHES) {
    const buffer = actor.acquire();
    if (buffer === null) throw new Error("no buffer");
    buffer.matrix.set(matrix.subarray(0, rows * FEATURE_COUNT));
    const start = performance.now();
    let runs = 0;
    while (performance.now() - start < MEASURE_MS) {
      if ((await actor.score(buffer, rows)) !== "scored") throw new Error("not scored");
      runs++;
    }
    const us = ((performance.now() - start) * 1000) / runs;
    actor.release(buffer);
    const round = (x: number) => Math.round(x * 100) / 100;
    const line = { thread, rows, us_per_run: round(us), us_per_row: round(us / rows) };
    console.log(JSON.stringify({ ...line, rows_per_s: Math.round((rows / us) * 1e6) }));
  }
  await actor.close();
}

const explainer = new TreeExplainer(model.explain, FEATURE_COUNT);
const block = new RowBlock();
const start = performance.now();
let explained = 0;
while (performance.now() - start < MEASURE_MS) {
  for (let r = 0; r < 2048; r++) explainer.explain(matrix, r, block, r);
  explained += 2048;
}
console.log(JSON.stringify({ explain_us_per_row: ((performance.now() - start) * 1000) / explained }));
