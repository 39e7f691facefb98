/** The recovery bench with small numbers: a real node, its snapshot, and the payments behind it. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { planOf } from "./plan.ts";
import { benchRecovery } from "./recovery_bench.ts";

test("a start replays what was decided behind the snapshot, each frame compared", async () => {
  const work_dir = await mkdtemp(join(tmpdir(), "fraudguard-recovery-"));
  try {
    const plan = { ...planOf(true, 1), users: 4000, merchants: 50 };
    const root = resolve(import.meta.dirname, "../..");
    const options = { root, work_dir, payments: 5000, plan, seed: 3, currency: "USD", say: () => {} };
    const found = await benchRecovery(options);
    assert.ok(found.decided >= 5000, `${found.decided} decided`);
    // More would be history before the snapshot; less would be lost.
    const { replayed_rows, decided, unknown } = found;
    assert.ok(replayed_rows >= decided && replayed_rows <= decided + unknown, JSON.stringify(found));
    assert.ok(found.compared_frames > 0 && found.snapshot_bytes > 100_000, JSON.stringify(found));
    const { folding = 0, verifying = 0 } = found.profile?.parts_s ?? {};
    assert.ok(folding > 0 && verifying > 0, `the profile is of another thread: ${JSON.stringify(found.profile)}`);
  } finally {
    await rm(work_dir, { recursive: true, force: true });
  }
});
