import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { WINDOWS_US } from "../../../actors/features/registry.ts";
import type { Peer } from "./peer.ts";
import { PEER_COLUMNS } from "./peer_scorer.ts";
import { PeerWorkload } from "./peer_workload.ts";
import { startRedisPeer } from "./redis_peer.ts";
import { startSqlPeer } from "./sql_peer.ts";

const START_US = 1_700_000_000_000_000;
const USERS = 4000;
const BATCH = 64;
const BATCHES = 12;

type Payment = { user: number; merchant: number; t: number; amount: number };

/** Counts and sums from a list of all payments. */
function expected(all: readonly Payment[], x: Payment): number[] {
  const of = (same: (p: Payment) => boolean) =>
    WINDOWS_US.flatMap((w) => {
      const inside = all.filter((p) => same(p) && p.t > x.t - w && p.t <= x.t);
      return [inside.length, inside.reduce((sum, p) => sum + p.amount, 0)];
    });
  return [...of((p) => p.user === x.user), ...of((p) => p.merchant === x.merchant)];
}

for (const [name, start] of [
  ["Redis", startRedisPeer],
  ["PostgreSQL", startSqlPeer],
] as const) {
  test(`the windows of the ${name} peer are those of a plain list`, { timeout: 120_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "peer-"));
    let peer: Peer | undefined;
    try {
      peer = await start(folder);
      await peer.loaded();
      // Few merchants: their windows must lose payments within the test.
      const work = new PeerWorkload(USERS, 2, START_US);
      const all: Payment[] = [];
      const windows = new Float64Array(BATCH * PEER_COLUMNS);
      for (let k = 0; k < BATCHES; k++) {
        const b = work.batch(BATCH);
        const rows = b.id.map((_, i) => ({
          user: b.user[i],
          merchant: b.merchant[i],
          t: b.time_us[i],
          amount: b.amount[i],
        }));
        all.push(...rows);
        await peer.windows(b, windows);
        rows.forEach((x, i) => {
          assert.deepEqual([...windows.subarray(i * PEER_COLUMNS, (i + 1) * PEER_COLUMNS)], expected(all, x));
        });
      }
      const [first] = all;
      assert.ok(
        all.some((p) => p.t - first.t > WINDOWS_US[2]),
        "an hour must pass",
      );
    } finally {
      await peer?.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
