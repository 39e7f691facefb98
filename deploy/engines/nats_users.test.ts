/** Users and certificates of the local nats-server: where the secrets lie, and what becomes of an older store. */
import assert from "node:assert/strict";
import { createPublicKey, X509Certificate } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connectNats } from "../../runtime/nats/connection.ts";
import { certify, keptCertificates, makeAuthority } from "./certificates.ts";
import { startNats } from "./nats.ts";
import { credentialsFile, keptNatsUsers, natsInbox } from "./nats_users.ts";
import { scratchDir } from "./testkit.ts";

test("passwords are made once, lie in files that only their owner reads, and each role has only its own", async (t) => {
  const dir = join(await scratchDir(t), "users");
  const passwords = await keptNatsUsers(dir);
  assert.deepEqual(await keptNatsUsers(dir), passwords);
  assert.equal(new Set(Object.values(passwords)).size, Object.keys(passwords).length);
  assert.equal((await stat(dir)).mode & 0o777, 0o700);
  for (const file of await readdir(dir)) assert.equal((await stat(join(dir, file))).mode & 0o777, 0o600, file);
  const gateway = JSON.parse(await readFile(credentialsFile(dir, "gateway"), "utf8"));
  assert.deepEqual(gateway, { traffic: { user: "gateway", password: passwords["gateway"] } });
});

test("a file of passwords that is damaged is named, and left as it is", async (t) => {
  const dir = join(await scratchDir(t), "users");
  await keptNatsUsers(dir);
  for (const text of ["", "null", "[1"]) {
    await writeFile(join(dir, "users.json"), text);
    await assert.rejects(keptNatsUsers(dir), /users\.json is not a file of passwords: remove it for new ones/, text);
    assert.equal(await readFile(join(dir, "users.json"), "utf8"), text);
  }
});

test("a store made without users keeps its streams, each in its account; no password is told", async (t) => {
  const root = await scratchDir(t);
  const [data_dir, users_dir] = [join(root, "nats"), join(root, "users")];
  const streams = { FG_J0: "fg.j.0.1", FRAUD_ANALYSIS: "fraud.analysis.events" };
  const before = await startNats({ data_dir, port: 0 });
  const open = await connectNats({ servers: before.url.replace("nats://", "") });
  const manager = await jetstreamManager(open.client);
  for (const [name, subject] of Object.entries(streams)) {
    await manager.streams.add({ name, subjects: [subject] });
    await jetstream(open.client).publish(subject, "kept");
  }
  await open.close();
  await before.stop();

  const engine = await startNats({ data_dir, port: 0, users_dir });
  t.after(() => engine.stop());
  const passwords = await keptNatsUsers(users_dir);
  const servers = engine.url.replace("nats://", "");
  await assert.rejects(connectNats({ servers }), { name: "NatsConnectError", code: "credentials" });
  for (const [user, stream] of [
    ["shard", "FG_J0"],
    ["client", "FRAUD_ANALYSIS"],
  ] as const) {
    const link = await connectNats({ servers, user, password: passwords[user], inbox_prefix: natsInbox(user) });
    const reply = (await link.client.request(`$JS.API.STREAM.INFO.${stream}`)).json() as {
      state: { messages: number };
    };
    assert.equal(reply.state?.messages, 1, JSON.stringify(reply));
    await link.close();
  }
  const said = `${await readFile(`/proc/${engine.pid}/cmdline`, "utf8")}${await readFile(engine.log_file, "utf8")}`;
  for (const password of Object.values(passwords)) assert.ok(!said.includes(password));
});

test("a certificate is vouched for by its authority and no other, and good for its names only", () => {
  const [authority, other] = [makeAuthority("ours"), makeAuthority("another")];
  const server = certify(authority, "server", { dns: ["localhost"], ips: ["127.0.0.1"] });
  const seen = new X509Certificate(server.certificate);
  const keyOf = (a: typeof authority) => createPublicKey(a.key);
  assert.ok(seen.verify(keyOf(authority)) && !seen.verify(keyOf(other)));
  assert.ok(seen.checkIssued(new X509Certificate(authority.certificate)));
  assert.ok(seen.checkPrivateKey(server.key) && !seen.ca && new X509Certificate(authority.certificate).ca);
  assert.deepEqual([seen.checkHost("localhost"), seen.checkIP("127.0.0.1")], ["localhost", "127.0.0.1"]);
  assert.deepEqual([seen.checkHost("elsewhere"), seen.checkIP("127.0.0.2")], [undefined, undefined]);
  assert.ok(Date.parse(seen.validFrom) < Date.now() && Date.parse(seen.validTo) > Date.now() + 365 * 86_400_000);
});

test("certificates are made once, and keys are read by their owner only", async (t) => {
  const dir = join(await scratchDir(t), "tls");
  const files = await keptCertificates(dir);
  const text = await readFile(files.cert_file, "utf8");
  assert.deepEqual(await keptCertificates(dir), files);
  assert.equal(await readFile(files.cert_file, "utf8"), text);
  for (const file of await readdir(dir)) assert.equal((await stat(join(dir, file))).mode & 0o777, 0o600, file);
});
