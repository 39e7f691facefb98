/**
 * One of the three runs: latency at two rates, the sketch beside them, unary calls against an echo, bulk calls, the
 * saturation search of both, overload.
 */
import { join } from "node:path";
import type { CallsResult } from "../load/calls.ts";
import { Child } from "./child.ts";
import type { LoadProcess } from "./load_process.ts";
import { type MeasuredPhase, measurePhase } from "./measured.ts";
import type { NodeUnderTest } from "./node_under_test.ts";
import { LATENCY_RATE, LATENCY_RATE_HIGH, OVERLOAD_FACTOR, type Plan } from "./plan.ts";
import { findSaturation, type Probe } from "./saturation.ts";
import { Sketch, type SketchResult } from "./sketch.ts";

export interface Bench {
  readonly root: string;
  readonly work_dir: string;
  readonly plan: Plan;
  readonly node: NodeUnderTest;
  readonly load: LoadProcess;
  /** The sketch's folder; undefined without it. */
  readonly sketch: string | undefined;
  readonly say: (line: string) => void;
}

export interface RunResult {
  readonly at_60000: MeasuredPhase;
  readonly at_80000: MeasuredPhase;
  readonly saturation: {
    readonly rate: number;
    readonly hold: MeasuredPhase | undefined;
    readonly probes: readonly MeasuredPhase[];
  };
  readonly overload: MeasuredPhase | undefined;
  readonly unary: readonly CallsResult[];
  readonly unary_echo: readonly CallsResult[];
  readonly bulk: CallsResult;
  readonly sketch:
    | { readonly at_60000: SketchResult; readonly rate: number; readonly hold: SketchResult | undefined }
    | undefined;
}

/** A rate is held when so much is decided and the slowest hundredth takes no longer. */
const HELD_SHARE = 0.999;
const HELD_P99_MS = 500;
const MESSAGE_ROWS = 64;

/** `guess` and `sketch_guess`: where the searches start. */
export async function oneRun(b: Bench, guess: number, sketch_guess: number): Promise<RunResult> {
  const { plan } = b;
  const phase = (name: string, rate: number, seconds: number) => phaseSaid(b, name, rate, seconds);
  const at_60000 = await phase("latency", LATENCY_RATE, plan.latency_s);
  const sketch = b.sketch === undefined ? undefined : await sketchRun(b, b.sketch, sketch_guess);
  const at_80000 = await phase("latency", LATENCY_RATE_HIGH, plan.latency_s);
  const calls = await unaryRounds(b);
  const bulk = await b.load.bulk(plan.bulk_calls);
  b.say(`bulk of 1,000: p95 ${bulk.latency_ms.p95} ms, ${bulk.failed} of ${bulk.calls} failed ${bulk.error}`);
  const probes: MeasuredPhase[] = [];
  const probe: Probe<MeasuredPhase> = async (rate, seconds) => {
    const result = await phase("saturation", rate, seconds);
    probes.push(result);
    return { result, held: result.decided_share >= HELD_SHARE && result.latency_ms.p99 <= HELD_P99_MS };
  };
  const { rate, hold } = await findSaturation(probe, { guess, ...plan.search });
  const overload =
    rate === 0 ? undefined : await phase("overload", Math.round(rate * OVERLOAD_FACTOR), plan.overload_s);
  return { at_60000, at_80000, saturation: { rate, hold, probes }, overload, ...calls, bulk, sketch };
}

async function phaseSaid(b: Bench, name: string, rate: number, seconds: number): Promise<MeasuredPhase> {
  const r = await measurePhase(b.node, b.load, { name, rate, seconds });
  const { p50, p95, p99, p999 } = r.latency_ms;
  const { node, nats, load } = r.cpu_us_by_process;
  const errors = Object.entries(r.errors).map(([code, n]) => ` ${code} ${n}`);
  b.say(
    `${name} ${rate}/s for ${seconds} s: ${r.decisions_per_s} decided/s (${(r.decided_share * 100).toFixed(2)} %), ` +
      `ms p50 ${p50} p95 ${p95} p99 ${p99} p99.9 ${p999}; sender's lag p99 ${r.lag_ms.p99}; ` +
      `${r.expiries_per_s} expiries/s at ${r.acceleration}x; cpu us ${node} node ${nats} nats ${load} load;` +
      `${errors.join(",")}${r.unanswered > 0 ? ` ${r.unanswered} unanswered` : ""}` +
      `${r.degraded > 0 ? ` ${r.degraded} degraded` : ""}${r.late > 0 ? ` ${r.late} late` : ""}`,
  );
  return r;
}

async function sketchRun(b: Bench, source: string, guess: number): Promise<RunResult["sketch"]> {
  const sketch = await Sketch.start(source, join(b.work_dir, "sketch"), b.root, b.plan.warm_up_s);
  try {
    const run = async (rate: number, seconds: number): Promise<SketchResult> => {
      const r = await sketch.run(rate, seconds);
      b.say(`sketch ${rate}/s for ${seconds} s: ${r.decisions_per_s}/s, p99 ${r.latency_ms.p99} ms, ${r.lost} lost`);
      return r;
    };
    const at_60000 = await run(LATENCY_RATE, b.plan.sketch_latency_s);
    const probe: Probe<SketchResult> = async (rate, seconds) => {
      const result = await run(rate, seconds);
      // It rounds down to whole messages.
      const lost_share = result.lost / (Math.floor((rate * seconds) / MESSAGE_ROWS) * MESSAGE_ROWS);
      return { result, held: lost_share <= 1 - HELD_SHARE && result.latency_ms.p99 <= HELD_P99_MS };
    };
    const { rate, hold } = await findSaturation(probe, { guess, ...b.plan.search });
    return { at_60000, rate, hold };
  } finally {
    await sketch.stop();
  }
}

/** The node and the echo in turns, by the same client with the same messages. */
async function unaryRounds(b: Bench): Promise<Pick<RunResult, "unary" | "unary_echo">> {
  const echo = new Child("the echo server", [join(b.root, "chaos/bench/echo_server.ts")], { cwd: b.root });
  try {
    const port = await echo.until(() => /listening on (\d+)/.exec(echo.tail)?.[1], 30);
    const { unary_concurrency: concurrency, unary_s: seconds } = b.plan;
    const unary: CallsResult[] = [];
    const unary_echo: CallsResult[] = [];
    for (let round = 0; round < b.plan.unary_rounds; round++) {
      unary.push(await b.load.unary({ address: b.node.grpc, concurrency, seconds, echo: false }));
      unary_echo.push(await b.load.unary({ address: `127.0.0.1:${port}`, concurrency, seconds, echo: true }));
      const [ours, raw] = [unary[round], unary_echo[round]];
      b.say(`unary ${ours.per_s}/s (p99 ${ours.latency_ms.p99} ms, ${ours.failed} failed), echo ${raw.per_s}/s`);
    }
    return { unary, unary_echo };
  } finally {
    await echo.stop();
  }
}
