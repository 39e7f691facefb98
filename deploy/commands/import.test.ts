/**
 * The real import command into a real node: what it records, what it rejects, and that it goes on after a kill -9
 * without counting anything twice.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { FraudClient } from "../client/fraud_client.ts";
import { readExport, readMeta } from "./export_reader.ts";
import { type NodeProcess, prepareTenant, startNodeProcess } from "./node_process.ts";

const COMMAND = resolve(import.meta.dirname, "..", "bin", "import.ts");
const ROWS = 60_000;
const USERS = 500;
const BEGIN_US = Date.UTC(2026, 0, 5) * 1000;
/** 25 days in all: everything lies in the 30-day windows of a payment that follows. */
const STEP_US = (25 * 86_400e6) / ROWS;
/** Row and the reason it is rejected for: two by the mapping, one by the node. */
const BAD = new Map([
  [100, /amountMinor is -5/],
  [30_000, /eventTimeUs is "yesterday"/],
  [59_000, /^country: /],
]);

const MAPPING = {
  name: "shop",
  files: ["*.csv"],
  columns: {
    transactionId: { column: "id" },
    userId: { column: "user" },
    merchantId: { column: "shop" },
    amountMinor: { column: "amount", unit: "major" },
    currency: { value: "EUR" },
    eventTimeUs: { column: "time", unit: "us" },
    country: { column: "country" },
  },
};

let root = "";
let node: NodeProcess;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "fraudguard-import-"));
  const data_dir = join(root, "data");
  prepareTenant(data_dir, "EUR");
  const features = ["--export-features", join(root, "features"), "--model", "none"];
  node = await startNodeProcess({ data_dir, args: features });
});
after(async () => {
  await node.stop();
  await rm(root, { recursive: true });
});

function csv(): string {
  const lines = ["id,user,shop,amount,time,country"];
  for (let r = 0; r < ROWS; r++) {
    const time = r === 30_000 ? "yesterday" : String(BEGIN_US + r * STEP_US);
    const country = r === 59_000 ? "Utopia" : "DE";
    lines.push(`p${r},u${r % USERS},m${r % 97},${r === 100 ? "-5" : "12.34"},${time},${country}`);
  }
  return `${lines.join("\n")}\n`;
}

function args(): string[] {
  const paths = ["--data", join(root, "payments.csv"), "--mapping", join(root, "mapping.json")];
  const files = ["--checkpoint", join(root, "checkpoint.json"), "--rejects", join(root, "rejects.jsonl")];
  return [COMMAND, ...paths, ...files, "--ready", join(root, "data", "ready.json"), "--json"];
}

test("goes on after a kill, sets bad rows aside, and the state holds every payment once", async () => {
  await writeFile(join(root, "payments.csv"), csv());
  await writeFile(join(root, "mapping.json"), JSON.stringify(MAPPING));
  const killed = spawn(process.execPath, args(), { stdio: "ignore" });
  const ended = new Promise((done) => killed.once("exit", (_code, signal) => done(signal)));
  const deadline_ms = performance.now() + 120_000;
  while (!existsSync(join(root, "checkpoint.json"))) {
    assert.ok(performance.now() < deadline_ms && killed.exitCode === null, "no checkpoint before the import ended");
    await pause(2);
  }
  killed.kill("SIGKILL");
  assert.equal(await ended, "SIGKILL");
  const kept = JSON.parse(await readFile(join(root, "checkpoint.json"), "utf8"));
  assert.ok(kept.rows > 0 && !kept.done, JSON.stringify(kept));

  const { stdout, stderr } = await promisify(execFile)(process.execPath, args());
  const summary = JSON.parse(stdout);
  assert.match(stderr, /going on behind row/);
  assert.deepEqual([summary.recorded, summary.rejected], [ROWS - BAD.size, BAD.size]);
  assert.ok(summary.recorded_now < ROWS - kept.rows + 1);
  const rejects = (await readFile(join(root, "rejects.jsonl"), "utf8")).trim().split("\n");
  assert.deepEqual(
    rejects.map((line) => JSON.parse(line)).map(({ row, reason }) => [row, BAD.get(row)?.test(reason) || reason]),
    [...BAD.keys()].map((row) => [row, true]),
  );

  const again = await promisify(execFile)(process.execPath, args());
  assert.equal(JSON.parse(again.stdout).recorded_now, 0);

  await promisify(execFile)(process.execPath, [...args(), "--restart"]);
  const client = new FraudClient(node.grpc, node.api_key);
  const eventTimeUs = BigInt(BEGIN_US + ROWS * STEP_US);
  const payment = { transactionId: "now", userId: "u7", merchantId: "m1", amountMinor: 500n, currency: "EUR" };
  const [{ result }] = await client.analyze([{ ...payment, eventTimeUs }]);
  client.close();
  assert.equal(result.case, "decision");
  await node.stop();
  const names = readMeta(join(root, "features")).feature_names;
  const [chunk] = [...readExport(join(root, "features"))];
  // Only what was decided is exported: the past was not.
  assert.equal(chunk.n, 1);
  assert.equal(chunk.matrix[names.indexOf("user_count_30d")], ROWS / USERS + 1);
});
