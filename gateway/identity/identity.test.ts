import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { packCurrency } from "../../proto/columns.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { createDemoTenant, createTenantKey, openIdentity } from "./identity.ts";
import { AuthenticationFailure, IdentityError } from "./identity_error.ts";
import { loadRateTable, parseRateTable, ratesInto } from "./rate_table.ts";

function folder(t: { after(f: () => void): void }): { tenants_path: string; secrets_path: string } {
  const at = mkdtempSync(join(tmpdir(), "fraudguard-identity-"));
  t.after(() => rmSync(at, { recursive: true }));
  return { tenants_path: join(at, "tenants.json"), secrets_path: join(at, "secrets.json") };
}

function reason(answer: Tenant | AuthenticationFailure): string {
  return answer instanceof AuthenticationFailure ? answer.reason : `tenant ${answer.id}`;
}

test("a key opens its tenant; everything else says why not", (t) => {
  const paths = folder(t);
  const acme = createTenantKey(paths.tenants_path, { id: "acme", base_currency: "JPY", stand_in: "NONE" });
  const second = createTenantKey(paths.tenants_path, { id: "acme", base_currency: "EUR" });
  const other = createTenantKey(paths.tenants_path, { id: "other" });
  const identity = openIdentity(paths);
  assert.deepEqual(
    identity.tenants.map((x) => [x.index, x.id, x.base_currency]),
    [
      [0, "acme", "JPY"],
      [1, "other", "USD"],
    ],
  );
  assert.equal(identity.tenants[0].stand_in_outcome, 0);
  assert.equal(identity.tenants[1].stand_in_outcome, 3);
  for (const header of [`Bearer ${acme.key}`, `bearer  ${acme.key}`, `Bearer ${second.key}`]) {
    assert.equal(reason(identity.authenticate(header)), "tenant acme");
    assert.equal(identity.authenticate(header), identity.authenticate(header));
  }
  assert.equal(reason(identity.authenticate(`Bearer ${other.key}`)), "tenant other");
  assert.equal(reason(identity.authenticate(undefined)), "missing");
  assert.equal(reason(identity.authenticate("Basic abc")), "malformed");
  assert.equal(reason(identity.authenticate(`Bearer ${"x".repeat(300)}`)), "malformed");
  assert.equal(
    reason(identity.authenticate(`Bearer ${acme.key.slice(0, -1)}${acme.key.endsWith("A") ? "B" : "A"}`)),
    "unknown",
  );
  assert.equal(reason(identity.authenticate(`Bearer fg_${"0".repeat(12)}_${"A".repeat(43)}`)), "unknown");
  const file = JSON.parse(readFileSync(paths.tenants_path, "utf8"));
  file.tenants[0].keys[0].disabled = true;
  writeFileSync(paths.tenants_path, JSON.stringify(file));
  assert.equal(reason(openIdentity(paths).authenticate(`Bearer ${acme.key}`)), "disabled");
});

test("keys are stored as digests only; secrets lie apart, are kept, and must be private", (t) => {
  const paths = folder(t);
  const made = createTenantKey(paths.tenants_path, { id: "acme" });
  const first = openIdentity(paths).tenants[0];
  assert.ok(!readFileSync(paths.tenants_path, "utf8").includes(made.key));
  assert.equal(statSync(paths.secrets_path).mode & 0o777, 0o600);
  assert.equal(first.seal_key.length, 32);
  createTenantKey(paths.tenants_path, { id: "late" });
  const [again, late] = openIdentity(paths).tenants;
  assert.deepEqual([again.hash_key, again.seal_key], [first.hash_key, first.seal_key]);
  assert.notDeepEqual(late.hash_key, first.hash_key);
  for (const word of first.hash_key) assert.ok(Number.isInteger(word) && word >= 0 && word <= 0xffffffff);
  chmodSync(paths.secrets_path, 0o644);
  assert.throws(() => openIdentity(paths), IdentityError);
});

