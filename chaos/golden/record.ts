/**
 * Makes the golden journals of the newest frame format, once and for all: two simulated nodes that share two shards,
 * two tenants, payments of all sorts, outcomes and events, a restart (Release, Takeover), a cut between the nodes and a
 * slow model (degraded rows).
 *
 *   node chaos/golden/record.ts            writes the newest format's journals and what comes of them
 *   node chaos/golden/record.ts expect N   writes anew what comes of format N's journals, after a change that is meant
 */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type CallKind, KIND_EVENT, KIND_OUTCOME, KIND_STREAM } from "../../gateway/calls/kinds.ts";
import { FORMAT_NEWEST } from "../../proto/frame/frame_header.ts";
import {
  AnalyzeStreamRequestSchema,
  RecordEventRequestSchema,
  ReportOutcomeRequestSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { SimWorld } from "../../runtime/testkit/sim_world.ts";
import type { FaultKind } from "../sim/faults.ts";
import { SimCluster } from "../sim/sim_cluster.ts";
import { type PaymentInit, Traffic } from "../sim/traffic.ts";
import { goldenProgram } from "../simulate/program.ts";
import { readGolden, replayed, writeExpected, writeGolden } from "./golden_journal.ts";

const SEED = 20_261_123;
const SHARDS = 2;
const ROUNDS = 9;
const ROUND_MS = 400;
/** Rows of a message. */
const ROWS = 9;

/** Rounds that a fault begins in, what it is, and how strong. */
const FAULTS: ReadonlyMap<number, { readonly kind: FaultKind; readonly dice: number; readonly duration_ms: number }> =
  new Map([
    [2, { kind: "nodes-cut", dice: 0.5, duration_ms: 600 }],
    [4, { kind: "slow-model", dice: 1, duration_ms: 600 }],
    [6, { kind: "restart", dice: 0.5, duration_ms: 1000 }],
  ]);

class Recorder {
  readonly world = new SimWorld(SEED);
  readonly cluster: SimCluster;
  readonly #traffic: Traffic;
  readonly #tenants: readonly Tenant[];
  #number = 0;

  constructor(program: Awaited<ReturnType<typeof goldenProgram>>) {
    const size = { nodes: 2, shards: SHARDS, isShared: true };
    this.cluster = new SimCluster(this.world, program, size, (error) => {
      throw error;
    });
    this.cluster.journal_format = FORMAT_NEWEST;
    this.#traffic = new Traffic(this.world, 0.1);
    this.#tenants = program.tenants;
  }

  async run(): Promise<void> {
    const { world, cluster } = this;
    for (const m of cluster.machines) cluster.boot(m);
    await world.runUntil(() => cluster.serving, 60_000, "both serve");
    for (let round = 0; round < ROUNDS; round++) {
      const fault = FAULTS.get(round);
      if (fault !== undefined)
        world.after(fault.duration_ms, cluster.begin({ number: 1, host: 1, at_ms: 0, ...fault }));
      this.#round(round);
      await world.advance(ROUND_MS);
    }
    await world.runUntil(() => cluster.serving, 60_000, "both serve again");
    this.#round(ROUNDS);
    await world.advance(3000);
  }

  /** A message of each tenant; its last row in a field or of a size that few have. */
  #round(round: number): void {
    for (const tenant of this.#tenants) {
      const payments = Array.from({ length: ROWS }, (_, i) => this.#traffic.payment(this.#over(tenant, i)));
      const message = create(AnalyzeStreamRequestSchema, { batchId: BigInt(round + 1), payments });
      this.#take(KIND_STREAM, toBinary(AnalyzeStreamRequestSchema, message), tenant);
      const outcome = toBinary(ReportOutcomeRequestSchema, this.#traffic.outcome(payments[round % ROWS]));
      this.world.after(ROUND_MS / 2, () => this.#take(KIND_OUTCOME, outcome, tenant));
      const event = toBinary(RecordEventRequestSchema, this.#traffic.event());
      this.#take(KIND_EVENT, event, tenant);
      if (round % 5 !== 4) continue;
      const past = payments.map((p) => ({ ...p, transactionId: `past-${p.transactionId}` }));
      const history = create(AnalyzeStreamRequestSchema, { batchId: 99n, payments: past, history: true });
      this.#take(KIND_STREAM, toBinary(AnalyzeStreamRequestSchema, history), tenant);
    }
  }

  #over(tenant: Tenant, i: number): PaymentInit {
    if (i === 0) return { amountMinor: 5_000_000_000n };
    if (i === 1) return { eventTimeUs: BigInt(Math.floor(this.world.wallUs() - 90 * 60e6)) };
    if (i === 2) return { payeeAccount: `payee-${this.#number++ % 4}` };
    if (i === 3) return { currency: "KPW" };
    if (i === 4 && tenant.attributes.size > 0) {
      const value: MessageInitShape<typeof AnalyzeStreamRequestSchema> | number = this.#number++ % 7;
      return { attributes: { basket_items: { kind: { case: "numberValue", value } } } };
    }
    return {};
  }

  #take(kind: CallKind, bytes: Uint8Array, tenant: Tenant): void {
    const to = { open: true, answer: () => {}, refuse: () => {} };
    const up = this.cluster.machines.filter((m) => m.process !== null && m.host.state === "up");
    const m = up[this.#number++ % up.length];
    m.process?.desk.take(kind, bytes.slice(), tenant, tenant.deadline_ms, to, null);
  }
}

if (import.meta.main) {
  const program = await goldenProgram();
  const [what, which] = process.argv.slice(2);
  const format = what === "expect" ? Number(which) : FORMAT_NEWEST;
  if (what !== "expect") {
    const recorder = new Recorder(program);
    await recorder.run();
    const { journals } = recorder.cluster;
    const recorded = Array.from({ length: SHARDS }, async (_, shard) => {
      return { id: (await journals.open(shard)).id, records: journals.records(shard) };
    });
    writeGolden(format, await Promise.all(recorded));
  }
  const outcome = await replayed(readGolden(format), program);
  writeExpected(format, outcome);
  process.stdout.write(`format ${format}: ${outcome.rows.length} rows, ${outcome.inbox.length} of inboxes\n`);
}
