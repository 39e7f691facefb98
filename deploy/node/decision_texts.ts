/**
 * Texts of decisions for the encoder: by version (model, rule set) and by feature. Rule sets that ever decided are kept
 * in an archive folder by their version, so that an old decision is returned with the reasons it was given: in the
 * node's own, and in one that nodes share, since a shard's next owner may never have decided by them.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
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
import { randomName } from "../engines/files.ts";
import { keepText } from "./kept_file.ts";

export class NodeTexts implements DecisionTexts {
  readonly #versions: VersionTexts[] = [];
  readonly #features: Uint8Array[];
  readonly #own: string;
  readonly #shared: string;
  readonly #onUnshared: (error: Error) => void;

  /** `onUnshared` is told when the shared archive cannot be written; the node goes on with its own. */
  constructor(own: string, shared = own, onUnshared: (error: Error) => void = () => {}) {
    this.#own = own;
    this.#shared = shared;
    this.#onUnshared = onUnshared;
    mkdirSync(own, { recursive: true });
    for (const name of readdirSync(own)) if (name.endsWith(".json")) this.#share(name);
    this.#features = FEATURES.map((_, i) => {
      const { code, text } = featureReason(i);
      return reasonHead(code, text);
    });
  }

  /** Keeps a rule set for the day when an old decision is asked for again. */
  keep(ruleSet: RuleSet): void {
    const name = nameOf(ruleSet.version);
    keepText(join(this.#own, name), JSON.stringify(ruleSet.definition));
    this.#share(name);
  }

  /** Prepares the texts of a pair of versions; an unknown rule set gives decisions without rule texts. */
  add(index: number, versions: Versions): void {
    const name = nameOf(versions.rule_set);
    const file = [this.#own, this.#shared].map((folder) => join(folder, name)).find((path) => existsSync(path));
    const ruleReasons: Uint8Array[] = [];
    if (file !== undefined) {
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

  #share(name: string): void {
    const file = join(this.#shared, name);
    if (existsSync(file)) return;
    // Other nodes may do the same now.
    const beside = `${file}.${randomName(6)}.new`;
    try {
      mkdirSync(this.#shared, { recursive: true });
      writeFileSync(beside, readFileSync(join(this.#own, name)), { flush: true });
      renameSync(beside, file);
    } catch (error) {
      this.#onUnshared(error as Error);
    }
  }
}

function nameOf(version: string): string {
  return `${version.replace(/[^0-9a-f]/g, "_")}.json`;
}