test("a demo tenant's newest keys work, so that a restart does not turn its clients away", (t) => {
  const paths = folder(t);
  const keys = Array.from({ length: 6 }, () => createDemoTenant(paths.tenants_path).key);
  const identity = openIdentity(paths);
  const told = keys.map((key) => reason(identity.authenticate(`Bearer ${key}`)));
  assert.deepEqual(told, ["unknown", "unknown", "tenant demo", "tenant demo", "tenant demo", "tenant demo"]);
  assert.equal(identity.tenants[0].magic_cards, true);
  assert.equal(identity.tenants[0].attributes.get("basket_items")?.slot, 0);
});

test("broken tenant files are refused by name", (t) => {
  const paths = folder(t);
  createTenantKey(paths.tenants_path, { id: "acme" });
  const good = JSON.parse(readFileSync(paths.tenants_path, "utf8"));
  const broken: [object, RegExp][] = [
    [{ id: "a b" }, /id must be/],
    [{ base_currency: "euro" }, /base_currency/],
    [{ base_currency: "XXX" }, /no rate for the base currency XXX/],
    [{ stand_in: "MAYBE" }, /stand_in/],
    [{ deadline_ms: 5 }, /deadline_ms/],
    [{ keys: [{ id: "x", sha256: "y" }] }, /key needs/],
    [{ attributes: [{ name: "a", type: "string", slot: 1 }] }, /slot holds/],
    [{ attributes: [{ name: "a", type: "number", slot: 4 }] }, /slot must be/],
  ];
  for (const [change, message] of broken) {
    writeFileSync(paths.tenants_path, JSON.stringify({ ...good, tenants: [{ ...good.tenants[0], ...change }] }));
    assert.throws(
      () => openIdentity(paths),
      (e) => e instanceof IdentityError && message.test(e.message),
    );
  }
  writeFileSync(paths.tenants_path, "{");
  assert.throws(() => openIdentity(paths), /is not JSON/);
});

test("rates turn minor units of one currency into minor units of another", () => {
  const table = parseRateTable({
    version: "v",
    base: "USD",
    currencies: {
      USD: { exponent: 2, per_base: 1 },
      JPY: { exponent: 0, per_base: 150 },
      KWD: { exponent: 3, per_base: 0.3 },
      EUR: { exponent: 2, per_base: 0.9 },
    },
  });
  const toUsd = ratesInto(table, "USD");
  // 150 yen are one dollar: 100 cents. 300 fils are one dollar. 90 euro cents are 100 cents.
  assert.equal(Math.round(150 * toUsd[packCurrency("JPY")]), 100);
  assert.equal(Math.round(300 * toUsd[packCurrency("KWD")]), 100);
  assert.equal(Math.round(90 * toUsd[packCurrency("EUR")]), 100);
  assert.equal(toUsd[packCurrency("USD")], 1);
  assert.ok(Number.isNaN(toUsd[packCurrency("CHF")]));
  const toYen = ratesInto(table, "JPY");
  assert.equal(Math.round(100 * toYen[packCurrency("USD")]), 150);
  assert.throws(() => parseRateTable({ version: "v", base: "USD", currencies: { USD: { exponent: 2, per_base: 2 } } }));
});

test("the shipped table is complete and says that it is illustrative", () => {
  const table = loadRateTable();
  assert.match(table.version, /illustrative/);
  assert.ok(table.currencies.size >= 35);
  assert.deepEqual([table.currencies.get("JPY")?.exponent, table.currencies.get("KWD")?.exponent], [0, 3]);
});

test("a file that holds nothing is refused, not made anew with other secrets", (t) => {
  const paths = folder(t);
  createTenantKey(paths.tenants_path, { id: "acme" });
  openIdentity(paths);
  writeFileSync(paths.secrets_path, "null");
  assert.throws(() => openIdentity(paths), IdentityError);
  assert.equal(readFileSync(paths.secrets_path, "utf8"), "null");
  writeFileSync(paths.tenants_path, "null");
  assert.throws(() => openIdentity(paths), /holds nothing/);
});
