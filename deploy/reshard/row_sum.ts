/**
 * A sum over rows that does not depend on their order: the same rows give the same sum, however shards and frames
 * divide them. Each row counts by the SHA-256 of all that was decided and all that came with it.
 */
import { createHash } from "node:crypto";
import {
  ATTRIBUTE_SLOTS,
  type KeyColumn,
  REASON_SLOTS,
  ROW_HISTORY,
  ROW_OUTCOME,
  type RowBlock,
} from "../../proto/columns.ts";
import type { FrameFacts } from "../../proto/frame/rows_layout.ts";

const WORDS = 8;
const ROW_BYTES = 512;

/** Sums 256-bit digests as eight 32-bit words, each for itself. */
export class DigestSum {
  readonly #words = new Uint32Array(WORDS);
  count = 0;

  add(text: string | Uint8Array, more: readonly Uint8Array[] = []): void {
    const hash = createHash("sha256").update(text);
    for (const part of more) hash.update(part);
    const digest = hash.digest();
    for (let i = 0; i < WORDS; i++) this.#words[i] += digest.readUInt32LE(4 * i);
    this.count++;
  }

  get text(): string {
    return Buffer.from(this.#words.buffer).toString("hex");
  }
}

/** Rows by kind, and their sum. */
export class RowSum {
  readonly kinds = new Float64Array(ROW_HISTORY + 1);
  readonly #sum = new DigestSum();
  readonly #bytes = Buffer.alloc(ROW_BYTES);
  #at = 0;

  /** Row r as it was read from a frame; `raw`: its raw identifiers. */
  add(b: RowBlock, r: number, tenant: string, facts: FrameFacts, raw: readonly Uint8Array[]): void {
    this.kinds[b.kind[r]]++;
    this.#at = 0;
    for (const v of [b.kind[r], b.code[r], b.outcome[r], b.degraded[r], b.flags[r], b.retracted[r]]) this.#number(v);
    for (const v of [b.currency[r], b.country[r], b.channel[r], b.category[r], b.revision[r]]) this.#number(v);
    for (const v of [b.standing[r], b.eventTimeUs[r]]) this.#number(v);
    // Of other rows a frame says nothing.
    if (b.kind[r] === ROW_OUTCOME) for (const v of [b.labelAction[r], b.paymentTimeUs[r]]) this.#number(v);
    for (const v of [b.amountMinor[r], b.amountBase[r], b.score[r], b.latitudeE6[r], b.longitudeE6[r]]) this.#number(v);
    for (const k of [b.user, b.merchant, b.card, b.device, b.ip, b.payee, b.id, b.attributesHash, b.rules]) {
      this.#key(k, r);
    }
    for (let k = 0; k < ATTRIBUTE_SLOTS; k++) this.#number(b.attributes[r * ATTRIBUTE_SLOTS + k]);
    for (let k = 0; k < REASON_SLOTS; k++) {
      this.#number(b.reasonFeature[r * REASON_SLOTS + k]);
      this.#number(b.reasonWeight[r * REASON_SLOTS + k]);
    }
    const { model_version, rule_set_version, rates_version, features_version } = facts;
    const texts = [tenant, model_version, rule_set_version, rates_version, features_version].join("\n");
    const lengths = Buffer.from(`\n${raw.map((field) => field.length).join()}\n`);
    this.#sum.add(this.#bytes.subarray(0, this.#at), [Buffer.from(texts), lengths, ...raw]);
  }

  get count(): number {
    return this.#sum.count;
  }

  get text(): string {
    return this.#sum.text;
  }

  #number(value: number): void {
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  #key(column: KeyColumn, r: number): void {
    this.#at = this.#bytes.writeUInt32LE(column.hi[r], this.#at);
    this.#at = this.#bytes.writeUInt32LE(column.lo[r], this.#at);
  }
}
