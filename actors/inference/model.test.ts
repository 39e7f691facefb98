import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { FEATURES } from "../features/registry.ts";
import { loadModel, type ModelCard, ModelError, type ModelErrorCode } from "./model.ts";
import { SHIPPED_MODEL } from "./testkit.ts";

let root: string;
let dir: string;
let copies = 0;

before(async () => {
  root = await mkdtemp(join(tmpdir(), "fraudguard-model-"));
});
after(() => rm(root, { recursive: true }));
beforeEach(async () => {
  dir = join(root, String(copies++));
  await cp(SHIPPED_MODEL, dir, { recursive: true });
});

async function changeCard(change: (card: Record<string, unknown>) => void): Promise<void> {
  const path = join(dir, "card.json");
  const card = JSON.parse(await readFile(path, "utf8"));
  change(card);
  await writeFile(path, JSON.stringify(card));
}

function refused(code: ModelErrorCode, message: RegExp): Promise<void> {
  return assert.rejects(
    loadModel(dir),
    (error) => error instanceof ModelError && error.code === code && message.test(error.message),
  );
}

describe("a model", () => {
  test("as shipped is for the registry's features, and its card says what it is", async () => {
    const { card, onnx, explain } = await loadModel(dir);
    assert.deepEqual(
      card.feature_names,
      FEATURES.map((f) => f.name),
    );
    assert.equal(card.name, "xgboost_fraud_v1_2");
    assert.equal(card.version, "1.2");
    assert.ok(card.parity.max_difference <= 1e-5);
    assert.ok((card.metrics.held_out?.roc_auc ?? 0) > 0.5);
    assert.deepEqual([onnx.length, explain.length], [card.files.model.bytes, card.files.explain.bytes]);
  });

  test("whose file was changed is damaged", async () => {
    const bytes = await readFile(join(dir, "model.onnx"));
    bytes[bytes.length >> 1] ^= 1;
    await writeFile(join(dir, "model.onnx"), bytes);
    await refused("damaged", /model\.onnx/);
  });

  test("without one of its files is missing", async () => {
    await rm(join(dir, "explain.bin"));
    await refused("missing", /explain\.bin/);
    await rm(join(dir, "card.json"));
    await refused("missing", /card\.json/);
  });

  test("of other features is named with the first column that differs", async () => {
    await changeCard((card) => {
      (card["feature_names"] as string[])[3] = "shoe_size";
    });
    await refused("features", /column 3 is shoe_size/);
    await changeCard((card) => {
      card["feature_names"] = [...FEATURES.map((f) => f.name), "one_more"];
    });
    await refused("features", /columns/);
  });

  test("with a card that is none is refused", async () => {
    const file = (card: Record<string, unknown>) => (card as unknown as ModelCard).files.model as { name: string };
    const changes: [(card: Record<string, unknown>) => void, RegExp][] = [
      [(card) => Object.assign(card, { format: 2 }), /format 2/],
      [(card) => Object.assign(card, { name: "a b" }), /name/],
      [(card) => Object.assign(card, { files: {} }), /files\.model/],
      [(card) => Object.assign(card, { format: 1, feature_names: [1] }), /feature_names|files/],
      [(card) => Object.assign(file(card), { name: "../../secret" }), /plain name/],
    ];
    for (const [change, message] of changes) {
      await cp(join(SHIPPED_MODEL, "card.json"), join(dir, "card.json"));
      await changeCard(change);
      await refused("format", message);
    }
    await writeFile(join(dir, "card.json"), "{");
    await refused("format", /JSON/);
  });
});
