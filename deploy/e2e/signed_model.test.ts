/** A node starts with a model that somebody trusted has signed, and with no other. */
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { FraudClient } from "../client/fraud_client.ts";
import { newSigner } from "../models/key_files.ts";
import { signFolder } from "../models/model_folder.ts";
import { ModelRegistry } from "../models/model_registry.ts";
import { DEFAULT_MODEL } from "../models/shipped.ts";
import { NodeProcess } from "./testkit/node_process.ts";
import { demoPayments } from "./testkit/payments.ts";

const AT_US = 1_790_000_000_000_000;
const NAME = "xgboost_fraud_v2_0";

test("the shipped model, then the registry's champion; a changed file of it is refused", async (t) => {
  const node = await NodeProcess.launch();
  t.after(() => node.dispose());
  const decides = async () => {
    const client = new FraudClient(node.ready.grpc, node.keys.acme);
    const [first] = await client.analyze(demoPayments({ seed: 3, payments: 1 })).finally(() => client.close());
    assert.equal(first.result.case, "decision");
  };
  const verified = async () => (await node.log()).findLast(({ msg }) => msg === "model verified");
  await decides();
  assert.equal((await verified())?.["stage"], "shipped");
  assert.equal(await node.stop(), 0);

  const registry = new ModelRegistry(join(node.data_dir, "models"));
  const [alice, bob] = [newSigner("alice"), newSigner("bob")];
  await registry.trust({ name: "alice", public_key: alice.public_key }, "maker");
  await registry.trust({ name: "bob", public_key: bob.public_key }, "approver");
  const folder = join(node.data_dir, "trained");
  await cp(DEFAULT_MODEL, folder, { recursive: true });
  const card = JSON.parse(await readFile(join(folder, "card.json"), "utf8"));
  await writeFile(join(folder, "card.json"), JSON.stringify({ ...card, name: NAME }));
  // As it is now it has the signature of the shipped model.
  await assert.rejects(node.start({ args: ["--model", folder] }), /card\.json is not the file that was signed/);
  await signFolder(folder, alice.signer, AT_US);
  await registry.add(folder, alice.signer, AT_US);
  await registry.act(() => ({ action: "approve", model: NAME }), NAME, bob.signer, AT_US);
  await registry.act(() => ({ action: "champion", model: NAME, alone: false }), NAME, alice.signer, AT_US);
  await node.start();
  await decides();
  const { model, stage, signed_by } = (await verified()) ?? {};
  assert.deepEqual([model, stage, signed_by], [NAME, "champion", "alice"]);
  assert.equal(await node.stop(), 0);

  const onnx = join(node.data_dir, "models", NAME, "model.onnx");
  const bytes = await readFile(onnx);
  bytes[bytes.length >> 1] ^= 1;
  await writeFile(onnx, bytes);
  await assert.rejects(node.start(), /could not start: .*model\.onnx is not the file that was signed.*restore/);
  assert.equal(await node.ended(), 1);
});
