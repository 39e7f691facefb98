/** The tenants, the shipped model and the shipped rules that simulated nodes run. */
import { readFileSync } from "node:fs";
import { FEATURES } from "../../actors/features/registry.ts";
import { loadModel } from "../../actors/inference/model.ts";
import { compileRuleSet } from "../../actors/rules/compile.ts";
import { featureReason, ruleReason } from "../../actors/rules/reasons.ts";
import { DEFAULT_MODEL, DEFAULT_RULES } from "../../deploy/node/fraud_node.ts";
import { type DecisionTexts, reasonField, reasonHead, versionFields } from "../../gateway/codec/reason_texts.ts";
import { makeIdentity } from "../../gateway/identity/identity.ts";
import { loadRateTable } from "../../gateway/identity/rate_table.ts";
import type { AttributeDeclaration } from "../../proto/tenant.ts";
import type { SimProgram } from "../sim/sim_process.ts";

/** One tenant stands in with REVIEW at the deadline, the other with nothing. */
const RECORDS = [
  { id: "acme", stand_in: "REVIEW", base_currency: "EUR", deadline_ms: 1000 },
  { id: "other", stand_in: "NONE", base_currency: "USD", deadline_ms: 1000 },
] as const;

export function loadProgram(): Promise<SimProgram> {
  return programWith([]);
}

/** The same with an attribute that the tenants declare. */
export function goldenProgram(): Promise<SimProgram> {
  return programWith([{ name: "basket_items", type: "number", slot: 0 }]);
}

async function programWith(attributes: readonly AttributeDeclaration[]): Promise<SimProgram> {
  const records = RECORDS.map((r) => ({ ...r, attributes: [...attributes], magic_cards: false, keys: [] }));
  // Simulated secrets: nothing real is ever hashed or sealed with them.
  const secret = (digit: string) => ({ hash_key: digit.repeat(16), seal_key: digit.repeat(64) });
  const secrets = { acme: secret("1"), other: secret("2") };
  const { tenants } = makeIdentity(records, secrets, loadRateTable());
  const model = await loadModel(DEFAULT_MODEL);
  const ruleSet = compileRuleSet(JSON.parse(readFileSync(DEFAULT_RULES, "utf8")));
  const ruleReasons = ruleSet.rules.map((rule) => {
    const { code, text, weight } = ruleReason(rule);
    return reasonField(code, text, weight);
  });
  const version = { fields: versionFields(model.card.name, ruleSet.version), ruleReasons };
  const features = FEATURES.map((_, i) => {
    const { code, text } = featureReason(i);
    return reasonHead(code, text);
  });
  const texts: DecisionTexts = { version: () => version, featureReason: (feature) => features[feature] };
  return { tenants, model, ruleSet, texts };
}
