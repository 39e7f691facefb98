/** A node whose secrets are another cluster's does not start: it would decide anew what its journals hold. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { FraudClient } from "../client/fraud_client.ts";
import { NodeProcess } from "./testkit/node_process.ts";
import { demoPayments } from "./testkit/payments.ts";

test("other secrets than the journals' are refused, the right ones give the same decisions", async (t) => {
  const node = await NodeProcess.launch({ shards: 2 });
  t.after(() => node.dispose());
  const payments = demoPayments({ seed: 5, payments: 40 });
  const ask = async () => {
    const client = new FraudClient(node.ready.grpc, node.keys.acme);
    const results = await client.analyze(payments).finally(() => client.close());
    return results.map(({ result }) => (result.case === "decision" ? result.value : assert.fail("no decision")));
  };
  const first = await ask();
  assert.equal(await node.stop(), 0);
  const file = join(node.data_dir, "secrets.json");
  const own = await readFile(file, "utf8");
  const other = await NodeProcess.launch();
  t.after(() => other.dispose());
  await writeFile(file, await readFile(join(other.data_dir, "secrets.json")));
  await assert.rejects(node.start(), /does not open with the secrets.json that is here/);
  await writeFile(file, own);
  await node.start();
  const again = await ask();
  assert.ok(again.every((d) => d.repeated));
  assert.deepEqual(
    again.map((d) => [d.outcome, d.score]),
    first.map((d) => [d.outcome, d.score]),
  );
});
