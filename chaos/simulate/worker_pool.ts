/** Worker processes that run simulations side by side; seeds are given out one at a time, results come as they end. */
import { type ChildProcess, fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { addRanges, type Ranges } from "./coverage.ts";
import { MUTATION_VARIABLE, type SourceEdit } from "./mutation_hook.ts";
import type { FromWorker, Order, Outcome } from "./worker.ts";

const WORKER = new URL("./worker.ts", import.meta.url);
const HOOK = new URL("./mutation_hook.ts", import.meta.url);

export interface PoolOptions {
  /** Processes; as many as there are processors by default. */
  readonly jobs?: number;
  readonly mutation?: SourceEdit;
  readonly signal?: AbortSignal;
}

/**
 * Runs the orders in sequence of their seeds, `onOutcome` after each; false from it ends all. Resolves with the
 * coverage of all workers. Rejects when a worker ends before its time.
 */
export async function runSeeds(
  orders: Iterable<Order>,
  o: PoolOptions,
  onOutcome: (outcome: Outcome) => boolean,
): Promise<Ranges> {
  const next = orders[Symbol.iterator]();
  const ranges: Ranges = {};
  let going = true;
  const workers = Array.from({ length: o.jobs ?? availableParallelism() }, () => startWorker(o.mutation));
  const stop = (): void => {
    for (const w of workers) w.kill();
  };
  o.signal?.addEventListener("abort", stop, { once: true });
  const done = workers.map((worker) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let ended = false;
    let counted = false;
    let stderr = "";
    worker.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-8000);
    });
    const give = (): void => {
      const order = going ? next.next() : { done: true as const, value: undefined };
      ended = order.done === true;
      worker.send(order.done === true ? "end" : order.value);
    };
    worker.on("message", (message: FromWorker) => {
      if (message.kind === "coverage") {
        counted = true;
        addRanges(ranges, message.ranges);
      } else {
        if (message.kind === "outcome" && going) going = onOutcome(message.outcome);
        give();
      }
    });
    worker.once("error", reject);
    // A process's end may be known before its last message, the coverage, is read; the channel's end comes behind it.
    const drained = new Promise((resolve) => worker.once("disconnect", resolve));
    worker.once("exit", async (code) => {
      await drained;
      if (o.signal?.aborted === true || (ended && counted)) resolve();
      else reject(new Error(`a simulation process ended with ${code}\n${stderr}`));
    });
    return promise;
  });
  try {
    await Promise.all(done);
  } finally {
    stop();
    o.signal?.removeEventListener("abort", stop);
  }
  return ranges;
}

function startWorker(mutation: SourceEdit | undefined): ChildProcess {
  const env = { ...process.env };
  delete env[MUTATION_VARIABLE];
  if (mutation !== undefined) env[MUTATION_VARIABLE] = JSON.stringify(mutation);
  const execArgv = mutation === undefined ? [] : ["--import", HOOK.href];
  return fork(WORKER, [], { env, execArgv, stdio: ["ignore", "inherit", "pipe", "ipc"] });
}
