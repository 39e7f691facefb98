/**
 * Reads stored decisions for GetRiskScore: the row from its journal frame, its transaction id from the sealed
 * section.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { encodeAnalyzeResponse } from "../../gateway/codec/decision_encoder.ts";
import type { DecisionTexts } from "../../gateway/codec/reason_texts.ts";
import type { DecisionReader, KeyPair } from "../../gateway/ports.ts";
import { RAW_FIELDS, RAW_TRANSACTION, type RAW_USER } from "../../proto/columns.ts";
import { SealBroken, SectionOpener } from "../../proto/frame/sealer.ts";
import { AnalyzeResponseSchema, DecisionSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import type { RuntimeNode } from "../../runtime/node.ts";
import type { Timers } from "../../runtime/ports.ts";
import type { FoundRow } from "../../runtime/repeats.ts";

export class StoredDecisions implements DecisionReader {
  readonly #node: RuntimeNode;
  readonly #texts: DecisionTexts;
  readonly #tenants: readonly Tenant[];
  readonly #timers: Timers;
  /** By journal: an opener derives the keys of all tenants, too much for one read. */
  readonly #openers = new Map<string, SectionOpener>();

  constructor(node: RuntimeNode, texts: DecisionTexts, tenants: readonly Tenant[], timers: Timers) {
    this.#node = node;
    this.#texts = texts;
    this.#tenants = tenants;
    this.#timers = timers;
  }

  findDecision(tenantIndex: number, id: KeyPair, user: KeyPair | null): Promise<Uint8Array | null> {
    return this.findAmong(tenantIndex, id, user, null);
  }

  /** As findDecision(), in some shards; null: in all. */
  async findAmong(
    tenantIndex: number,
    id: KeyPair,
    user: KeyPair | null,
    shards: readonly number[] | null,
  ): Promise<Uint8Array | null> {
    let bytes: Uint8Array | null = null;
    const pause = () => new Promise<void>((resolve) => this.#timers.soon(resolve));
    const take = (found: FoundRow): void => {
      if (found.block.tenant[found.row] === tenantIndex) bytes = this.#encode(found);
    };
    await this.#node.repeats.find(user?.[0] ?? 0, user?.[1] ?? 0, id[0], id[1], pause, take, shards);
    return bytes;
  }

  #encode(found: FoundRow): Uint8Array {
    const { block, row } = found;
    const id = this.rawField(found, RAW_TRANSACTION);
    block.addBatch(id, row, 1, { done: () => {} });
    block.rawStart[row * RAW_FIELDS + RAW_TRANSACTION] = 0;
    block.rawLength[row * RAW_FIELDS + RAW_TRANSACTION] = id.length;
    const wire = encodeAnalyzeResponse(block, row, this.#texts, false);
    block.reset();
    const { decision } = fromBinary(AnalyzeResponseSchema, wire);
    if (decision === undefined) throw new Error("a stored row was encoded without its decision");
    return toBinary(DecisionSchema, decision);
  }

  /** A raw identifier of a found row, e.g. RAW_USER. Throws SealBroken. */
  rawField(found: FoundRow, field: typeof RAW_TRANSACTION | typeof RAW_USER): Uint8Array {
    const { block, row, facts } = found;
    const tenant = this.#tenants[block.tenant[row]];
    const section = facts.sealed[facts.tenants.indexOf(tenant.id)];
    const place = { shard: found.shard.id, epoch: found.epoch, frame: found.frame, format: found.format };
    const rows = this.#openerOf(found.shard.journal.id).open(section, tenant.index, place);
    let before = 0;
    for (let r = 0; r < row; r++) if (block.tenant[r] === tenant.index) before++;
    if (rows[before] === undefined) throw new SealBroken(`row ${row} is not in the sealed section`);
    return rows[before][field];
  }

  #openerOf(journalId: string): SectionOpener {
    let opener = this.#openers.get(journalId);
    if (opener === undefined) {
      opener = new SectionOpener(this.#tenants, journalId);
      this.#openers.set(journalId, opener);
    }
    return opener;
  }
}
