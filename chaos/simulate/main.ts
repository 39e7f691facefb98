/** Runs simulations seed after seed; the command `npm run simulate`. */
import { Simulation } from "../sim/simulation.ts";
import { loadProgram } from "./program.ts";

const program = await loadProgram();
const first = Number(process.argv[2] ?? 1);
const n = Number(process.argv[3] ?? 1);
const trace = process.argv[4] === "trace" ? (what: string) => console.log(what) : undefined;
let current: Simulation | null = null;
process.on("unhandledRejection", (e) => current?.fail(e));
for (let seed = first; seed < first + n; seed++) {
  const began = performance.now();
  current = new Simulation({ seed, minutes: 1, program, ...(trace === undefined ? {} : { trace }) });
  const r = await current.run();
  const ms = Math.round(performance.now() - began);
  console.log(
    seed,
    r.violation?.stack ?? "ok",
    `${r.nodes} nodes ${r.shards} shards ${r.payments} payments ${r.decisions} decided ${ms} ms`,
  );
  if (trace !== undefined) console.log(Object.fromEntries(r.events));
}
