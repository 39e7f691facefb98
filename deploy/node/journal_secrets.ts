/**
 * Whether this node's secrets are those that the journals were written with. With others every identifier hashes to
 * another key: nothing would look wrong, and payments that were decided would be decided anew.
 */
import { setTimeout as delay } from "node:timers/promises";
import { MATRIX_SHAPE } from "../../actors/decision/decider.ts";
import { RowBlock } from "../../proto/columns.ts";
import { FrameError, HEADER_BYTES, KIND_ROWS, readHeader } from "../../proto/frame/frame_header.ts";
import { RowsDamaged, type RowsFacts, RowsReader } from "../../proto/frame/rows_reader.ts";
import { SealBroken, SectionOpener } from "../../proto/frame/sealer.ts";
import { type Tenant, tenantIndex } from "../../proto/tenant.ts";
import { type Journal, type JournalStore, JournalUnavailable } from "../../runtime/ports.ts";

/** Frames from the tail among which one with sealed identifiers is looked for: others hold inboxes, or a new owner. */
const FRAMES_MAX = 32;
/** A journal of several servers that was just made has no leader for a while. */
const WAIT_MS = 60_000;
const AGAIN_MS = 250;

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
  for (let shard = 0; shard < shards; ) {
    try {
      await checkOne(await journals.open(shard), tenants);
      shard++;
    } catch (error) {
      if (!(error instanceof JournalUnavailable) || performance.now() > end_ms) throw error;
      await delay(AGAIN_MS);
    }
  }
}

async function checkOne(journal: Journal, tenants: readonly Tenant[]): Promise<void> {
  let record = await journal.tail();
  for (let looked = 0; record !== null && looked < FRAMES_MAX; looked++) {
    if (isOpened(record.bytes, journal, tenants)) return;
    record = record.sequence > 1 ? await journal.read(record.sequence - 1) : null;
  }
}

/** True when the frame holds sealed identifiers of a tenant here, and they open. */
function isOpened(bytes: Uint8Array, journal: Journal, tenants: readonly Tenant[]): boolean {
  const indexOf = tenantIndex(tenants);
  try {
    const { kind, version: format, shard, epoch, frameNumber: frame } = readHeader(bytes);
    if (kind !== KIND_ROWS) return false;
    const facts: RowsFacts = new RowsReader(MATRIX_SHAPE).read(
      bytes.subarray(HEADER_BYTES),
      format,
      new RowBlock(),
      null,
      indexOf,
    );
    if (facts.tenants.length === 0) return false;
    new SectionOpener(tenants, journal.id).open(facts.sealed[0], indexOf(facts.tenants[0]), {
      shard,
      epoch,
      frame,
      format,
    });
    return true;
  } catch (error) {
    if (error instanceof FrameError || error instanceof RowsDamaged) return false;
    if (!(error instanceof SealBroken)) throw error;
    throw new Error(
      `the journal of shard ${journal.shard} does not open with the secrets.json that is here, which is another ` +
        "cluster's: put back the one that the journal was written with, or every known payment would be decided anew",
    );
  }
}
