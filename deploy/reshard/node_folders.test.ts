/** Folders that are told of another number of shards: those of nodes, and one that was restored and never started. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { tellNodeFolders } from "./node_folders.ts";

test("a restored folder and the nodes in it name the new number; their snapshots are set aside once", async (t) => {
  const data_dir = mkdtempSync(join(tmpdir(), "fraudguard-folders-"));
  t.after(() => rmSync(data_dir, { recursive: true, force: true }));
  const node = join(data_dir, "node-1");
  mkdirSync(node);
  mkdirSync(join(data_dir, "snapshots"));
  writeFileSync(join(node, "node-id"), "node-1\n");
  writeFileSync(join(data_dir, "shards"), "2\n");
  assert.deepEqual(await tellNodeFolders(data_dir, 4), [data_dir], "a node that never started has nothing to be told");
  writeFileSync(join(node, "shards"), "2\n");
  mkdirSync(join(node, "snapshots"));
  assert.deepEqual(await tellNodeFolders(data_dir, 4), [node]);
  assert.deepEqual(await tellNodeFolders(data_dir, 4), []);
  const kept = (folder: string): string[] => readdirSync(folder).filter((name) => name.startsWith("snapshots"));
  assert.deepEqual([kept(data_dir), kept(node)], [["snapshots.of-2-shards"], ["snapshots.of-2-shards"]]);
  assert.equal(readFileSync(join(data_dir, "shards"), "utf8"), "4\n");
});
