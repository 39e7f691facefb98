/** Registries in real folders, over copies of the shipped model. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import type { Act, Stage } from "../../actors/inference/registry/event_log.ts";
import { RegistryError, type RegistryErrorCode } from "../../actors/inference/registry/registry_error.ts";
import type { Role, Signer } from "../../actors/inference/registry/trusted_keys.ts";
import { lock } from "../engines/lock.ts";
import { KEYS_FILE, LOG_FILE, SIGNATURE_FILE } from "./files.ts";
import { installationSigner, makeKeyFiles, newSigner, readPublicKey, readSigner } from "./key_files.ts";
import { signFolder } from "./model_folder.ts";
import { ModelRegistry } from "./model_registry.ts";
import { openModel } from "./open_model.ts";
import { DEFAULT_MODEL } from "./shipped.ts";

const AT_US = 1_790_000_000_000_000;
const [ONE, TWO] = ["xgboost_fraud_v2_0", "xgboost_fraud_v2_1"];

let root: string;
let dir: string;
let registry: ModelRegistry;
let n = 0;

before(async () => {
  root = await mkdtemp(join(tmpdir(), "fraudguard-registry-"));
});
after(() => rm(root, { recursive: true }));
beforeEach(() => {
  dir = join(root, String(n++), "models");
  registry = new ModelRegistry(dir);
});

function refused(what: Promise<unknown>, code: RegistryErrorCode, message = /./): Promise<void> {
  return assert.rejects(what, (e) => e instanceof RegistryError && e.code === code && message.test(e.message), code);
}

/** Somebody with a key that the registry trusts. */
async function person(name: string, role: Role): Promise<Signer> {
  const { signer, public_key } = newSigner(name);
  await registry.trust({ name, public_key }, role);
  return signer;
}

/** A folder with the shipped model under another name, signed. */
async function model(name: string, signer: Signer): Promise<string> {
  const folder = join(root, `${n++}-${name}`);
  await cp(DEFAULT_MODEL, folder, { recursive: true });
  const card = JSON.parse(await readFile(join(folder, "card.json"), "utf8"));
  await writeFile(join(folder, "card.json"), JSON.stringify({ ...card, name }));
  await signFolder(folder, signer, AT_US);
  return folder;
}

const act = (what: Act, by: Signer) => registry.act(() => what, what.model, by, AT_US);
const approve = (name: string, by: Signer) => act({ action: "approve", model: name }, by);
const promote = (name: string, by: Signer, alone = false) => act({ action: "champion", model: name, alone }, by);
const stageOf = async (name: string): Promise<Stage> => (await registry.read()).log.version(name).stage;

async function flip(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length >> 1] ^= 1;
  await writeFile(path, bytes);
}

describe("a registry", () => {
  test("takes a model from its maker to a node, by way of a second person", async () => {
    const [alice, bob] = [await person("alice", "maker"), await person("bob", "approver")];
    const opened = () => openModel({ registry_dir: dir });
    assert.deepEqual([(await opened()).stage, (await opened()).model.card.name], ["shipped", "xgboost_fraud_v1_2"]);
    await registry.add(await model(ONE, alice), alice, AT_US);
    assert.equal((await opened()).stage, "shipped");
    await refused(promote(ONE, alice), "not_approved", /second person/);
    await refused(promote(ONE, alice, true), "not_approved", /single-person/);
    await refused(approve(ONE, alice), "not_allowed");
    await approve(ONE, bob);
    await promote(ONE, alice);
    const champion = await opened();
    assert.deepEqual([champion.stage, champion.model.card.name, champion.signer.name], ["champion", ONE, "alice"]);
    await registry.add(await model(TWO, bob), bob, AT_US);
    await refused(approve(TWO, bob), "same_person");
    await act({ action: "retire", model: ONE, reason: "drifted" }, bob);
    assert.equal((await opened()).stage, "shipped");
    assert.deepEqual((await readdir(dir)).sort(), [LOG_FILE, KEYS_FILE, ONE, TWO].sort());
  });

  test("lets one person promote where that is allowed, and stops using it when it is not any more", async () => {
    const alice = await person("alice", "maker");
    await registry.setSinglePerson(true);
    await registry.add(await model(ONE, alice), alice, AT_US);
    assert.deepEqual((await promote(ONE, alice, true)).approvals, []);
    assert.equal((await openModel({ registry_dir: dir })).stage, "champion");
    await registry.setSinglePerson(false);
    await refused(openModel({ registry_dir: dir }), "not_approved", new RegExp(ONE));
    await approve(ONE, await person("bob", "approver"));
    assert.equal((await openModel({ registry_dir: dir })).model.card.name, ONE);
  });
});

