/** Reasons of old decisions by the rule sets that nodes keep: their own, and those of others. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { compileRuleSet } from "../../actors/rules/compile.ts";
import { NodeTexts } from "./decision_texts.ts";
import { DEFAULT_RULES } from "./fraud_node.ts";

const RULES = compileRuleSet(JSON.parse(readFileSync(DEFAULT_RULES, "utf8")));
const VERSIONS = { model: "m", rule_set: RULES.version, rates: "", features: "" };

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "fraudguard-texts-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What a decision of the rule set tells of its first rule. */
function toldBy(texts: NodeTexts): string {
  texts.add(0, VERSIONS);
  return Buffer.from(texts.version(0).ruleReasons[RULES.rules[0].bit]).toString("latin1");
}

test("a node that never decided by a rule set tells its reasons as the one that did", (t) => {
  const folder = scratch(t);
  const shared = join(folder, "rule-sets");
  const first = new NodeTexts(join(folder, "node-1", "rule-sets"), shared);
  assert.match(toldBy(new NodeTexts(join(folder, "node-2", "rule-sets"), shared)), /a rule of an older rule set/);
  first.keep(RULES);
  const told = toldBy(first);
  assert.doesNotMatch(told, /a rule of an older rule set/);
  assert.equal(toldBy(new NodeTexts(join(folder, "node-3", "rule-sets"), shared)), told);
  assert.deepEqual(readdirSync(shared).length, 1, "nothing is left beside it");
});

test("what a node archived before there was a shared archive goes there at its next start", (t) => {
  const folder = scratch(t);
  new NodeTexts(join(folder, "node-1")).keep(RULES);
  const shared = join(folder, "rule-sets");
  new NodeTexts(join(folder, "node-1"), shared);
  assert.doesNotMatch(toldBy(new NodeTexts(join(folder, "node-2"), shared)), /a rule of an older rule set/);
});

test("a shared archive that cannot be written is told, and the node has its own", (t) => {
  const folder = scratch(t);
  mkdirSync(join(folder, "node-1"));
  writeFileSync(join(folder, "file"), "");
  const told: Error[] = [];
  const texts = new NodeTexts(join(folder, "node-1"), join(folder, "file"), (e) => told.push(e));
  texts.keep(RULES);
  assert.equal(told.length, 1);
  assert.doesNotMatch(toldBy(texts), /a rule of an older rule set/);
});
