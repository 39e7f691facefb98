/**
 * One node's process on a simulated host: the unmodified runtime, actors, decider and call desk, wired to simulated
 * ports as deploy/node/fraud_node.ts wires them to real ones.
 */
import { FEATURES_VERSION, FraudDecider, MATRIX_SHAPE, type Scoring } from "../../actors/decision/decider.ts";
import { Policy, TestCards } from "../../actors/decision/policy.ts";
import {
  FraudActors,
  LATE_TOLERANCE_US,
  type ShardActorsOptions,
  SNAPSHOT_LAYOUT,
} from "../../actors/decision/shard_actors.ts";
import { WINDOW_COLUMNS } from "../../actors/features/registry.ts";
import { TreeExplainer } from "../../actors/inference/explanation.ts";
import { InferenceActor } from "../../actors/inference/inference_actor.ts";
import type { LoadedModel } from "../../actors/inference/model.ts";
import type { RuleSet } from "../../actors/rules/compile.ts";
import type { SeenRow } from "../../deploy/e2e/testkit/state_oracle.ts";
import { clusterDecisions } from "../../deploy/node/cluster_decisions.ts";
import { StoredDecisions } from "../../deploy/node/stored_decisions.ts";
import { CallDesk } from "../../gateway/calls/call_desk.ts";
import type { DecisionTexts } from "../../gateway/codec/reason_texts.ts";
import { NO_TRACING } from "../../gateway/metrics/tracing.ts";
import { BLOCK_ROWS, FLAG_LATE, ROW_PAYMENT, type RowBlock } from "../../proto/columns.ts";
import { SectionSealer } from "../../proto/frame/sealer.ts";
import { type Tenant, tenantIndex } from "../../proto/tenant.ts";
import { MemoryPassive } from "../../runtime/kernel/testkit/memory_passive.ts";
import { RuntimeNode } from "../../runtime/node.ts";
import type { TickObserver } from "../../runtime/observer.ts";
import type { JournalStore, LeaseStore, Transport } from "../../runtime/ports.ts";
import { keyText } from "../oracle/journal_row.ts";
import { HostedLeases, hostedJournals, type SimDisk } from "./hosted_ports.ts";
import type { SimHost } from "./sim_host.ts";
import { type InferenceWeather, treeEngine } from "./tree_engine.ts";
import { type MerchantAnswers, PlannedPoison, POISON_RULE, WatchedActors } from "./watched_actors.ts";

/** What all nodes of a simulated cluster share and none changes. */
export interface SimProgram {
  readonly tenants: readonly Tenant[];
  readonly model: LoadedModel;
  readonly ruleSet: RuleSet;
  readonly texts: DecisionTexts;
}

const EVENTS_MAX = 1_000_000;
const INFERENCE_BUDGET_MS = 100;

export interface ProcessOptions {
  readonly program: SimProgram;
  readonly host: SimHost;
  readonly disk: SimDisk;
  readonly shards: number;
  readonly journals: JournalStore;
  readonly leases: LeaseStore;
  readonly weather: InferenceWeather;
  /** Probability that a lease is read as it was before. */
  readonly stale: () => number;
  readonly boot: number;
  /** Newest format that it writes. */
  readonly journal_format: number;
  /** Users of a shard in memory above which some leave it; null: all stay. */
  readonly active_users_max: number | null;
  /** For what only this process draws: numbers in [0, 1), and bytes that no other process of the simulation draws. */
  readonly random: () => number;
  readonly fillRandom: (bytes: Uint8Array) => void;
  readonly snapshot_interval_ms: number;
  readonly seen: (decision: SeenRow) => void;
  readonly report: (event: string, detail: Record<string, unknown>) => void;
  readonly answers: MerchantAnswers;
  /** The way to the other nodes; null when each node competes for all shards alone. */
  readonly transport: Transport | null;
}

const ROUTER_BLOCKS = 8;
const ACTORS = { late_tolerance_us: LATE_TOLERANCE_US, events_max: EVENTS_MAX };

/** Actors as the nodes have them, unwatched. */
export function newActors(): FraudActors {
  return new FraudActors(ACTORS);
}

/** Longest time that a passive user's record takes to be read, milliseconds. */
const RECALL_MS_MAX = 3;

function passivation(o: ProcessOptions): Pick<ShardActorsOptions, "passivation"> {
  if (o.active_users_max === null) return {};
  const store = new MemoryPassive((read) => {
    return new Promise((resolve, reject) => {
      o.host.after(RECALL_MS_MAX * o.random(), () => Promise.try(read).then(resolve, reject));
    });
  });
  return { passivation: { store, users_max: o.active_users_max, clean_bytes_min: 4096 } };
}

