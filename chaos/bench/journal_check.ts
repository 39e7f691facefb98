/**
 * Compares the journals with what the client was told: every acknowledged payment stands in them, once; what stands
 * there and was not acknowledged is what the client saw as unknown; nothing that was refused, nothing of anybody else.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import { MATRIX_SHAPE } from "../../actors/decision/decider.ts";
import { accessOf, connectAs, type SaidNats } from "../../deploy/node/nats_access.ts";
import { openIdentity } from "../../gateway/identity/identity.ts";
import { isPayment, RowBlock } from "../../proto/columns.ts";
import { HEADER_BYTES, KIND_ROWS } from "../../proto/frame/frame_header.ts";
import { RowsReader } from "../../proto/frame/rows_reader.ts";
import { JOURNAL_START } from "../../runtime/journal/claim.ts";
import { replay } from "../../runtime/journal/replay.ts";
import type { NatsLink } from "../../runtime/nats/connection.ts";
import { JetStreamJournalStore } from "../../runtime/nats/jetstream_journal.ts";
import { RowSet } from "../load/row_set.ts";
import { IdTable } from "./id_table.ts";

export interface JournalCheckOptions {
  /** The node's data folder: tenants.json and secrets.json. */
  readonly data_dir: string;
  /** As its ready.json says. */
  readonly nats: SaidNats;
  readonly id_prefix: string;
  /** Counters used. */
  readonly count: number;
  readonly acknowledged: RowSet;
  readonly unknown: RowSet;
  readonly progress: (rows: number) => void;
}

export interface JournalCheck {
  readonly ok: boolean;
  readonly shards: number;
  readonly frames: number;
  /** Payments in the journals, and how many distinct ids they have. */
  readonly rows: number;
  readonly distinct_ids: number;
  readonly acknowledged: number;
  /** Of the distinct ids: unknown to the client. */
  readonly unknown_in_journals: number;
  /** All of these must be 0. */
  readonly acknowledged_missing: number;
  readonly twice: number;
  readonly refused_in_journals: number;
  readonly foreign: number;
}

/** Counts what the journals hold, id by id. */
export class IdCensus {
  readonly seen = new RowSet();
  rows = 0;
  twice = 0;
  foreign = 0;
  readonly #table: IdTable;

  constructor(table: IdTable) {
    this.#table = table;
  }

  add(hi: number, lo: number): void {
    this.rows++;
    const counter = this.#table.find(hi, lo);
    if (counter < 0) this.foreign++;
    else if (this.seen.has(counter)) this.twice++;
    else this.seen.add(counter);
  }

  compare(count: number, acknowledged: RowSet, unknown: RowSet): Omit<JournalCheck, "shards" | "frames"> {
    let acknowledged_missing = 0;
    let unknown_in_journals = 0;
    let refused_in_journals = 0;
    for (let i = 0; i < count; i++) {
      const seen = this.seen.has(i);
      if (acknowledged.has(i)) {
        if (!seen) acknowledged_missing++;
      } else if (seen && unknown.has(i)) unknown_in_journals++;
      else if (seen) refused_in_journals++;
    }
    const { rows, twice, foreign } = this;
    const ok = acknowledged_missing + refused_in_journals + twice + foreign === 0;
    return {
      ok,
      rows,
      distinct_ids: this.seen.count(),
      acknowledged: acknowledged.count(),
      unknown_in_journals,
      acknowledged_missing,
      twice,
      refused_in_journals,
      foreign,
    };
  }
}

export async function checkJournals(o: JournalCheckOptions): Promise<JournalCheck> {
  const identity = openIdentity({
    tenants_path: `${o.data_dir}/tenants.json`,
    secrets_path: `${o.data_dir}/secrets.json`,
  });
  const [tenant, ...others] = identity.tenants;
  if (tenant === undefined || others.length > 0) throw new Error(`${o.data_dir} must have exactly one tenant`);
  const census = new IdCensus(new IdTable(o.id_prefix, o.count, tenant.hash_key));
  const link = await connectAs(accessOf(o.nats, "maintenance"), "journals");
  const store = new JetStreamJournalStore(link);
  try {
    const shards = await journalShards(link);
    let frames = 0;
    const block = new RowBlock();
    const reader = new RowsReader(MATRIX_SHAPE);
    const tenantIndex = (id: string): number => {
      if (id !== tenant.id) throw new Error(`the journal names tenant ${id}`);
      return 0;
    };
    for (const shard of shards) {
      const onFrame = (header: { readonly kind: number; readonly version: number }, bytes: Uint8Array): void => {
        frames++;
        if (header.kind !== KIND_ROWS) return;
        reader.read(bytes.subarray(HEADER_BYTES), header.version, block, null, tenantIndex);
        for (let r = 0; r < block.n; r++) {
          if (isPayment(block.kind[r])) census.add(block.id.hi[r], block.id.lo[r]);
        }
        if (frames % 256 === 0) o.progress(census.rows);
      };
      const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
      await replay(await store.open(shard), JOURNAL_START, onFrame, sleep);
    }
    return { ...census.compare(o.count, o.acknowledged, o.unknown), shards: shards.length, frames };
  } finally {
    store.close();
    await link.close();
  }
}

/** Shards that have a journal; opening one that has none would make it. */
async function journalShards(link: NatsLink): Promise<number[]> {
  const manager = await jetstreamManager(link.client);
  const names: string[] = [];
  for await (const name of manager.streams.names()) names.push(name);
  return names
    .flatMap((name) => /^FG_J(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}
