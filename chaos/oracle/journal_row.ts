/** A journal's row as a plain object, in the form that oracles and checkers read. Keys are "hi:lo". */
import type { RowBlock } from "../../proto/columns.ts";

export interface JournalRow {
  readonly shard: number;
  readonly frame: number;
  readonly kind: number;
  readonly tenant: number;
  readonly id: string;
  readonly user: string;
  readonly merchant: string;
  /** Microseconds since 1970-01-01 UTC. */
  readonly eventTimeUs: number;
  /** Minor units of the tenant's base currency; NaN: no rate. */
  readonly amountBase: number;
  /** PaymentStatus, OutcomeKind or EventKind. */
  readonly code: number;
  readonly revision: number;
  readonly retracted: boolean;
  readonly outcome: number;
  readonly score: number;
}

export function keyText(hi: number, lo: number): string {
  return `${hi}:${lo}`;
}

export function journalRow(b: RowBlock, r: number, shard: number, frame: number): JournalRow {
  return {
    shard,
    frame,
    kind: b.kind[r],
    tenant: b.tenant[r],
    id: keyText(b.id.hi[r], b.id.lo[r]),
    user: keyText(b.user.hi[r], b.user.lo[r]),
    merchant: keyText(b.merchant.hi[r], b.merchant.lo[r]),
    eventTimeUs: b.eventTimeUs[r],
    amountBase: b.amountBase[r],
    code: b.code[r],
    revision: b.revision[r],
    retracted: b.retracted[r] === 1,
    outcome: b.outcome[r],
    score: b.score[r],
  };
}
