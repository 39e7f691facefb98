import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { FEATURE_COUNT } from "../../actors/features/registry.ts";
import { TreeExplainer } from "../../actors/inference/explanation.ts";
import { FeatureExport, LABEL_NONE } from "../../actors/inference/feature_export.ts";
import { ModelSession } from "../../actors/inference/session.ts";
import { syntheticMatrix } from "../../actors/inference/synthetic_matrix.ts";
import { KEYS_FILE } from "../models/files.ts";
import { INSTALLATION_REGISTRY } from "../models/key_files.ts";
import { openModel } from "../models/open_model.ts";
import { ensurePythonEnvironment, PythonUnavailable } from "./environment.ts";
import { ExportFolder } from "./export_folder.ts";
import { type TrainingEvent, TrainingFailed, trainModel } from "./training.ts";

const ENVIRONMENT = fileURLToPath(new URL("../../data/python", import.meta.url));
const PROGRAMS = fileURLToPath(new URL("../../actors/inference/training", import.meta.url));
const NAME = "test_v2_3";
const ROWS = 12_000;
const data = syntheticMatrix(ROWS, 41);

let python: string;
let root: string;

/** Exports the synthetic rows; `label` may change a row's label. */
async function exported(name: string, label: (row: number) => number): Promise<string> {
  const folder = new ExportFolder(join(root, name));
  const to = new FeatureExport(folder, "a seeded synthetic matrix");
  to.append(data.matrix, ROWS, data.timesUs, data.ids);
  for (let r = 0; r < ROWS; r++) to.label(r, label(r));
  to.finish();
  folder.close();
  return folder.dir;
}

function train(features: string, out: string, parameters: Record<string, string | number> = {}) {
  const events: TrainingEvent[] = [];
  const options = { python, features, out: join(root, out), name: NAME, note: "A test." };
  const all = { trees: 20, depth: 4, ...parameters };
  const card = trainModel({ ...options, parameters: all, progress: (event) => events.push(event) });
  return card.then((c) => ({ card: c, events }));
}

before(async () => {
  root = await mkdtemp(join(tmpdir(), "fraudguard-training-"));
  python = await ensurePythonEnvironment(ENVIRONMENT);
});
after(() => rm(root, { recursive: true }));

describe("the Python environment", () => {
  test("is made once, and is smaller than 1.5 GB", async () => {
    const lines: string[] = [];
    assert.equal(await ensurePythonEnvironment(ENVIRONMENT, { progress: (line) => lines.push(line) }), python);
    assert.deepEqual(lines, []);
    let bytes = 0;
    for (const entry of await readdir(ENVIRONMENT, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
    }
    assert.ok(bytes > 50e6 && bytes < 1.5e9, `${bytes} bytes`);
  });

  test("that cannot be made says what to install", async () => {
    const options = { python: "/nonexistent/python3", progress: () => {} };
    await assert.rejects(
      ensurePythonEnvironment(join(root, "none"), options),
      (error) => error instanceof PythonUnavailable && /Python 3\.11 to 3\.14.*FRAUDGUARD_PYTHON/.test(error.message),
    );
  });
});

describe("training", () => {
  test("programs pass their own tests", async () => {
    const args = ["-B", "-m", "unittest", "discover", "--start-directory", PROGRAMS];
    const { stderr } = await promisify(execFile)(python, args);
    assert.match(stderr, /Ran [1-9]\d* tests/);
  });

  test("gives a model that loads, ranks unseen rows, and is explained by its trees", async () => {
    const features = await exported("export", (r) => data.labels[r]);
    const { card, events } = await train(features, "model");
    assert.deepEqual([card.name, card.version, card.data.rows], [NAME, "2.3", ROWS]);
    assert.equal(card.data.sha256, JSON.parse(await readFile(join(features, "meta.json"), "utf8")).data_sha256);
    assert.ok(card.parity.rows === 4096 && card.parity.max_difference <= 1e-5, JSON.stringify(card.parity));
    const heldOut = card.metrics.held_out;
    assert.ok(heldOut?.rows === ROWS / 5 && (heldOut.roc_auc ?? 0) > 0.85, JSON.stringify(heldOut));
    assert.deepEqual(
      events.filter((e) => e.event === "tree").map((e) => [e.done, e.of]),
      [
        [10, 20],
        [20, 20],
      ],
    );
    const dir = join(root, "model");
    const trusted_keys = [join(INSTALLATION_REGISTRY, KEYS_FILE)];
    const { model, signer } = await openModel({ registry_dir: join(root, "none"), model_dir: dir, trusted_keys });
    assert.match(signer.name, /^installation/);
    const session = await ModelSession.create(model.onnx, "cpu", FEATURE_COUNT);
    const explainer = new TreeExplainer(model.explain, FEATURE_COUNT);
    const scores = new Float32Array(ROWS);
    await session.run(data.matrix, ROWS, scores);
    await session.close();
    for (let r = 0; r < ROWS; r++) {
      const explained = 1 / (1 + Math.exp(-explainer.margin(data.matrix, r * FEATURE_COUNT)));
      assert.ok(Math.abs(explained - scores[r]) <= 1e-5, `row ${r}: ${explained} explained, ${scores[r]} scored`);
    }
  });

  test("gives the same bytes again, by either method, and reads no label that it is not given", async () => {
    const features = await exported("export", (r) => data.labels[r]);
    const cut = data.timesUs[ROWS / 2];
    const known = await exported("known", (r) => (r < ROWS / 2 ? data.labels[r] : LABEL_NONE));
    for (const method of ["hist", "exact"]) {
      const half = { method, "to-us": cut, "validate-fraction": 0, trees: 5 };
      const first = await train(features, `${method}1`, half);
      const again = await train(features, `${method}2`, half);
      const unlabelled = await train(known, `${method}3`, { method, "validate-fraction": 0, trees: 5 });
      assert.equal(first.card.data.rows, ROWS / 2);
      assert.equal(first.card.metrics.held_out, null);
      assert.deepEqual(again.card, first.card);
      assert.deepEqual(unlabelled.card.files, first.card.files);
    }
  });

  test("refuses an export that is damaged, of one class, or unfinished", async () => {
    const refused = (features: string, message: RegExp) =>
      assert.rejects(
        train(features, "refused"),
        (error) => error instanceof TrainingFailed && message.test(error.message),
      );
    const damaged = await exported("damaged", (r) => data.labels[r]);
    await truncate(join(damaged, "features.f32"), 1000);
    await refused(damaged, /features\.f32 is not the file/);
    await refused(await exported("legitimate", () => 0), /0 positives/);
    await rm(join(damaged, "meta.json"));
    await refused(damaged, /meta\.json is missing/);
    await assert.rejects(train(damaged, "refused", { trees: 0 }), /trees/);
  });
});
