/** The command as its users run it: exit codes, JSON, and what it says when it refuses. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { DEFAULT_MODEL } from "./shipped.ts";

const COMMAND = resolve(import.meta.dirname, "..", "bin", "models.ts");
const NAME = "xgboost_fraud_v1_2";

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "fraudguard-models-"));
});
after(() => rm(root, { recursive: true }));

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function models(...args: readonly string[]): Promise<Ended> {
  const all = [COMMAND, ...args, "--registry", join(root, "models")];
  return new Promise((done) => {
    execFile(process.execPath, all, (error, out, err) => done({ code: Number(error?.code ?? 0), out, err }));
  });
}

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await models(...args, "--json");
  assert.equal(code, 0, err);
  return JSON.parse(out);
}

test("two people bring a model into use, and a changed file is told", { timeout: 240_000 }, async () => {
  const [alice, bob] = [join(root, "alice.key"), join(root, "bob.key")];
  await json("key", "--name", "alice", "--out", alice);
  await json("key", "--name", "bob", "--out", bob);
  await json("trust", `${alice}.pub`, "--role", "maker");
  await json("trust", `${bob}.pub`, "--role", "approver");
  const folder = join(root, "mine");
  await cp(DEFAULT_MODEL, folder, { recursive: true });
  assert.match((await models("sign", folder, "--key", alice)).out, /xgboost_fraud_v1_2: signed by alice/);
  assert.equal((await json("add", folder, "--key", alice))["stage"], "candidate");
  const early = await models("promote", NAME, "--to", "champion", "--key", alice);
  assert.deepEqual([early.code, early.out], [1, ""]);
  assert.match(early.err, /nobody but who made it has approved it/);
  assert.equal((await json("approve", NAME, "--key", bob))["stage"], "approved");
  assert.match((await models("promote", NAME, "--to", "champion", "--key", alice)).out, /champion; nodes use it/);
  const shown = await json("show", NAME);
  const history = shown["history"] as readonly { action: string; by: string }[];
  assert.deepEqual(
    history.map(({ action, by }) => [action, by]),
    [
      ["add", "alice"],
      ["approve", "bob"],
      ["champion", "alice"],
    ],
  );
  assert.match((shown["lineage"] as { code_version: string }).code_version, /^\d+\.\d+\.\d+/);
  const listed = await json("list");
  assert.deepEqual(
    (listed["keys"] as { name: string; role: string }[]).map(({ name, role }) => [name, role]),
    [
      ["alice", "maker"],
      ["bob", "approver"],
    ],
  );
  assert.equal((await models("verify")).code, 0);
  const onnx = join(root, "models", NAME, "model.onnx");
  const bytes = await readFile(onnx);
  bytes[100] ^= 1;
  await writeFile(onnx, bytes);
  const verified = await models("verify", "--json");
  assert.equal(verified.code, 1);
  const problems = JSON.parse(verified.out).models as { name: string; problem: string | null }[];
  assert.match(problems[0].problem ?? "", /model\.onnx is not the file that was signed.*restore/);
  // The shipped model is as signed.
  assert.equal(problems[1].problem, null);
});

test("wrong arguments end with 2 and the help, which --help prints with 0", { timeout: 120_000 }, async () => {
  const help = await models("--help");
  assert.equal(help.code, 0);
  const wrong = [
    ["polish"],
    [],
    ["add"],
    ["promote", NAME, "--to", "king"],
    ["trust", "x.pub", "--role", "friend"],
    ["verify", "nowhere"],
    ["list", "--colour", "red"],
    ["list", "a", "b"],
  ];
  for (const args of wrong) {
    const { code, err } = await models(...args);
    assert.equal(code, 2, `${args.join(" ")}: ${err}`);
    assert.ok(err.includes(help.out.slice(0, 60)), err);
  }
});
