/**
 * What stands in the simulated journals, read from their raw records as they come: by a reader of its own, so that it
 * knows of a row exactly when the journal has it. Finds decisions made twice.
 */
import { MATRIX_SHAPE } from "../../actors/decision/decider.ts";
import { isPayment, ROW_EVENT, RowBlock } from "../../proto/columns.ts";
import { FORMAT_OLDEST, formatOf, HEADER_BYTES, hex, KIND_ROWS, kindOf } from "../../proto/frame/frame_header.ts";
import { type RowsFacts, RowsReader } from "../../proto/frame/rows_reader.ts";
import { type Tenant, tenantIndex } from "../../proto/tenant.ts";
import type { SimJournalStore } from "../../runtime/testkit/sim_journal.ts";
import { type JournalRow, journalRow } from "../oracle/journal_row.ts";
import { Violation } from "./violation.ts";

/** In front of a sealed section, from format 2 on. */
const NONCE_BYTES = 12;

export class JournalIndex {
  /** All rows, shard by shard in the order of their frames. */
  readonly rows: JournalRow[][];
  readonly #store: SimJournalStore;
  readonly #reader = new RowsReader(MATRIX_SHAPE);
  readonly #block = new RowBlock();
  readonly #read: number[];
  readonly #tenantIndex: (id: string) => number;
  readonly #payments = new Map<string, JournalRow>();
  readonly #events = new Set<string>();
  /** Nonces of sealed sections, by the key they are sealed with. */
  readonly #nonces = new Set<string>();
  /** Newest recorded revision of an outcome. */
  readonly #revisions = new Map<string, number>();

  constructor(store: SimJournalStore, shards: number, tenants: readonly Tenant[]) {
    this.#store = store;
    this.#tenantIndex = tenantIndex(tenants);
    this.#read = new Array<number>(shards).fill(0);
    this.rows = Array.from({ length: shards }, () => []);
  }

  /** Reads what was appended since. Throws Violation for a payment or event that stands twice. */
  update(): void {
    for (let shard = 0; shard < this.rows.length; shard++) {
      if (!this.#store.streams.has(shard)) continue;
      const records = this.#store.records(shard);
      while (this.#read[shard] < records.length) this.#take(shard, ++this.#read[shard], records);
    }
  }

  /** The committed payment of (tenant, user, id), keys as in rows. */
  payment(tenant: number, user: string, id: string): JournalRow | undefined {
    this.update();
    return this.#payments.get(`${tenant} ${user} ${id}`);
  }

  /** Whether an outcome of that revision, or of a newer one, is recorded. */
  hasOutcome(tenant: number, user: string, id: string, revision: number): boolean {
    this.update();
    return (this.#revisions.get(`${tenant} ${user} ${id}`) ?? 0) >= revision;
  }

  hasEvent(tenant: number, user: string, id: string): boolean {
    this.update();
    return this.#events.has(`${tenant} ${user} ${id}`);
  }

  /** Two texts under one key and nonce would tell of each other. */
  #sealedOnce(shard: number, frame: number, { sealed, tenants }: RowsFacts): void {
    for (const [i, section] of sealed.entries()) {
      const nonce = `${shard} ${tenants[i]} ${hex(section.subarray(0, NONCE_BYTES))}`;
      if (this.#nonces.has(nonce)) throw new Violation("sealed", `frame ${frame} of shard ${shard} repeats a nonce`);
      this.#nonces.add(nonce);
    }
  }

  #take(shard: number, frame: number, records: readonly Uint8Array[]): void {
    const bytes = records[frame - 1];
    if (kindOf(bytes) !== KIND_ROWS) return;
    const b = this.#block;
    const format = formatOf(bytes);
    const facts = this.#reader.read(bytes.subarray(HEADER_BYTES), format, b, null, this.#tenantIndex);
    if (format > FORMAT_OLDEST) this.#sealedOnce(shard, frame, facts);
    for (let r = 0; r < b.n; r++) {
      const row = journalRow(b, r, shard, frame);
      this.rows[shard].push(row);
      const key = `${row.tenant} ${row.user} ${row.id}`;
      const place = `frame ${frame} of shard ${shard}`;
      if (isPayment(row.kind)) {
        const before = this.#payments.get(key);
        if (before !== undefined) {
          throw new Violation("one decision", `${key} stands in frame ${before.frame} and in ${place}`);
        }
        this.#payments.set(key, row);
      } else if (row.kind === ROW_EVENT) {
        if (this.#events.has(key)) throw new Violation("one decision", `event ${key} stands again in ${place}`);
        this.#events.add(key);
      } else this.#revisions.set(key, Math.max(row.revision, this.#revisions.get(key) ?? 0));
    }
  }
}