describe("a registry that several processes use, or one that was killed", () => {
  test("is changed by one process at a time: of promotions at once each sees the one before", async () => {
    const [alice, bob] = [await person("alice", "maker"), await person("bob", "approver")];
    const names = [0, 1, 2, 3].map((i) => `xgboost_fraud_v3_${i}`);
    await Promise.all(names.map(async (name) => registry.add(await model(name, alice), alice, AT_US)));
    await Promise.all(names.map((name) => approve(name, bob)));
    const others = names.map(() => new ModelRegistry(dir));
    const champion = (name: string): Act => ({ action: "champion", model: name, alone: false });
    await Promise.all(names.map((name, i) => others[i].act(() => champion(name), name, bob, AT_US)));
    const { log } = await registry.read();
    assert.equal(log.events.length, 12);
    const stages = log.versions.map(({ stage }) => stage).sort();
    assert.deepEqual(stages, ["challenger", "challenger", "challenger", "champion"]);
    assert.equal(log.champion("xgboost_fraud")?.name, log.events.at(-1)?.act.model);
  });

  test("that another process holds is busy", async () => {
    const alice = await person("alice", "maker");
    const folder = await model(ONE, alice);
    const held = await lock(join(dir, "registry.lock"), 0);
    const hasty = new ModelRegistry(dir, { lock_wait_ms: 60 });
    await refused(hasty.add(folder, alice, AT_US), "busy", /another process/);
    await held?.release();
    assert.equal((await registry.add(folder, alice, AT_US)).stage, "candidate");
  });

  test("takes a folder up again that a crash left between copy and log", async () => {
    const alice = await person("alice", "maker");
    const folder = await model(ONE, alice);
    await mkdir(join(dir, "adding.partial"), { recursive: true });
    await writeFile(join(dir, "adding.partial", "model.onnx"), "half of it");
    await mkdir(join(dir, ONE), { recursive: true });
    await writeFile(join(dir, ONE, "model.onnx"), "half of it");
    await registry.add(folder, alice, AT_US);
    const contents = await registry.read();
    await registry.load(contents.log.version(ONE), contents);
    await refused(registry.add(folder, alice, AT_US), "exists");
    assert.deepEqual((await readdir(dir)).sort(), [LOG_FILE, KEYS_FILE, ONE].sort());
  });
});

describe("a model that is not as signed", () => {
  for (const name of ["card.json", "model.onnx", "explain.bin", SIGNATURE_FILE]) {
    test(`for its ${name} is neither added, approved, promoted nor opened`, async () => {
      const [alice, bob] = [await person("alice", "maker"), await person("bob", "approver")];
      const folder = await model(ONE, alice);
      const codes = name === SIGNATURE_FILE ? ["tampered", "format"] : ["tampered"];
      const isIt = (e: unknown) => e instanceof RegistryError && codes.includes(e.code) && e.message.includes(name);
      await registry.add(folder, alice, AT_US);
      await flip(join(dir, ONE, name));
      await assert.rejects(approve(ONE, bob), isIt);
      await cp(folder, join(dir, ONE), { recursive: true });
      await approve(ONE, bob);
      await flip(join(dir, ONE, name));
      await assert.rejects(promote(ONE, bob), isIt);
      await cp(folder, join(dir, ONE), { recursive: true });
      await promote(ONE, bob);
      await flip(join(dir, ONE, name));
      await assert.rejects(openModel({ registry_dir: dir }), isIt);
      await flip(join(folder, name));
      await assert.rejects(openModel({ registry_dir: dir, model_dir: folder }), isIt);
      await assert.rejects(registry.add(folder, alice, AT_US), isIt);
      // To take it out of use nobody has to mend it.
      await act({ action: "retire", model: ONE, reason: "tampered with" }, alice);
      assert.equal(await stageOf(ONE), "retired");
    });
  }

  test("is refused without a signature, with another model's, and with a later one of its maker's", async () => {
    const [alice, bob] = [await person("alice", "maker"), await person("bob", "approver")];
    const folder = await model(ONE, alice);
    await registry.add(folder, alice, AT_US);
    await approve(ONE, bob);
    await promote(ONE, bob);
    await rm(join(folder, SIGNATURE_FILE));
    await refused(openModel({ registry_dir: dir, model_dir: folder }), "unsigned", /signature\.json.*models -- sign/);
    const other = await model(TWO, alice);
    await cp(join(other, SIGNATURE_FILE), join(dir, ONE, SIGNATURE_FILE));
    await refused(openModel({ registry_dir: dir }), "tampered");
    // What was approved is what is used, not what the maker signs afterwards.
    await signFolder(join(dir, ONE), alice, AT_US + 1);
    await refused(openModel({ registry_dir: dir }), "tampered", /not the one that alice added/);
  });

  test("is refused when its signer is not trusted (any more), unless the log had named it", async () => {
    const [alice, bob] = [await person("alice", "maker"), await person("bob", "approver")];
    const { signer: mallory } = newSigner("mallory");
    const hers = await model(TWO, mallory);
    await refused(openModel({ registry_dir: dir, model_dir: hers }), "unknown_key", /mallory.*models -- trust/);
    const folder = await model(ONE, alice);
    await registry.add(folder, alice, AT_US);
    await approve(ONE, bob);
    await registry.distrust("alice");
    await promote(ONE, bob);
    assert.equal((await openModel({ registry_dir: dir })).signer.name, "alice");
    await refused(openModel({ registry_dir: dir, model_dir: await model(TWO, alice) }), "not_allowed", /any more/);
    await refused(act({ action: "retire", model: ONE, reason: "x" }, alice), "not_allowed");
  });

  test("is refused with a log that was cut short in the middle, or whose keys are damaged", async () => {
    const alice = await person("alice", "maker");
    const log = join(dir, LOG_FILE);
    await registry.add(await model(ONE, alice), alice, AT_US);
    const { size } = await stat(log);
    await truncate(log, size >> 1);
    await refused(openModel({ registry_dir: dir }), "format", /registry\.json/);
    await rm(log);
    await truncate(join(dir, KEYS_FILE), 40);
    await refused(openModel({ registry_dir: dir }), "format", /trusted_keys\.json/);
  });
});