export class SimProcess {
  readonly runtime: RuntimeNode;
  readonly desk: CallDesk;

  private constructor(runtime: RuntimeNode, desk: CallDesk) {
    this.runtime = runtime;
    this.desk = desk;
  }

  /** Resolves when all shards serve. Rejects as RuntimeNode.start does. */
  static async start(o: ProcessOptions): Promise<SimProcess> {
    const { host, program } = o;
    const { tenants, texts } = program;
    const decider = await makeDecider(o);
    const sealer = (journalId: string) => new SectionSealer(tenants, journalId, o.shards > 1, o.fillRandom);
    const runtime = await RuntimeNode.start({
      owner: { node: host.name, bootId: `${host.name}-boot-${o.boot}` },
      shards: o.shards,
      journals: hostedJournals(o.journals, host),
      leases: new HostedLeases(o.leases, host, o.stale),
      snapshots: o.disk,
      quarantined: null,
      actors: () => new WatchedActors({ ...ACTORS, ...passivation(o) }, o.answers),
      decider,
      sealer,
      clock: host,
      timers: host,
      observer: watch(o.seen),
      tenantIndex: tenantIndex(tenants),
      mailbox_blocks_max: 4,
      tick_age_us_min: 1000,
      snapshot_interval_ms: o.snapshot_interval_ms,
      features_version: FEATURES_VERSION,
      rates_version: tenants[0].rates_version,
      journal_format: o.journal_format,
      snapshot_layout: `${SNAPSHOT_LAYOUT}`,
      cluster:
        o.transport === null
          ? null
          : {
              transport: o.transport,
              weight: 1,
              router_blocks_max: ROUTER_BLOCKS,
              tenantId: (index) => tenants[index].id,
            },
      report: o.report,
    });
    const stored = new StoredDecisions(runtime, texts, tenants, host);
    const desk = new CallDesk({
      intake: runtime.intake,
      clock: host,
      timers: host,
      decisions: runtime.cluster === null ? stored : clusterDecisions(runtime.cluster, stored, tenants),
      tracer: NO_TRACING,
      texts,
      provisional: () => {},
    });
    return new SimProcess(runtime, desk);
  }
}

async function makeDecider(o: ProcessOptions): Promise<FraudDecider> {
  const { host, weather, program } = o;
  const explainer = new TreeExplainer(program.model.explain, MATRIX_SHAPE.columns);
  const inference = await InferenceActor.start({
    model: program.model,
    capacity: BLOCK_ROWS,
    buffers: 5,
    budget_ms: INFERENCE_BUDGET_MS,
    clock: host,
    timer: {
      after(ms, run) {
        let cancelled = false;
        host.after(ms, () => {
          if (!cancelled) run();
        });
        return () => {
          cancelled = true;
        };
      },
    },
    engine: treeEngine(explainer, host, weather),
  });
  const scoring: Scoring = { inference, explainer, model: program.model.card.name };
  const { ruleSet, tenants } = program;
  return new FailingDecider(scoring, ruleSet, new Policy(ruleSet), new TestCards(tenants.length), () => {});
}

/** As nodes have it, with a rule that fails on some payments. */
class FailingDecider extends FraudDecider {
  override decide(b: RowBlock, from: number, to: number, matrix: Float32Array): void {
    super.decide(b, from, to, matrix);
    for (let r = from; r < to; r++) {
      if (b.error[r] !== 0 || b.kind[r] !== ROW_PAYMENT) continue;
      if (b.amountMinor[r] === POISON_RULE) throw new PlannedPoison("rule");
    }
  }
}

/** Keeps the user's window columns of each acknowledged decision. */
function watch(seen: (decision: SeenRow) => void): TickObserver {
  const { columns } = MATRIX_SHAPE;
  return {
    staged() {},
    decided() {},
    acknowledged(b, rows, n, matrix) {
      for (let i = 0; i < n; i++) {
        const r = rows[i];
        if (b.kind[r] !== ROW_PAYMENT || (b.flags[r] & FLAG_LATE) !== 0) continue;
        const user = keyText(b.user.hi[r], b.user.lo[r]);
        const id = keyText(b.id.hi[r], b.id.lo[r]);
        seen({ user, id, columns: matrix.slice(r * columns, r * columns + WINDOW_COLUMNS) });
      }
    },
  };
}
