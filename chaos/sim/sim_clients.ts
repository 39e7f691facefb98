/**
 * The payment processors of a simulation: they send batches to any node, wait, time out, send the same ids again until
 * each has its final answer, and hold every answer against the journals and against what they were told before.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type CallKind,
  KIND_BULK,
  KIND_EVENT,
  KIND_OUTCOME,
  KIND_RISK_SCORE,
  KIND_STREAM,
} from "../../gateway/calls/kinds.ts";
import type { Refusal } from "../../gateway/calls/reply.ts";
import {
  type AnalyzeResult,
  AnalyzeStreamRequestSchema,
  AnalyzeStreamResponseSchema,
  BulkAnalyzeRequestSchema,
  BulkAnalyzeResponseSchema,
  type Decision,
  DecisionState,
  ErrorCode,
  GetRiskScoreRequestSchema,
  GetRiskScoreResponseSchema,
  type Payment,
  RecordEventRequestSchema,
  ReportOutcomeRequestSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import type { SimWorld } from "../../runtime/testkit/sim_world.ts";
import type { AnswerCheck } from "./answer_check.ts";
import type { SimHost } from "./sim_host.ts";
import type { SimProcess } from "./sim_process.ts";
import { Traffic } from "./traffic.ts";
import { Violation } from "./violation.ts";
import { POISON_MERCHANT, POISON_RULE, POISON_USER } from "./watched_actors.ts";

/** A node as clients see it: a host, and what listens there. */
export interface Target {
  readonly host: SimHost;
  readonly process: SimProcess | null;
}

/** What a row of a request is waiting for. */
export interface Wanted {
  readonly tenant: Tenant;
  readonly payment: Payment;
  /**
   * decision: the one decision of its id; exists: ALREADY_EXISTS; failed: INTERNAL; either: a decision, or INTERNAL;
   * else the field that the error must name.
   */
  readonly expect: "decision" | "exists" | "failed" | "either" | { readonly field: string };
  /** The decision as first told, in comparable form; null before. */
  answer: string | null;
  done: boolean;
}

/** Average pause between two calls, milliseconds: about 1,700 payments a minute. */
const PAUSE_MS = 150;
/** A client gives a call up after this and asks again. */
const PATIENCE_MS = 3000;
/** Answered payments kept for repeats, conflicts, outcomes. */
const KNOWN_MAX = 400;
const STREAM_ROWS_MAX = 8;

interface Call {
  readonly tenant: Tenant;
  readonly kind: CallKind;
  readonly bytes: Uint8Array;
  /** True when it is over; false to send it again. */
  answered(bytes: Uint8Array): boolean;
  refused(refusal: Refusal): boolean;
}

export class SimClients {
  readonly #world: SimWorld;
  readonly #tenants: readonly Tenant[];
  readonly #targets: () => readonly Target[];
  readonly #check: AnswerCheck;
  readonly #traffic: Traffic;
  readonly #known: Wanted[] = [];
  readonly #fail: (error: unknown) => void;
  #running = false;
  /** Calls without their final answer. */
  open = 0;
  payments = 0;
  readonly counts = {
    decided: 0,
    repeated: 0,
    provisional: 0,
    refused: 0,
    exists: 0,
    failed: 0,
    unavailable: 0,
    timeouts: 0,
  };

  constructor(
    world: SimWorld,
    tenants: readonly Tenant[],
    targets: () => readonly Target[],
    check: AnswerCheck,
    fail: (error: unknown) => void,
    hot: number,
  ) {
    this.#world = world;
    this.#tenants = tenants;
    this.#targets = targets;
    this.#check = check;
    this.#fail = fail;
    this.#traffic = new Traffic(world, hot);
  }

  /** Begins to send, about every PAUSE_MS. */
  resume(): void {
    this.#running = true;
    const next = (): void => {
      if (!this.#running) return;
      this.#makeCall();
      this.#world.after(this.#world.between(0.2 * PAUSE_MS, 1.8 * PAUSE_MS), next);
    };
    next();
  }

  /** Makes no new calls; the open ones go on until they are answered. */
  stop(): void {
    this.#running = false;
  }

  #makeCall(): void {
    const w = this.#world;
    const tenant = this.#tenants[Math.floor(w.random() * this.#tenants.length)];
    const known = this.#known.filter((k) => k.tenant === tenant);
    const about = known[Math.floor(w.random() * known.length)];
    const what = w.random();
    if (about !== undefined && what < 0.06) this.#outcome(tenant, about);
    else if (what < 0.1) this.#event(tenant);
    // Of the newest, which an owner that was deposed does not know.
    else if (about !== undefined && what < 0.2)
      this.#riskScore(tenant, w.chance(0.5) ? about : known[known.length - 1]);
    else this.#batch(tenant, known);
  }

