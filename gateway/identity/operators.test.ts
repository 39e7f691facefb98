import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createTenantKey } from "./identity.ts";
import { AuthenticationFailure, IdentityError } from "./identity_error.ts";
import { openOperators, replaceOperatorKey } from "./operators.ts";

function folder(t: { after(f: () => void): void }): string {
  const at = mkdtempSync(join(tmpdir(), "fraudguard-operators-"));
  t.after(() => rmSync(at, { recursive: true }));
  return at;
}

function told(answer: string | AuthenticationFailure): string {
  return answer instanceof AuthenticationFailure ? answer.reason : `operator ${answer}`;
}

test("an operator's newest key opens, everything else says why not; only digests are kept", (t) => {
  const at = folder(t);
  const path = join(at, "operators.json");
  const nobody = openOperators(path);
  const first = replaceOperatorKey(path, "ann");
  const bob = replaceOperatorKey(path, "bob@example.org");
  const second = replaceOperatorKey(path, "ann");
  const tenant = createTenantKey(join(at, "tenants.json"), { id: "acme" });
  const operators = openOperators(path);
  const ask = (key: string): string => told(operators.authenticate(`Bearer ${key}`));
  assert.deepEqual([ask(second.key), ask(bob.key)], ["operator ann", "operator bob@example.org"]);
  assert.deepEqual([ask(first.key), ask(tenant.key), ask(`${second.key.slice(0, 16)}_`)], Array(3).fill("unknown"));
  assert.equal(told(nobody.authenticate(`Bearer ${second.key}`)), "unknown");
  assert.equal(told(operators.authenticate(undefined)), "missing");
  assert.equal(told(operators.authenticate(`Basic ${second.key}`)), "malformed");
  assert.ok(![second, bob].some(({ key }) => readFileSync(path, "utf8").includes(key)));
  const file = JSON.parse(readFileSync(path, "utf8"));
  file.operators[0].keys[0].disabled = true;
  writeFileSync(path, JSON.stringify(file));
  assert.equal(told(openOperators(path).authenticate(`Bearer ${bob.key}`)), "disabled");
});

test("broken operator files are refused by name", (t) => {
  const path = join(folder(t), "operators.json");
  replaceOperatorKey(path, "ann");
  const good = JSON.parse(readFileSync(path, "utf8"));
  const [ann] = good.operators;
  const broken: [object, RegExp][] = [
    [{ operators: [{ ...ann, name: "a b" }] }, /name must be/],
    [{ operators: [ann, ann] }, /listed twice/],
    [{ operators: [ann, { ...ann, name: "bob" }] }, /listed twice/],
    [{ operators: [{ ...ann, role: "reader" }] }, /role must be admin/],
    [{ operators: [{ ...ann, keys: [{ id: "x", sha256: "y" }] }] }, /key needs/],
    [{ operators: [{ ...ann, keys: [null] }] }, /key needs/],
    [{ operators: [null] }, /name must be/],
    [{ format: 2 }, /unknown format/],
  ];
  for (const [change, message] of broken) {
    writeFileSync(path, JSON.stringify({ ...good, ...change }));
    assert.throws(
      () => openOperators(path),
      (e) => e instanceof IdentityError && message.test(e.message),
      JSON.stringify(change),
    );
  }
  assert.throws(() => replaceOperatorKey(join(folder(t), "new.json"), "a b"), /name must be/);
});
