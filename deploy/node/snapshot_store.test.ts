/** The snapshot contract on files and on an S3-compatible server, and the addresses that name a store. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { S3mini } from "s3mini";
import { SnapshotsUnavailable, SnapshotUnusable } from "../../runtime/ports.ts";
import { snapshotContract } from "../../runtime/testkit/snapshot_contract.ts";
import { type ObjectStoreEngine, startObjectStore } from "../engines/object_store.ts";
import { scratchDir } from "../engines/testkit.ts";
import { SnapshotBucket } from "./snapshot_bucket.ts";
import { SnapshotFiles } from "./snapshot_files.ts";
import { checkStore, SnapshotUrlError, snapshotStore } from "./snapshot_url.ts";

snapshotContract("snapshots as files", async () => {
  const dir = await mkdtemp(join(tmpdir(), "fraudguard-test-"));
  const close = () => rm(dir, { recursive: true });
  return { store: new SnapshotFiles(dir), other: new SnapshotFiles(dir), close };
});

const BUCKET = "fraud";
let server: Promise<ObjectStoreEngine> | null = null;
let used = 0;

/** One server for all tests, each with a prefix of its own. */
function objectStore(): Promise<ObjectStoreEngine> {
  server ??= mkdtemp(join(tmpdir(), "fraudguard-test-")).then((data_dir) =>
    startObjectStore({ data_dir, port: 0, bucket: BUCKET }),
  );
  return server;
}

after(async () => {
  const running = await server;
  await running?.stop();
  if (running !== null) await rm(running.data_dir, { recursive: true, force: true });
});

function bucketOf(s: ObjectStoreEngine, prefix: string, secret = s.secret_access_key): SnapshotBucket {
  const { url, access_key_id } = s;
  const keys = { access_key_id, secret_access_key: secret };
  // Parts far smaller than in service, so that every snapshot has many.
  return new SnapshotBucket({ endpoint: `${url}/${BUCKET}`, prefix, region: "us-east-1", ...keys, part_bytes: 70_000 });
}

snapshotContract("snapshots in an object store", async () => {
  const s = await objectStore();
  const prefix = `test ${++used}/a+b/`;
  return { store: bucketOf(s, prefix), other: bucketOf(s, prefix), close: async () => {} };
});

test("an object store that refuses, or has no such bucket, does not pass for an empty one", async () => {
  const s = await objectStore();
  await assert.rejects(bucketOf(s, "", "wrong").list(0), SnapshotsUnavailable);
  const env = {
    AWS_ACCESS_KEY_ID: s.access_key_id,
    AWS_SECRET_ACCESS_KEY: s.secret_access_key,
    AWS_ENDPOINT_URL_S3: `${s.url}/`,
  };
  const there = snapshotStore(`s3://${BUCKET}/by/url/`, env);
  await checkStore(there, "");
  const out = await there.create(4, "n");
  await out.write(Buffer.from("abc"));
  for await (const part of out.readBack()) assert.equal(Buffer.from(part).toString(), "abc");
  await out.publish();
  assert.deepEqual(await bucketOf(s, "by/url/").list(4), ["n"]);
  const elsewhere = snapshotStore("s3://nowhere", env);
  await assert.rejects(checkStore(elsewhere, "s3://nowhere"), /s3:\/\/nowhere: the bucket nowhere is not there/);
});

test("an object of a published snapshot that is gone, or a mark that is none, makes that one unusable", async () => {
  const s = await objectStore();
  const store = bucketOf(s, "gone/");
  const out = await store.create(0, "n");
  await out.write(new Uint8Array(200_000));
  for await (const _ of out.readBack()) void _;
  await out.publish();
  const keys = { accessKeyId: s.access_key_id, secretAccessKey: s.secret_access_key };
  const api = new S3mini({ endpoint: `${s.url}/${BUCKET}`, region: "us-east-1", ...keys });
  await api.deleteObject("gone/shard-0/n.part-0000002");
  const read = async () => {
    for await (const _ of store.read(0, "n")) void _;
  };
  await assert.rejects(read, SnapshotUnusable);
  await api.putObject("gone/shard-0/n.snapshot", '{"parts":1e99}');
  await assert.rejects(read, /does not name its parts/);
});

