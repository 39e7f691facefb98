/** A rows frame read whole: its columns, what it recorded, and the raw identifiers of its sealed sections. */
import { MATRIX_SHAPE } from "../../actors/decision/decider.ts";
import { RAW_FIELDS, RowBlock } from "../../proto/columns.ts";
import { type FrameHeader, HEADER_BYTES } from "../../proto/frame/frame_header.ts";
import { type RowsFacts, RowsReader } from "../../proto/frame/rows_reader.ts";
import { SectionOpener } from "../../proto/frame/sealer.ts";
import { type Tenant, tenantIndex } from "../../proto/tenant.ts";

const NO_SINK = { done: () => {} };

export class FrameRows {
  readonly block = new RowBlock();
  /** Of each row: RAW_FIELDS texts, empty without. */
  raw: (readonly Buffer[])[] = [];
  readonly #tenants: readonly Tenant[];
  readonly #reader = new RowsReader(MATRIX_SHAPE);
  readonly #opener: SectionOpener;

  constructor(tenants: readonly Tenant[], journalId: string) {
    this.#tenants = tenants;
    this.#opener = new SectionOpener(tenants, journalId);
  }

  /** Throws RowsDamaged, SealBroken. */
  read(header: FrameHeader, bytes: Uint8Array): RowsFacts {
    const { block } = this;
    const indexOf = tenantIndex(this.#tenants);
    const facts = this.#reader.read(bytes.subarray(HEADER_BYTES), header.version, block, null, indexOf);
    const { shard, epoch, frameNumber: frame, version: format } = header;
    const place = { shard, epoch, frame, format };
    const raw: (readonly Buffer[])[] = Array.from({ length: block.n }, () => []);
    for (const [i, id] of facts.tenants.entries()) {
      const tenant = indexOf(id);
      const opened = this.#opener.open(facts.sealed[i], tenant, place).values();
      for (let r = 0; r < block.n; r++) {
        if (block.tenant[r] === tenant) raw[r] = opened.next().value ?? [];
      }
    }
    this.raw = raw;
    return facts;
  }

  tenantId(r: number): string {
    return this.#tenants[this.block.tenant[r]].id;
  }

  /** Lays the raw identifiers where a sealer looks for them. */
  layRaw(): void {
    const { block, raw } = this;
    const n = block.n;
    block.reset();
    block.addBatch(Buffer.concat(raw.flat()), 0, n, NO_SINK);
    let at = 0;
    for (let r = 0; r < n; r++) {
      for (let k = 0; k < RAW_FIELDS; k++) {
        const length = raw[r][k]?.length ?? 0;
        block.rawStart[r * RAW_FIELDS + k] = at;
        block.rawLength[r * RAW_FIELDS + k] = length;
        at += length;
      }
    }
  }
}
