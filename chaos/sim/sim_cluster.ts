/**
 * The simulated machines with their processes, and the journals, leases and weather between them: boots and restarts
 * processes as a supervisor would, and applies faults.
 */
import type { FraudActors } from "../../actors/decision/shard_actors.ts";
import { ModelError } from "../../actors/inference/model.ts";
import type { SeenRow } from "../../deploy/e2e/testkit/state_oracle.ts";
import { FORMAT_NEWEST, FORMAT_OLDEST } from "../../proto/frame/frame_header.ts";
import { Deposed, JournalDamaged, type Transport } from "../../runtime/ports.ts";
import { SimJournalStore } from "../../runtime/testkit/sim_journal.ts";
import { SimLeaseStore } from "../../runtime/testkit/sim_lease.ts";
import { type SimWorld, seeded } from "../../runtime/testkit/sim_world.ts";
import type { Fault } from "./faults.ts";
import { SimDisk } from "./hosted_ports.ts";
import { SimHost } from "./sim_host.ts";
import { SimNetwork } from "./sim_network.ts";
import { type ProcessOptions, SimProcess, type SimProgram } from "./sim_process.ts";
import { Violation } from "./violation.ts";
import { MerchantAnswers, PlannedPoison } from "./watched_actors.ts";

/** A supervisor starts an ended process again after this. */
const RESTART_MS = 500;
const SNAPSHOT_INTERVAL_MS = 4000;
const HOUR_US = 3600e6;
const CLOSE_LIMIT_MS = 5000;
/** In one seed of so many users come and go, with at most so many of a shard in memory. */
const PASSIVE_EVERY = 3;
const ACTIVE_USERS_MAX = 12;

/** So many of the simulations keep their journals on several servers, where an append is applied after its turn. */
const REPLICATED_SHARE = 0.5;

class Machine {
  readonly host: SimHost;
  readonly disk: SimDisk;
  process: SimProcess | null = null;
  /** The way of the process to the others; null when it competes alone. */
  transport: Transport | null = null;
  boots = 0;
  /** A supervisor, not a fault, holds it down. */
  restarting = false;
  /** Why it stopped for good: what it found damaged. */
  damage: string | null = null;

  constructor(world: SimWorld, name: string) {
    this.host = new SimHost(world, name);
    this.disk = new SimDisk(this.host);
  }
}

export class SimCluster {
  readonly machines: readonly Machine[];
  readonly journals: SimJournalStore;
  readonly leases = new SimLeaseStore();
  readonly shards: number;
  readonly #world: SimWorld;
  readonly #program: SimProgram;
  readonly #fail: (error: unknown) => void;
  readonly #weather = { run_ms_max: 3, failing: 0 };
  #stale = 0;
  readonly seen: SeenRow[] = [];
  readonly answers = new MerchantAnswers();
  /** A journal was damaged on purpose: processes that find it end, and stay so. */
  damaged = false;
  /** Newest journal format that processes write from their next start on; null: each draws its own. */
  journal_format: number | null = null;
  /** How often each thing happened, by name. */
  readonly events = new Map<string, number>();
  /** Tells what happens, when somebody listens. */
  trace: (what: string) => void = () => {};

  /** Nodes share the shards out and speak to each other; else each competes for all of them. */
  readonly isShared: boolean;
  readonly network: SimNetwork;

  constructor(
    world: SimWorld,
    program: SimProgram,
    size: { readonly nodes: number; readonly shards: number; readonly isShared: boolean },
    fail: (error: unknown) => void,
  ) {
    const { nodes, shards } = size;
    this.isShared = size.isShared;
    this.network = new SimNetwork(world, fail);
    this.#world = world;
    this.#program = program;
    this.#fail = fail;
    this.shards = shards;
    this.journals = new SimJournalStore(world);
    // Drawn apart, so that it changes nothing else of a seed's plan.
    this.journals.replicated = seeded(Math.imul(world.seed, 37))() < REPLICATED_SHARE;
    this.#count(this.journals.replicated ? "replicated journals" : "journals of one server");
    this.machines = Array.from({ length: nodes }, (_, i) => new Machine(world, `node-${i}`));
  }

  /** Whether every shard is served by some process. */
  get serving(): boolean {
    const isReady = (m: Machine): boolean => m.host.state === "up" && m.process?.runtime.ready === true;
    return this.isShared ? this.machines.every(isReady) : this.machines.some(isReady);
  }