/** A server of objects; `answer` may keep an answer to itself (null), or give another status when it is done. */
async function objectServer(t: TestContext, answer: (method: string, key: string) => number | null) {
  const objects = new Map<string, Buffer>();
  let requests = 0;
  const server = createServer(async (request, response) => {
    requests++;
    const key = decodeURIComponent((request.url ?? "").split("?")[0]);
    const body: Buffer[] = [];
    for await (const part of request) body.push(part);
    const method = request.method ?? "";
    const status = answer(method, key);
    if (status === null) return;
    if (method === "PUT") objects.set(key, Buffer.concat(body));
    else if (method === "DELETE" && status < 300) objects.delete(key);
    const found = objects.get(key);
    response.writeHead(method === "GET" && found === undefined ? 404 : status, { etag: '"e"' });
    response.end(method === "GET" ? found : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const keys = { access_key_id: "a", secret_access_key: "b", region: "us-east-1" };
  const url = { endpoint: `http://127.0.0.1:${port}/${BUCKET}`, prefix: "" };
  const store = new SnapshotBucket({ ...url, ...keys, part_bytes: 1000, request_ms: 200 });
  return { store, objects, requests: () => requests };
}

test("what was published and not answered for is discarded mark first: a listed one is whole", async (t) => {
  let isDeleted = true;
  const { store, objects } = await objectServer(t, (method, key) => {
    if (method === "GET" || !key.endsWith(".snapshot")) return 200;
    // The mark is stored, and the answer is an error.
    if (method === "PUT") return 403;
    return isDeleted ? 204 : 403;
  });
  const bytes = Buffer.alloc(3500, 7);
  const out = async () => {
    const writer = await store.create(0, "n");
    await writer.write(bytes);
    for await (const _ of writer.readBack()) void _;
    await assert.rejects(writer.publish(), SnapshotsUnavailable);
    return writer;
  };
  const first = await out();
  assert.equal(objects.size, 5);
  await first.discard();
  assert.equal(objects.size, 0);
  const second = await out();
  isDeleted = false;
  await assert.rejects(second.discard(), SnapshotsUnavailable);
  const read: Uint8Array[] = [];
  for await (const part of store.read(0, "n")) read.push(part);
  assert.ok(Buffer.concat(read).equals(bytes), "its mark stands, and so does all of it");
});

test("a server that answers nothing is asked twice", async (t) => {
  const { store, requests } = await objectServer(t, () => null);
  await assert.rejects(store.list(0), SnapshotsUnavailable);
  assert.equal(requests(), 2);
});

test("a folder that cannot be read does not pass for an empty one", async (t) => {
  const dir = await scratchDir(t);
  await mkdir(join(dir, "shard-0"));
  await writeFile(join(dir, "shard-1"), "");
  const store = snapshotStore(pathToFileURL(dir).href, {});
  assert.deepEqual(await store.list(0), []);
  await assert.rejects(store.list(1), SnapshotsUnavailable);
});

test("an address names a store, or says what is wrong with it", () => {
  const keys = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" };
  assert.ok(snapshotStore("file:///var/snapshots", {}) instanceof SnapshotFiles);
  assert.ok(snapshotStore("s3://bucket", keys) instanceof SnapshotBucket);
  const wrong: [string, NodeJS.ProcessEnv, RegExp][] = [
    ["/var/snapshots", keys, /is not file:/],
    ["file://host/var", keys, /is not file:/],
    ["http://bucket", keys, /is not file:/],
    ["s3://", keys, /is not file:/],
    ["s3://user:pass@bucket", keys, /takes no keys/],
    ["s3://bucket", { AWS_ACCESS_KEY_ID: "a" }, /needs AWS_SECRET_ACCESS_KEY/],
    ["s3://bucket", { ...keys, AWS_SESSION_TOKEN: "t" }, /not supported/],
    ["s3://bucket", { ...keys, AWS_ENDPOINT_URL: "minio:9000" }, /not an http address/],
  ];
  for (const [url, env, words] of wrong) {
    assert.throws(
      () => snapshotStore(url, env),
      (e: Error) => e instanceof SnapshotUrlError && words.test(e.message),
      url,
    );
  }
});
