/** What is shed leaves no trace: past a shard's capacity payments are refused, and a restart gives the same state. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { TestClient } from "../../gateway/testkit/grpc_client.ts";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { startNats } from "../engines/nats.ts";
import { readJournals, tenantsOf } from "./testkit/journal_rows.ts";
import { localNode } from "./testkit/local_node.ts";
import { makeTenants } from "./testkit/node_process.ts";
import { decisionOf, payment, rowError } from "./testkit/payments.ts";
import { assertStateEquals } from "./testkit/state_oracle.ts";

const EVENTS_MAX = 100;

test("past the capacity payments are shed, known ids still answered, and the state replays", async (t) => {
  const data_dir = await mkdtemp(join(tmpdir(), "fraudguard-e2e-"));
  const keys = makeTenants(data_dir);
  const nats = await startNats({ data_dir: join(data_dir, "nats"), port: 0 });
  t.after(async () => {
    await nats.stop();
    await rm(data_dir, { recursive: true, force: true });
  });
  const start = () => localNode({ data_dir, nats_url: nats.url, shards: 1, events_max: EVENTS_MAX });
  let local = await start();
  let calls = new TestClient(local.node.gateway.grpcPort, keys.acme);
  const payments = Array.from({ length: 150 }, () => payment());
  const { results } = await calls.call("bulkAnalyze", { payments });
  for (const [i, r] of results.entries()) {
    if (i < EVENTS_MAX) decisionOf(r);
    else assert.equal(rowError(r).code, ErrorCode.RESOURCE_EXHAUSTED);
  }
  const again = await calls.call("bulkAnalyze", { payments });
  assert.equal(again.results.filter((r) => r.result.case === "decision" && r.result.value.repeated).length, EVENTS_MAX);
  await local.quiet();
  const digests = local.digests();
  const { rows } = await readJournals(nats.url, 1, tenantsOf(data_dir));
  assert.equal(rows.length, EVENTS_MAX);
  assertStateEquals(local.shards, rows);
  calls.close();
  await local.close();
  local = await start();
  calls = new TestClient(local.node.gateway.grpcPort, keys.acme);
  assert.deepEqual(local.digests(), digests);
  const after = await calls.call("bulkAnalyze", { payments });
  assert.equal(after.results.filter((r) => r.result.case === "decision").length, EVENTS_MAX);
  calls.close();
  await local.close();
});
