/** A journal that newer code went on with, seen by nodes of this code: they say so, serve the others, warn nobody. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readTail } from "../../runtime/journal/claim.ts";
import { inNewerFormat, rowsFrame } from "../../runtime/testkit/frames.ts";
import { SimJournalStore } from "../../runtime/testkit/sim_journal.ts";
import { SimWorld } from "../../runtime/testkit/sim_world.ts";
import { SimCluster } from "../sim/sim_cluster.ts";
import { loadProgram } from "../simulate/program.ts";

test("a frame of a newer format keeps nodes from one shard only, and is announced by nobody as damage", async () => {
  const world = new SimWorld(7);
  const told: string[] = [];
  const cluster = new SimCluster(world, await loadProgram(), { nodes: 2, shards: 2, isShared: true }, (error) => {
    told.push(String(error));
  });
  for (const m of cluster.machines) cluster.boot(m);
  await world.runUntil(() => cluster.serving, 60_000, "both serve");
  await world.advance(1000);
  for (const m of cluster.machines) cluster.end(m);
  const journal = await new SimJournalStore(null, cluster.journals.streams).open(0);
  const { epoch, sequence, checksum: previous, frameTimeUs: time_us } = await readTail(journal);
  const newer = inNewerFormat(rowsFrame(journal, { epoch, sequence: sequence + 1, previous, time_us: time_us + 1 }));
  assert.equal((await journal.append(newer, sequence)).kind, "appended");

  for (const m of cluster.machines) cluster.boot(m);
  await world.advance(20_000);
  const stopped = told.filter((t) => /format 4, this code reads 1 to 3.*the journal is fine/.test(t));
  assert.equal(stopped.length, 2, `both say it: ${told.join("; ")}`);
  assert.equal(told.length, 2);
  const processes = cluster.machines.flatMap((m) => m.process ?? []);
  assert.equal(processes.length, 2, "both run");
  assert.equal(processes.filter((p) => p.runtime.shards[1].serving).length, 1, "the other shard is served");
  assert.equal(processes.filter((p) => p.runtime.shards[0].serving).length, 0);
  const asked = Promise.all(processes.map((p) => p.runtime.shardStatuses()));
  await world.advance(2000);
  const statuses = await asked;
  assert.deepEqual(
    statuses.map((shards) => shards.map((s) => s.damaged)),
    [
      [false, false],
      [false, false],
    ],
  );
});
