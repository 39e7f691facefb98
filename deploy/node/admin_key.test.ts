import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openOperators } from "../../gateway/identity/operators.ts";
import { keepAdminKey, OPERATORS_FILE } from "./admin_key.ts";

test("the local operator's key is private and kept; without its file there is another, and the old one ends", (t) => {
  const at = mkdtempSync(join(tmpdir(), "fraudguard-admin-key-"));
  t.after(() => rmSync(at, { recursive: true }));
  const keyNow = (): string => readFileSync(keepAdminKey(at), "utf8").trim();
  const who = (key: string): unknown => openOperators(join(at, OPERATORS_FILE)).authenticate(`Bearer ${key}`);
  const first = keyNow();
  assert.equal(statSync(join(at, "admin.key")).mode & 0o777, 0o600);
  assert.deepEqual([keyNow(), who(first)], [first, "admin"]);
  rmSync(join(at, "admin.key"));
  const second = keyNow();
  assert.equal(who(second), "admin");
  assert.notEqual(who(first), "admin");
  // Restored from elsewhere without its operators: the key would open nothing.
  rmSync(join(at, OPERATORS_FILE));
  assert.equal(who(keyNow()), "admin");
});
