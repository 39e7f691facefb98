import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PassiveFiles } from "./passive_files.ts";

/** Bytes that tell where they lie. */
function piece(offset: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => ((offset + i) * 2654435761) >>> 13);
}

test("what was appended is read, from memory, files and across both; forgotten and closed logs are told", async () => {
  const dir = mkdtempSync(join(tmpdir(), "fg-passive-"));
  const files = new PassiveFiles(join(dir, "passive"), (e) => assert.fail(e));
  const log = files.open(0);
  const total = 3 << 20;
  while (log.end < total) log.append(piece(log.end, 1 + (log.end % 70_001)));
  const same = async (): Promise<void> => {
    for (let at = 0; at + 70_000 < total; at += 149_993) {
      const want = piece(at, 70_000);
      assert.deepEqual(new Uint8Array(log.readNow(at, 70_000)), want);
      assert.deepEqual(new Uint8Array(await log.read(at, 70_000)), want);
    }
  };
  await same();
  for (let i = 0; i < 500 && log.waiting > 512 * 1024; i++) await new Promise((done) => setTimeout(done, 10));
  assert.ok(log.waiting <= 512 * 1024, "what is whole is written");
  await same();
  assert.deepEqual(new Uint8Array(log.readNow(0, total)), piece(0, total));
  await assert.rejects(log.read(log.end - 5, 6), /no bytes/);
  assert.deepEqual(readdirSync(join(dir, "passive", "shard-0")), [], "nothing is left when the process ends");
  log.forget(64 << 20);
  await assert.rejects(log.read(0, 10), /no bytes/);
  files.open(0);
  await assert.rejects(log.read(log.end - 5, 5), /no bytes/);
  files.close();
  rmSync(dir, { recursive: true });
});

test("what cannot be written stays in memory and is told", async () => {
  const dir = mkdtempSync(join(tmpdir(), "fg-passive-"));
  const failures: Error[] = [];
  const files = new PassiveFiles(join(dir, "passive"), (e) => failures.push(e));
  // A file where the folder should be.
  writeFileSync(join(dir, "passive"), "");
  const log = files.open(0);
  while (log.end < 1 << 20) log.append(piece(log.end, 4096));
  assert.ok(failures.length > 0);
  assert.equal(log.waiting, 1 << 20);
  assert.deepEqual(new Uint8Array(await log.read(5000, 300_000)), piece(5000, 300_000));
  rmSync(join(dir, "passive"));
  for (let i = 0; i < 300 && log.waiting > 512 * 1024; i++) await new Promise((done) => setTimeout(done, 10));
  assert.equal(log.waiting, 0, "written when it can be");
  assert.deepEqual(new Uint8Array(await log.read(5000, 300_000)), piece(5000, 300_000));
  files.close();
  rmSync(dir, { recursive: true });
});