  boot(m: Machine): void {
    m.host.boot();
    m.restarting = false;
    m.process = null;
    this.#count("boot");
    const boot = m.boots++;
    m.transport?.close();
    m.transport = this.isShared ? this.network.transport(m.host) : null;
    const options = {
      program: this.#program,
      host: m.host,
      disk: m.disk,
      shards: this.shards,
      journals: this.journals,
      leases: this.leases,
      weather: this.#weather,
      stale: () => this.#stale,
      boot,
      ...this.#ownDice(m, boot),
      active_users_max: this.#activeUsersMax,
      snapshot_interval_ms: SNAPSHOT_INTERVAL_MS,
      seen: (decision: SeenRow) => void this.seen.push(decision),
      report: (event: string, detail: Record<string, unknown>) => this.#report(m, boot, event, detail),
      transport: m.transport,
      answers: this.answers,
    };
    SimProcess.start(options).then(
      (process) => {
        if (m.boots !== boot + 1) return;
        m.process = process;
        this.note(`${m.host.name} serves`);
      },
      (error: unknown) => {
        if (m.boots === boot + 1) this.#ended(m, error);
      },
    );
  }

  /** Randomness of one process, beside the world's: which journal format it writes at most, and its nonces. */
  #ownDice(m: Machine, boot: number): Pick<ProcessOptions, "journal_format" | "random" | "fillRandom"> {
    const index = boot * this.machines.length + this.machines.indexOf(m);
    const random = seeded(Math.imul(this.#world.seed, 31) + index + 1);
    const drawn = FORMAT_OLDEST + Math.floor(random() * (FORMAT_NEWEST - FORMAT_OLDEST + 1));
    const journal_format = this.journal_format ?? drawn;
    this.#count(`format ${journal_format}`);
    const fillRandom = (bytes: Uint8Array): void => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random() * 256);
      // So small a generator may give two processes the same.
      bytes[0] = index;
      bytes[1] = index >> 8;
    };
    return { journal_format, random, fillRandom };
  }

  /** Counts how often users left and came back, at nodes that are up. Throws Violation when one was waited for late. */
  countPassive(): void {
    for (const shard of this.machines.flatMap((m) => m.process?.runtime.shards ?? [])) {
      const { passive } = (shard.actors as FraudActors).users;
      this.#count("users made passive", passive?.left ?? 0);
      this.#count("users recalled", passive?.recalled ?? 0);
      const late = passive?.recalledNow ?? 0;
      if (late > 0) throw new Violation("passivation", `${late} users came back inside of a tick`);
    }
  }

  /** By the seed alone: what the world draws is the same without. */
  get #activeUsersMax(): number | null {
    const { seed } = this.#world;
    return seed % PASSIVE_EVERY === 0 ? (seed / PASSIVE_EVERY) % ACTIVE_USERS_MAX : null;
  }

  /** A node's process says what happens to it; a shard that stopped ends the process. */
  #report(m: Machine, boot: number, event: string, detail: Record<string, unknown>): void {
    const error = typeof detail["error"] === "string" ? ` ${detail["error"]}` : "";
    this.#count(`${event}${error}`);
    this.note(`${m.host.name} ${event} ${JSON.stringify(detail)}`);
    if (event === "shard_poisoned" && !String(detail["message"]).includes(PlannedPoison.name)) {
      this.#fail(new Violation("actors", `${m.host.name}: ${detail["message"]}`));
    }
    if (event !== "shard_stopped" || m.boots !== boot + 1) return;
    if (detail["error"] === "Deposed") this.#stop(m, RESTART_MS);
    else if (this.damaged && detail["error"] === "JournalDamaged") this.#endDamaged(m, String(detail["message"]));
    else this.#fail(new Violation("damage", `${m.host.name}: ${detail["message"]}`));
  }

  /** The process ended by itself before it served. */
  #ended(m: Machine, error: unknown): void {
    this.note(`${m.host.name} could not start: ${error}`);
    if (error instanceof Deposed || error instanceof ModelError) {
      this.#count(`start ${error.name}`);
      this.#stop(m, RESTART_MS);
    } else if (error instanceof JournalDamaged && this.damaged) this.#endDamaged(m, error.message);
    else if (error instanceof JournalDamaged) {
      this.#fail(new Violation("damage", `${m.host.name} found its undamaged journal damaged: ${error.message}`));
    } else this.#fail(error);
  }

  /** A node of several goes on with its other shards, and warns the others of this one. */
  #endDamaged(m: Machine, message: string): void {
    m.damage ??= message;
    if (!this.isShared) this.end(m);
  }

  /** Ends the process at once, for good. */
  end(m: Machine): void {
    m.process?.desk.close();
    m.process = null;
    m.transport?.close();
    m.restarting = false;
    m.host.crash();
  }

  /** Ends the process at once and starts another after a while. */
  #stop(m: Machine, down_ms: number): void {
    if (m.restarting) return;
    this.end(m);
    m.restarting = true;
    this.#world.after(down_ms, () => {
      if (m.restarting) this.boot(m);
    });
  }

  /** Lets a process end as `npm stop` would, then starts another. */
  #restart(m: Machine): void {
    const { process } = m;
    if (process === null || m.host.state !== "up") return;
    process.desk.drain();
    process.runtime.close(CLOSE_LIMIT_MS).then(
      () => {
        if (m.process === process) this.#stop(m, RESTART_MS);
      },
      (error) => this.#fail(error),
    );
  }

  /** Begins the fault; the function returned ends it. */
  begin(f: Fault): () => void {
    const m = this.machines[f.host];
    this.#count(`fault ${f.kind}`);
    this.note(`fault ${f.number}: ${f.kind} of ${m.host.name} for ${Math.round(f.duration_ms)} ms`);
    switch (f.kind) {
      case "crash":
        this.#stop(m, f.duration_ms);
        return () => {};
      case "restart":
        this.#restart(m);
        return () => {};
      case "pause":
        m.host.pause();
        return () => m.host.resume();
      case "snapshot-damage": {
        const { names } = m.disk;
        if (names.length > 0) m.disk.damage(names[names.length - 1], Math.floor(f.dice * 1e6));
        return () => {};
      }
      case "lease-wipe":
        this.leases.wipe();
        return () => {};
      case "lease-recreated":
        this.leases.recreate();
        return () => {};
      default:
        return this.#set(f, m);
    }
  }

  /** Faults that are a switch: on now, off at their end. */
  #set(f: Fault, m: Machine): () => void {
    const { host, disk } = m;
    const { faults } = this.journals;
    const off: (() => void)[] = [];
    const put = <K extends string, V>(of: Record<K, V>, name: K, during: V, after: V): void => {
      of[name] = during;
      off.push(() => {
        of[name] = after;
      });
    };
    const some = 0.05 + 0.5 * f.dice;
    if (f.kind === "cut-requests" || f.kind === "cut-both") put(host, "requestsCut", true, false);
    if (f.kind === "cut-answers" || f.kind === "cut-both") put(host, "answersCut", true, false);
    if (f.kind === "clock-jump") put(host, "wallOffsetUs", f.dice < 0.5 ? -HOUR_US : HOUR_US, 0);
    if (f.kind === "disk-full") put(disk, "full", true, false);
    if (f.kind === "journal-outage") put(this.journals, "down", true, false);
    if (f.kind === "leader-change") {
      put(faults, "spurious_conflict", some, 0);
      put(faults, "unavailable", some, 0);
    }
    if (f.kind === "journal-flaky") {
      put(faults, "lost_request", some, 0);
      put(faults, "unavailable", some, 0);
    }
    if (f.kind === "acks-lost") put(faults, "lost_ack", some, 0);
    if (f.kind === "late-requests") put(faults, "late_request", some, 0);
    const { weather, cut } = this.network;
    if (f.kind === "nodes-flaky") {
      put(weather, "lost", some / 2, 0);
      put(weather, "twice", some / 2, 0);
    }
    if (f.kind === "nodes-slow") {
      put(weather, "slow", some, 0);
      put(weather, "slow_ms_max", 500 * f.dice, 0);
    }
    if (f.kind === "nodes-cut") {
      cut.add(host.name);
      off.push(() => void cut.delete(host.name));
    }
    if (f.kind === "election") {
      const shard = Math.floor(f.dice * this.shards);
      this.journals.elect(shard, true);
      off.push(() => this.journals.elect(shard, false));
    }
    if (f.kind === "minority") {
      const tails = Array.from({ length: this.shards }, (_, shard) => this.journals.length(shard));
      put(host, "frozenTail", (shard: number) => tails[shard], null);
    }
    if (f.kind === "lease-outage") put(this.leases, "down", true, false);
    if (f.kind === "slow-model") put(this.#weather, "run_ms_max", 50 + 300 * f.dice, 3);
    if (f.kind === "failing-model") put(this.#weather, "failing", some, 0);
    if (f.kind === "stale-leases") {
      this.#stale = some;
      off.push(() => {
        this.#stale = 0;
      });
    }
    return () => {
      for (const end of off) end();
    };
  }

  #count(what: string, times = 1): void {
    this.events.set(what, (this.events.get(what) ?? 0) + times);
  }

  /** Tells the trace. */
  note(what: string): void {
    this.trace(`${(this.#world.monotonicUs() / 1e6).toFixed(3)} s ${what}`);
  }
}
