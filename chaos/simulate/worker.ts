/**
 * A process that runs simulations for the command: seeds come by message, results go back. A failing one is shrunk to
 * the fewest faults that still fail, and told with its trace.
 */
import { CoverageMeter, type Ranges } from "./coverage.ts";

export interface Order {
  readonly seed: number;
  readonly minutes: number;
  /** Numbers of the faults that happen; all without. */
  readonly only?: readonly number[];
  /** Whether to shrink a failure and to tell its trace. */
  readonly explain: boolean;
}

export interface Failure {
  readonly seed: number;
  readonly invariant: string;
  readonly message: string;
  readonly stack: string;
  /** The fewest faults with which it fails, in words; null when it was not shrunk. */
  readonly faults: readonly string[] | null;
  readonly only: readonly number[] | null;
  readonly trace: readonly string[];
}

export interface Outcome {
  readonly seed: number;
  readonly nodes: number;
  readonly shards: number;
  readonly payments: number;
  readonly decisions: number;
  readonly faults: number;
  readonly simulated_ms: number;
  readonly real_ms: number;
  readonly events: Readonly<Record<string, number>>;
  readonly failure: Failure | null;
}

export type FromWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "outcome"; readonly outcome: Outcome }
  | { readonly kind: "coverage"; readonly ranges: Ranges };

/** Seeds that are run with counters on, which costs about a third of the speed. */
const COUNTED_SEEDS = 50;
const TRACE_LINES_MAX = 60;

/** Resolves when it is on its way: a process that disconnects earlier may take it along. */
const send = (message: FromWorker): Promise<void> =>
  new Promise((resolve) => process.send?.(message, undefined, undefined, () => resolve()));

const meter = await CoverageMeter.start(new URL("../../", import.meta.url).href);
// Loaded only now, so that the counters see them.
const { Simulation } = await import("../sim/simulation.ts");
const { loadProgram } = await import("./program.ts");
const program = await loadProgram();

type Result = Awaited<ReturnType<InstanceType<typeof Simulation>["run"]>>;

let current: InstanceType<typeof Simulation> | null = null;
process.on("unhandledRejection", (error) => current?.fail(error));

async function simulate(order: Order, trace?: (what: string) => void): Promise<Result> {
  const { seed, minutes, only } = order;
  current = new Simulation({
    seed,
    minutes,
    program,
    ...(only === undefined ? {} : { only }),
    ...(trace === undefined ? {} : { trace }),
  });
  return await current.run();
}

const invariantOf = (r: Result): string => r.violation?.message.split(":", 1)[0] ?? "";

/** Leaves out one fault after another as long as the same invariant still fails. */
async function shrink(order: Order, first: Result): Promise<Failure> {
  let kept = first.faults;
  let last = first;
  for (const f of first.faults) {
    const fewer = kept.filter((k) => k !== f);
    const tried = await simulate({ ...order, only: fewer.map((k) => k.number) });
    if (tried.violation === null || invariantOf(tried) !== invariantOf(first)) continue;
    kept = fewer;
    last = tried;
  }
  const only = kept.map((f) => f.number);
  const trace: string[] = [];
  await simulate({ ...order, only }, (what) => trace.push(what));
  return {
    ...plainFailure(last),
    faults: kept.map((f) => `${f.number}: ${f.kind} of node-${f.host} at ${(f.at_ms / 1000).toFixed(3)} s`),
    only,
    trace: trace.slice(-TRACE_LINES_MAX),
  };
}

function plainFailure(r: Result): Failure {
  const { seed, violation } = r;
  const { message, stack } = violation as Error;
  return { seed, invariant: invariantOf(r), message, stack: stack ?? "", faults: null, only: null, trace: [] };
}

async function carryOut(order: Order): Promise<Outcome> {
  const began = performance.now();
  const r = await simulate(order);
  const real_ms = performance.now() - began;
  let failure: Failure | null = null;
  if (r.violation !== null) failure = order.explain ? await shrink(order, r) : plainFailure(r);
  const { seed, nodes, shards, payments, decisions, simulated_ms } = r;
  const events = Object.fromEntries(r.events);
  return { seed, nodes, shards, payments, decisions, faults: r.faults.length, simulated_ms, real_ms, events, failure };
}

let left = COUNTED_SEEDS;
async function coverageOnce(): Promise<void> {
  if (left < 0) return;
  left = -1;
  await send({ kind: "coverage", ranges: await meter.take() });
}

process.on("message", (order: Order | "end") => {
  if (order === "end") {
    coverageOnce().then(() => process.disconnect?.());
    return;
  }
  carryOut(order).then(async (outcome) => {
    if (--left === 0) await coverageOnce();
    await send({ kind: "outcome", outcome });
  });
});
await send({ kind: "ready" });
