/**
 * A deterministic scorer of the shipped model behind the inference actor's Engine: its trees walked in this process,
 * its runs as long as the world says. Scores equal ONNX Runtime's within 1e-5 (explanation.test.ts compares them).
 */
import type { Engine, EngineOptions } from "../../actors/inference/engine.ts";
import type { TreeExplainer } from "../../actors/inference/explanation.ts";
import type { SimHost } from "./sim_host.ts";

/** How inference fares now: shared by all nodes, changed by faults. */
export interface InferenceWeather {
  /** Longest run, milliseconds. */
  run_ms_max: number;
  /** Probability that a run fails. */
  failing: number;
}

export function treeEngine(
  explainer: TreeExplainer,
  host: SimHost,
  weather: InferenceWeather,
): (options: EngineOptions) => Promise<Engine> {
  return async ({ buffers, onError }) => ({
    provider: "cpu",
    alive: true,
    answered: false,
    async run(buffer, rows) {
      await host.sleep(host.world.between(0.1, weather.run_ms_max));
      if (host.world.chance(weather.failing)) {
        onError("simulated: the run failed");
        return false;
      }
      const { matrix, scores } = buffers[buffer];
      for (let r = 0; r < rows; r++) {
        scores[r] = 1 / (1 + Math.exp(-explainer.margin(matrix, r * explainer.featureCount)));
      }
      return true;
    },
    async close() {},
  });
}
