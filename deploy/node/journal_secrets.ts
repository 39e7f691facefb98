/**
 * Whether this node's secrets are those that the journals were written with. With others every identifier hashes to
 * another key: nothing would look wrong, and payments that were decided would be decided anew.
 */
import { setTimeout as delay } from "node:timers/promises";
import { FrameError, KIND_ROWS, readHeader } from "../../proto/frame/frame_header.ts";
import { RowsDamaged } from "../../proto/frame/rows_reader.ts";
import { SealBroken } from "../../proto/frame/sealer.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { untilReachable } from "../../runtime/journal/checked.ts";
import { type Journal, type JournalStore, JournalUnavailable } from "../../runtime/ports.ts";
import { FrameRows } from "./frame_rows.ts";

/** Frames from the tail among which one with sealed identifiers is looked for: others hold inboxes, or a new owner. */
const FRAMES_MAX = 32;
/** A journal of several servers that was just made has no leader for a while. */
const WAIT_MS = 60_000;

/**
 * Opens the newest sealed identifiers of each journal. Throws Error that says what to put where, JournalUnavailable
 * when a journal cannot be read for a minute. What is damaged is not judged here: who loads the shard says where.
 */
export async function requireSecretsOf(
  journals: JournalStore,
  shards: number,
  tenants: readonly Tenant[],
): Promise<void> {
  const end_ms = performance.now() + WAIT_MS;
  const sleep = (ms: number): Promise<void> => {
    if (performance.now() < end_ms) return delay(ms);
    return Promise.reject(new JournalUnavailable(`no journal could be read for ${WAIT_MS / 1000} s`));
  };
  for (let shard = 0; shard < shards; shard++) {
    await untilReachable(sleep, async () => checkOne(await journals.open(shard), tenants));
  }
}

async function checkOne(journal: Journal, tenants: readonly Tenant[]): Promise<void> {
  const rows = new FrameRows(tenants, journal.id);
  let record = await journal.tail();
  for (let looked = 0; record !== null && looked < FRAMES_MAX; looked++) {
    if (isOpened(record.bytes, journal, rows)) return;
    record = record.sequence > 1 ? await journal.read(record.sequence - 1) : null;
  }
}

/** True when the frame holds sealed identifiers, and they open. */
function isOpened(bytes: Uint8Array, journal: Journal, rows: FrameRows): boolean {
  try {
    const header = readHeader(bytes);
    return header.kind === KIND_ROWS && rows.read(header, bytes).tenants.length > 0;
  } catch (error) {
    if (error instanceof FrameError || error instanceof RowsDamaged) return false;
    if (!(error instanceof SealBroken)) throw error;
    throw new Error(
      `the journal of shard ${journal.shard} does not open with the secrets.json that is here, which is another ` +
        "cluster's: put back the one that the journal was written with, or every known payment would be decided anew",
    );
  }
}
