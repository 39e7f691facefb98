/**
 * Texts of decisions for the encoder: by version (model, rule set) and by feature. Rule sets that ever decided are kept
 * in an archive folder by their version, so that an old decision is returned with the reasons it was given.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FEATURES } from "../../actors/features/registry.ts";
import { compileRuleSet, type RuleSet } from "../../actors/rules/compile.ts";
import { featureReason, ruleReason } from "../../actors/rules/reasons.ts";
import {
  type DecisionTexts,
  reasonField,
  reasonHead,
  type VersionTexts,
  versionFields,
} from "../../gateway/codec/reason_texts.ts";
import type { Versions } from "../../runtime/program.ts";
import { keepText } from "./kept_file.ts";

export class NodeTexts implements DecisionTexts {
  readonly #versions: VersionTexts[] = [];
  readonly #features: Uint8Array[];
  readonly #archive: string;

  constructor(archive: string) {
    this.#archive = archive;
    mkdirSync(archive, { recursive: true });
    this.#features = FEATURES.map((_, i) => {
      const { code, text } = featureReason(i);
      return reasonHead(code, text);
    });
  }

  /** Keeps a rule set for the day when an old decision is asked for again. */
  keep(ruleSet: RuleSet): void {
    keepText(this.#file(ruleSet.version), JSON.stringify(ruleSet.definition));
  }

  /** Prepares the texts of a pair of versions; an unknown rule set gives decisions without rule texts. */
  add(index: number, versions: Versions): void {
    const file = this.#file(versions.rule_set);
    const ruleReasons: Uint8Array[] = [];
    if (existsSync(file)) {
      for (const rule of compileRuleSet(JSON.parse(readFileSync(file, "utf8"))).rules) {
        const { code, text, weight } = ruleReason(rule);
        ruleReasons[rule.bit] = reasonField(code, text, weight);
      }
    }
    for (let bit = 0; bit < 64; bit++)
      ruleReasons[bit] ??= reasonField(`rule_${bit}`, "a rule of an older rule set", 0);
    this.#versions[index] = { fields: versionFields(versions.model, versions.rule_set), ruleReasons };
  }

  version(index: number): VersionTexts {
    return this.#versions[index];
  }

  featureReason(feature: number): Uint8Array {
    return this.#features[feature];
  }

  #file(version: string): string {
    return join(this.#archive, `${version.replace(/[^0-9a-f]/g, "_")}.json`);
  }
}
