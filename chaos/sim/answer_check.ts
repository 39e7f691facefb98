/**
 * Checks of an answer at the moment a client has it: what it says stands in a journal already, equals what was said
 * before under the same id, and belongs to its tenant.
 */
import type {
  Decision,
  Payment,
  RecordEventRequest,
  ReportOutcomeRequest,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import { keyText } from "../oracle/journal_row.ts";
import type { JournalIndex } from "./journal_index.ts";
import { Violation } from "./violation.ts";

function keyOf(tenant: Tenant, text: string): string {
  keyedHashText(text, tenant.hash_key[0], tenant.hash_key[1]);
  return keyText(H.hi, H.lo);
}

/** What must be the same whenever a decision is told. */
function sameness(d: Decision): string {
  const { outcome, score, reasons, modelVersion, ruleSetVersion, degraded } = d;
  const why = reasons.map((r) => [r.code, r.weight]);
  return JSON.stringify([outcome, score ?? null, why, modelVersion, ruleSetVersion, degraded]);
}

export class AnswerCheck {
  readonly #index: JournalIndex;
  /** Every decision told, by (tenant, user, id): clients forget, this does not. */
  readonly #told = new Map<string, string>();

  constructor(index: JournalIndex) {
    this.#index = index;
  }

  /** Returns the decision in comparable form. Throws Violation. `before`: as it was told to this client. */
  decision(tenant: Tenant, payment: Payment, decision: Decision, before: string | null): string {
    const { transactionId, userId } = payment;
    if (decision.transactionId !== transactionId) {
      throw new Violation("one decision", `${transactionId} was answered with ${decision.transactionId}`);
    }
    const row = this.#index.payment(tenant.index, keyOf(tenant, userId), keyOf(tenant, transactionId));
    if (row === undefined) {
      throw new Violation("reply after acknowledgement", `${transactionId} is answered and in no journal`);
    }
    const score = decision.score ?? Number.NaN;
    if (row.outcome !== (decision.outcome as number) || !Object.is(row.score, Math.fround(score))) {
      const journaled = `${row.outcome} ${row.score}`;
      throw new Violation("one decision", `${transactionId}: ${decision.outcome} ${score}, journaled ${journaled}`);
    }
    const said = sameness(decision);
    const key = `${tenant.index} ${userId} ${transactionId}`;
    const told = this.#told.get(key) ?? before ?? said;
    if (told !== said) throw new Violation("one decision", `${transactionId} was ${told} and is now ${said}`);
    this.#told.set(key, said);
    return said;
  }

  outcome(tenant: Tenant, asked: ReportOutcomeRequest): void {
    const user = keyOf(tenant, asked.userId);
    const id = keyOf(tenant, asked.transactionId);
    if (!this.#index.hasOutcome(tenant.index, user, id, asked.revision)) {
      throw new Violation("reply after acknowledgement", `the outcome of ${asked.transactionId} is in no journal`);
    }
  }

  event(tenant: Tenant, asked: RecordEventRequest): void {
    if (!this.#index.hasEvent(tenant.index, keyOf(tenant, asked.userId), keyOf(tenant, asked.eventId))) {
      throw new Violation("reply after acknowledgement", `event ${asked.eventId} is in no journal`);
    }
  }

  get decisions(): number {
    return this.#told.size;
  }
}