describe("keys", () => {
  test("of a person are private, never overwritten, and not used when others can read them", async () => {
    const file = join(root, `${n++}`, "alice.key");
    const made = await makeKeyFiles("alice", file);
    assert.deepEqual([(await stat(file)).mode & 0o777, (await stat(`${file}.pub`)).mode & 0o777], [0o600, 0o644]);
    assert.equal((await readPublicKey(`${file}.pub`)).public_key, made.public_key);
    assert.equal((await readSigner(file)).name, "alice");
    await refused(makeKeyFiles("alice", file), "exists");
    await chmod(file, 0o640);
    await refused(readSigner(file), "key", /chmod 600/);
    await refused(readSigner(`${file}.none`), "key");
    await refused(makeKeyFiles("a b", `${file}2`), "key");
    await writeFile(`${file}.bad`, '{"name": "alice", "private_key": "-----', { mode: 0o600 });
    await refused(readSigner(`${file}.bad`), "key");
    await refused(readPublicKey(file), "format");
  });

  test("are of one name and one person; a role is not taken away below what was done with it", async () => {
    const [alice, bob] = [newSigner("alice"), newSigner("bob")];
    await registry.trust({ name: "alice", public_key: alice.public_key }, "maker");
    await refused(registry.trust({ name: "alice", public_key: bob.public_key }, "maker"), "exists", /another key/);
    await refused(registry.trust({ name: "bob", public_key: alice.public_key }, "approver"), "exists", /alice/);
    await registry.trust({ name: "alice", public_key: alice.public_key }, "approver");
    await registry.add(await model(ONE, alice.signer), alice.signer, AT_US);
    await registry.trust({ name: "alice", public_key: alice.public_key }, "maker");
    await refused(
      registry.trust({ name: "alice", public_key: alice.public_key }, "trainer"),
      "not_allowed",
      /distrust/,
    );
    await refused(registry.distrust("nobody"), "unknown_key");
  });

  test("of an installation are made once, trusted to sign models, and lie outside of the registry", async () => {
    const two = await Promise.all([installationSigner(dir), installationSigner(dir)]);
    assert.ok(two[0].key.equals(two[1].key));
    const file = join(dir, "..", "installation.key");
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(dir), [KEYS_FILE]);
    const folder = await model(ONE, two[0]);
    const opened = await openModel({ registry_dir: dir, model_dir: folder });
    assert.deepEqual([opened.stage, opened.signer.name], ["named", "installation"]);
    await refused(registry.add(folder, two[0], AT_US), "not_allowed", /trainer/);
    // Another registry's keys are believed for models when they are named.
    const elsewhere = { registry_dir: join(root, "nowhere"), model_dir: folder };
    await refused(openModel(elsewhere), "unknown_key");
    assert.equal((await openModel({ ...elsewhere, trusted_keys: [join(dir, KEYS_FILE)] })).dir, folder);
    assert.ok(!existsSync(elsewhere.registry_dir), "opening makes nothing");
    // A lost key is replaced, and what it signed stays good; one that is distrusted is not used.
    await rm(file);
    assert.equal((await installationSigner(dir)).name, "installation-2");
    assert.equal((await openModel({ registry_dir: dir, model_dir: folder })).signer.name, "installation");
    await registry.distrust("installation-2");
    await refused(installationSigner(dir), "unknown_key", /installation-2/);
  });
});