  #batch(tenant: Tenant, known: readonly Wanted[]): void {
    const w = this.#world;
    const rows = Array.from({ length: 1 + Math.floor(w.random() * STREAM_ROWS_MAX) }, () => this.#row(tenant, known));
    // The same id twice in one batch: both rows have the one decision.
    if (w.chance(0.05)) rows.push(rows[0]);
    this.payments += rows.length;
    this.#send(rows, w.chance(0.2) ? KIND_BULK : KIND_STREAM, tenant);
  }

  /** Sends a payment that an actor fails on, among good ones. If that is a merchant elsewhere, it may be decided. */
  poison(dice: number): void {
    const w = this.#world;
    const tenant = this.#tenants[Math.floor(dice * this.#tenants.length)];
    const rows = Array.from({ length: 3 }, () => this.#row(tenant, []));
    const isMerchant = !w.chance(0.5);
    const own = (dice * 1000) % 1 < 0.5 ? POISON_RULE : POISON_USER;
    const over = { amountMinor: BigInt(isMerchant ? POISON_MERCHANT : own), currency: "EUR" };
    const payment = this.#traffic.payment(over);
    rows.splice(1, 0, { tenant, payment, expect: isMerchant ? "either" : "failed", answer: null, done: false });
    this.payments += rows.length;
    this.#send(rows, KIND_STREAM, tenant);
  }

  #row(tenant: Tenant, known: readonly Wanted[]): Wanted {
    const w = this.#world;
    const what = w.random();
    const fresh = { tenant, answer: null, done: false } as const;
    const before = known[Math.floor(w.random() * known.length)];
    if (before !== undefined && what < 0.06) return { ...before, done: false };
    if (before !== undefined && what < 0.09) {
      const payment = { ...before.payment, amountMinor: before.payment.amountMinor + 1n };
      return { ...fresh, payment, expect: "exists" };
    }
    if (what < 0.12) {
      const { payment, field } = this.#traffic.bad();
      return { ...fresh, payment, expect: { field } };
    }
    return { ...fresh, payment: this.#traffic.payment(), expect: "decision" };
  }

  #send(rows: readonly Wanted[], kind: typeof KIND_BULK | typeof KIND_STREAM, tenant: Tenant): void {
    const payments = rows.map((r) => r.payment);
    const batchId = 7n;
    const bytes =
      kind === KIND_BULK
        ? toBinary(BulkAnalyzeRequestSchema, create(BulkAnalyzeRequestSchema, { payments }))
        : toBinary(AnalyzeStreamRequestSchema, create(AnalyzeStreamRequestSchema, { batchId, payments }));
    this.#call({
      tenant,
      kind,
      bytes,
      answered: (answer) => {
        const schema = kind === KIND_BULK ? BulkAnalyzeResponseSchema : AnalyzeStreamResponseSchema;
        const { results } = fromBinary(schema, answer);
        if (wasTurnedAway(results)) {
          this.counts.unavailable++;
          return false;
        }
        if (results.length !== rows.length) {
          throw new Violation("bad input", `${results.length} results for ${rows.length} payments`);
        }
        for (const [i, row] of rows.entries()) this.#result(row, results[i]);
        return rows.every((r) => r.done);
      },
      refused: (r) => this.#isTransient(r),
    });
  }

  #result(row: Wanted, result: AnalyzeResult): void {
    const { value } = result.result;
    const isDecision = result.result.case === "decision";
    if (isDecision) this.#decided(row, value as Decision);
    else this.#rowRefused(row, value as Refusal);
  }

  #decided(row: Wanted, decision: Decision): void {
    if (row.expect !== "decision" && row.expect !== "either") {
      const { expect } = row;
      const known = { exists: "other content under a known id", failed: "what an actor fails on" };
      const what = typeof expect === "string" ? known[expect] : `a bad ${expect.field}`;
      if (decision.state !== DecisionState.PROVISIONAL) {
        throw new Violation("bad input", `${what} was decided (${row.payment.transactionId})`);
      }
      return;
    }
    if (decision.state === DecisionState.PROVISIONAL) {
      this.counts.provisional++;
      if (decision.outcome !== (row.tenant.stand_in_outcome as number)) {
        throw new Violation("provisional", `stood in with ${decision.outcome} (${row.payment.transactionId})`);
      }
      return;
    }
    row.answer = this.#check.decision(row.tenant, row.payment, decision, row.answer);
    if (row.done) return;
    row.done = true;
    if (decision.repeated) this.counts.repeated++;
    else this.counts.decided++;
    this.#known.push(row);
    if (this.#known.length > KNOWN_MAX) this.#known.shift();
  }

  #rowRefused(row: Wanted, error: Refusal): void {
    if (error.code === ErrorCode.UNAVAILABLE || error.code === ErrorCode.RESOURCE_EXHAUSTED) {
      this.counts.unavailable++;
      return;
    }
    const id = row.payment.transactionId;
    const { expect } = row;
    if (expect === "decision") throw new Violation("one decision", `${id} was refused: ${error.message}`);
    if (expect === "exists") {
      if (error.code !== ErrorCode.ALREADY_EXISTS) throw new Violation("one decision", `${id}: ${error.message}`);
      this.counts.exists++;
    } else if (expect === "failed" || expect === "either") {
      if (error.code !== ErrorCode.INTERNAL) throw new Violation("one decision", `${id}: ${error.message}`);
      if (row.answer !== null) throw new Violation("one decision", `${id} was decided, and is refused now`);
      this.counts.failed++;
    } else {
      if (error.field !== expect.field) throw new Violation("bad input", `${id}: ${error.field}, not ${expect.field}`);
      this.counts.refused++;
    }
    row.done = true;
  }

  #outcome(tenant: Tenant, about: Wanted): void {
    const message = this.#traffic.outcome(about.payment);
    this.#call({
      tenant,
      kind: KIND_OUTCOME,
      bytes: toBinary(ReportOutcomeRequestSchema, message),
      answered: () => {
        this.#check.outcome(tenant, message);
        return true;
      },
      refused: (r) => this.#isTransient(r),
    });
  }

  #event(tenant: Tenant): void {
    const message = this.#traffic.event();
    this.#call({
      tenant,
      kind: KIND_EVENT,
      bytes: toBinary(RecordEventRequestSchema, message),
      answered: () => {
        this.#check.event(tenant, message);
        return true;
      },
      refused: (r) => this.#isTransient(r),
    });
  }

  #riskScore(tenant: Tenant, about: Wanted): void {
    const { transactionId, userId } = about.payment;
    const asked = create(
      GetRiskScoreRequestSchema,
      this.#world.chance(0.5) ? { transactionId, userId } : { transactionId },
    );
    this.#call({
      tenant,
      kind: KIND_RISK_SCORE,
      bytes: toBinary(GetRiskScoreRequestSchema, asked),
      answered: (bytes) => {
        const { decision } = fromBinary(GetRiskScoreResponseSchema, bytes);
        if (decision === undefined) throw new Violation("one decision", `${transactionId}: an answer without decision`);
        this.#check.decision(tenant, about.payment, decision, about.answer);
        return true;
      },
      refused: (r) => this.#isTransient(r),
    });
  }

  /** False, so that the call is made again. */
  #isTransient(r: Refusal): boolean {
    if (r.code !== ErrorCode.UNAVAILABLE && r.code !== ErrorCode.RESOURCE_EXHAUSTED) {
      throw new Violation("one decision", `a call was refused: ${r.code} ${r.field} ${r.message}`);
    }
    this.counts.unavailable++;
    return false;
  }

  #call(call: Call): void {
    this.open++;
    this.#try(call);
  }

  /** One try at any node. An answer that comes after the client gave up is still held against the journals. */
  #try(call: Call): void {
    const w = this.#world;
    const targets = this.#targets();
    const { host, process } = targets[Math.floor(w.random() * targets.length)];
    let over = false;
    const end = (isFinal: boolean): void => {
      if (over) return;
      over = true;
      if (isFinal) this.open--;
      else w.after(w.between(50, 1000), () => this.#try(call));
    };
    if (process === null || host.state === "down") {
      w.after(1, () => end(false));
      return;
    }
    const reply = (take: () => boolean): void => {
      if (w.chance(0.01)) return;
      w.after(w.between(0.1, 1), () => {
        try {
          end(take());
        } catch (error) {
          this.#fail(error);
        }
      });
    };
    if (!w.chance(0.01)) {
      const to = {
        open: true,
        answer: (bytes: Uint8Array) => reply(() => call.answered(bytes)),
        refuse: (r: Refusal) => reply(() => call.refused(r)),
      };
      const { tenant } = call;
      host.after(w.between(0.1, 1), () =>
        process.desk.take(call.kind, call.bytes.slice(), tenant, tenant.deadline_ms, to, null),
      );
    }
    w.after(PATIENCE_MS, () => {
      if (!over) this.counts.timeouts++;
      end(false);
    });
  }
}

/** A node that is going down refuses a whole stream batch with one error. */
function wasTurnedAway(results: readonly AnalyzeResult[]): boolean {
  const { result } = results[0] ?? { result: { case: undefined } };
  return results.length === 1 && result.case === "error" && result.value.code === ErrorCode.UNAVAILABLE;
}
