/** The new journals hold what the old ones hold: every row with its decision, and the windows that follow from them. */
import { isPayment } from "../../proto/columns.ts";
import { ReshardError } from "./errors.ts";
import { type JournalsFacts, type JournalsParts, readAll } from "./rewrite.ts";
import { differentEntities } from "./state_sum.ts";

export interface Verified {
  readonly frames: number;
  readonly entities: number;
  /** Those whose windows differ: an event near the late tolerance may be late in one order of the journals only. */
  readonly entities_different: number;
}

/**
 * Reads the new journals as a node would: each frame verified and folded, each matrix recomputed and compared, each
 * payment found by its id. Rejects with ReshardError `differs`, with JournalDamaged.
 */
export async function verify(old: JournalsFacts, parts: JournalsParts): Promise<Verified> {
  const found = await readAll(parts, ({ header, rows: { block: b }, actors }) => {
    for (let r = 0; r < b.n; r++) {
      if (!isPayment(b.kind[r])) continue;
      const frame = actors.findFrame(b.user.hi[r], b.user.lo[r], b.id.hi[r], b.id.lo[r]);
      if (frame === header.frameNumber % 2 ** 32) continue;
      throw new ReshardError("differs", `row ${r} of frame ${header.frameNumber} is not found by its id`);
    }
  });
  const differs = (what: string, before: unknown, after: unknown): void => {
    if (before === after) return;
    throw new ReshardError("differs", `${what}: ${String(before)} in the old journals, ${String(after)} in the new`);
  };
  differs("rows by kind", old.rows.kinds.join(), found.rows.kinds.join());
  differs("sum of all rows", old.rows.text, found.rows.text);
  differs("users", old.state.user_count, found.state.user_count);
  differs("windows of users", old.state.users, found.state.users);
  differs("entities", old.state.entities.size, found.state.entities.size);
  return {
    frames: found.frames,
    entities: found.state.entities.size,
    entities_different: differentEntities(old.state, found.state),
  };
}
