/** The quarantine outlives its process, and a file that somebody broke is not taken for an empty one. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { QuarantineFile } from "./quarantine_file.ts";

const ROW = { shard: 3, kind: 0, userHi: 1, userLo: 2, idHi: 3, idLo: 4, sinceUs: 5e15, message: "poison" };

test("rows are read back; none are there without a file; a broken file is named", () => {
  const dir = mkdtempSync(join(tmpdir(), "fraudguard-quarantine-"));
  try {
    const file = join(dir, "quarantine.json");
    assert.deepEqual(new QuarantineFile(file).read(), []);
    new QuarantineFile(file).write([ROW, { ...ROW, idLo: 5 }]);
    assert.deepEqual(new QuarantineFile(file).read(), [ROW, { ...ROW, idLo: 5 }]);
    for (const text of ["[", "{}", '[{"shard":1}]', JSON.stringify([{ ...ROW, idLo: "4" }])]) {
      writeFileSync(file, text);
      assert.throws(() => new QuarantineFile(file).read(), /quarantine.json cannot be read .*: mend or remove it/);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});
