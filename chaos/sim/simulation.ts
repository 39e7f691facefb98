/**
 * One simulation from a seed: a safety phase with faults, a healed phase in which everything must be answered, then the
 * checks of the state. Equal seeds and plans give equal runs.
 */
import { SimWorld } from "../../runtime/testkit/sim_world.ts";
import { AnswerCheck } from "./answer_check.ts";
import { DamagePhase, type RunUntil } from "./damage.ts";
import { type Fault, planFaults } from "./faults.ts";
import { JournalIndex } from "./journal_index.ts";
import { SimClients } from "./sim_clients.ts";
import { SimCluster } from "./sim_cluster.ts";
import type { SimProgram } from "./sim_process.ts";
import { checkState } from "./state_check.ts";
import { Violation } from "./violation.ts";

export interface SimulationOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly program: SimProgram;
  /** Numbers of the faults of the seed's plan that happen; all without. */
  readonly only?: readonly number[];
  readonly trace?: (what: string) => void;
}

export interface SimulationResult {
  readonly seed: number;
  readonly nodes: number;
  readonly shards: number;
  readonly violation: Error | null;
  readonly faults: readonly Fault[];
  readonly payments: number;
  readonly decisions: number;
  readonly simulated_ms: number;
  /** How often each thing happened, by name. */
  readonly events: ReadonlyMap<string, number>;
}

/** In this time after healing all nodes must serve and all requests be answered. */
const HEALED_MS = 60_000;
/** One simulation in so many has a user and a merchant with many events; one in so many ends with a damaged journal. */
const HOT_EVERY = 10;
const HOT_SHARE = 0.7;
/** So many of the simulations with several nodes share the shards out among them. */
const SHARED_SHARE = 0.7;
const DAMAGED_EVERY = 4;
/** Then inboxes run empty and snapshots end. */
const QUIET_MS = 2000;

export class Simulation {
  readonly #o: SimulationOptions;
  readonly #world: SimWorld;
  readonly #cluster: SimCluster;
  readonly #index: JournalIndex;
  readonly #check: AnswerCheck;
  readonly #clients: SimClients;
  readonly #faults: readonly Fault[];
  #violation: Error | null = null;

  constructor(o: SimulationOptions) {
    this.#o = o;
    const world = new SimWorld(o.seed);
    this.#world = world;
    const nodes = 1 + Math.floor(world.random() * 3);
    const shards = 1 + Math.floor(world.random() * 4);
    const hot = world.chance(1 / HOT_EVERY) ? HOT_SHARE : 0;
    const { tenants } = o.program;
    const fail = (error: unknown): void => this.fail(error);
    const isShared = nodes > 1 && world.chance(SHARED_SHARE);
    this.#cluster = new SimCluster(world, o.program, { nodes, shards, isShared }, fail);
    this.#cluster.trace = o.trace ?? (() => {});
    this.#index = new JournalIndex(this.#cluster.journals, shards, tenants);
    this.#check = new AnswerCheck(this.#index);
    this.#clients = new SimClients(world, tenants, () => this.#cluster.machines, this.#check, fail, hot);
    const planned = planFaults(o.seed, o.minutes, nodes);
    this.#faults = o.only === undefined ? planned : planned.filter((f) => o.only?.includes(f.number));
  }

  /** Ends the simulation as failed; the first failure counts. */
  fail(error: unknown): void {
    this.#violation ??= error instanceof Error ? error : new Error(String(error));
  }

  async run(): Promise<SimulationResult> {
    try {
      await this.#phases();
    } catch (error) {
      this.fail(error);
    }
    const { machines, shards, events } = this.#cluster;
    for (const [name, n] of Object.entries(this.#clients.counts)) events.set(`rows ${name}`, n);
    return {
      seed: this.#o.seed,
      nodes: machines.length,
      shards,
      violation: this.#violation,
      faults: this.#faults,
      payments: this.#clients.payments,
      decisions: this.#check.decisions,
      simulated_ms: this.#world.monotonicUs() / 1000,
      events,
    };
  }

  async #phases(): Promise<void> {
    const world = this.#world;
    for (const m of this.#cluster.machines) this.#cluster.boot(m);
    const ends: (() => void)[] = [];
    let isHealed = false;
    for (const f of this.#faults) {
      world.after(f.at_ms, () => {
        // One that follows another may lie behind the end of all.
        if (isHealed) return;
        if (f.kind === "poison") this.#clients.poison(f.dice);
        const end = this.#cluster.begin(f);
        ends.push(end);
        world.after(f.duration_ms, end);
      });
    }
    this.#clients.resume();
    await this.#until(() => false, this.#o.minutes * 60_000);
    isHealed = true;
    for (const end of ends) end();
    await this.#until(
      () => this.#cluster.serving,
      HEALED_MS,
      new Violation("liveness", "no node serves after healing"),
    );
    this.#clients.stop();
    const late = new Violation("liveness", "requests without an answer after healing");
    await this.#until(() => this.#clients.open === 0, HEALED_MS, late);
    await this.#until(() => false, QUIET_MS);
    if (this.#violation !== null) return;
    this.#cluster.countPassive();
    this.#index.update();
    await checkState(this.#cluster, this.#index, this.#o.program);
    if (!world.chance(1 / DAMAGED_EVERY)) return;
    await new DamagePhase(world, this.#cluster, this.#clients, this.#until).run();
  }

  /** Runs for so long, or until `done` or a violation. Not being done by then is the violation `late`, if given. */
  readonly #until: RunUntil = async (done, ms, late) => {
    const endUs = this.#world.monotonicUs() + ms * 1000;
    const isOver = (): boolean => this.#violation !== null || done() || this.#world.monotonicUs() >= endUs;
    await this.#world.runUntil(isOver, ms + 60_000, "the end of the phase");
    if (late !== undefined && this.#violation === null && !done()) throw late;
  };
}
