/** Every row of the journals as plain objects, read and verified from the first frame on, by a reader of its own. */
import { join } from "node:path";
import { MATRIX_SHAPE } from "../../../actors/decision/decider.ts";
import { type JournalRow, journalRow, keyText } from "../../../chaos/oracle/journal_row.ts";
import { openIdentity } from "../../../gateway/identity/identity.ts";
import { RowBlock } from "../../../proto/columns.ts";
import { type FrameHeader, HEADER_BYTES, KIND_ROWS } from "../../../proto/frame/frame_header.ts";
import { type RowsFacts, RowsReader } from "../../../proto/frame/rows_reader.ts";
import type { Tenant } from "../../../proto/tenant.ts";
import { JOURNAL_START } from "../../../runtime/journal/claim.ts";
import { replay } from "../../../runtime/journal/replay.ts";
import { H, keyedHashText } from "../../../runtime/kernel/keyed_hash.ts";
import { JetStreamJournalStore } from "../../../runtime/nats/jetstream_journal.ts";
import { accessOf, connectAs, type SaidNats } from "../../node/nats_access.ts";

/** A folded row of another shard, as the frame of its target recorded it. */
export interface InboxRow {
  readonly shard: number;
  readonly source: number;
  readonly frame: number;
}

export interface Journals {
  readonly rows: readonly JournalRow[];
  readonly inbox: readonly InboxRow[];
  /** Frames of any kind, by shard. */
  readonly frames: readonly number[];
}

/** The key of a text in the journals. */
export function keyOf(tenant: Tenant, text: string): string {
  keyedHashText(text, tenant.hash_key[0], tenant.hash_key[1]);
  return keyText(H.hi, H.lo);
}

/** Tenants of a data folder, with their secrets. */
export function tenantsOf(data_dir: string): readonly Tenant[] {
  const tenants_path = join(data_dir, "tenants.json");
  return openIdentity({ tenants_path, secrets_path: join(data_dir, "secrets.json") }).tenants;
}

/** Reads all journals up to their present tails; rejects with JournalDamaged where a chain is broken. */
export async function readJournals(
  nats: string | SaidNats,
  shards: number,
  tenants: readonly Tenant[],
): Promise<Journals> {
  const link = await connectAs(accessOf(typeof nats === "string" ? { nats } : nats, "node"), "journals");
  const store = new JetStreamJournalStore(link);
  const indexOf = (id: string) => tenants.findIndex((t) => t.id === id);
  const reader = new RowsReader(MATRIX_SHAPE);
  const block = new RowBlock();
  const rows: JournalRow[] = [];
  const inbox: InboxRow[] = [];
  const frames: number[] = [];
  const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  try {
    for (let shard = 0; shard < shards; shard++) {
      frames[shard] = 0;
      const take = (header: FrameHeader, bytes: Uint8Array): void => {
        frames[shard]++;
        if (header.kind !== KIND_ROWS) return;
        const body = bytes.subarray(HEADER_BYTES);
        const facts: RowsFacts = reader.read(body, header.version, block, null, indexOf);
        for (let r = 0; r < facts.rows; r++) rows.push(journalRow(block, r, shard, header.frameNumber));
        const t = reader.inbox;
        for (let i = 0; i < t.n; i++) inbox.push({ shard, source: t.source[i], frame: t.frame[i] });
      };
      await replay(await store.open(shard), JOURNAL_START, take, sleep);
    }
  } finally {
    store.close();
    await link.close();
  }
  return { rows, inbox, frames };
}
