/**
 * The texts of an answer, made ready as protobuf bytes once, so that encoding a decision only copies. Whoever owns
 * rules and models implements `DecisionTexts` with the helpers here.
 */

/** What one version (a model set and a rule set, `RowBlock.version`) adds to a decision. */
export interface VersionTexts {
  /** Fields model_version and rule_set_version of a Decision: see `versionFields`. */
  readonly fields: Uint8Array;
  /** By bit of the `rules` column: a whole `reasons` field of a Decision, see `reasonField`. */
  readonly ruleReasons: readonly Uint8Array[];
}

export interface DecisionTexts {
  /** By `RowBlock.version`. Asked once a row: return a kept object, never a new one. */
  version(index: number): VersionTexts;
  /** By feature number (`reasonFeature` - 1): code and text of a Reason without its weight, see `reasonHead`. */
  featureReason(feature: number): Uint8Array;
}

function varint(n: number): number[] {
  const out: number[] = [];
  let rest = n;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) out.push((rest % 128) | 0x80);
  out.push(rest);
  return out;
}

/** One length-delimited field; nothing for an empty value, as proto3 has it. */
export function textField(number: number, value: string | Uint8Array): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
  if (bytes.length === 0) return Buffer.alloc(0);
  return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes]);
}

/** Fields 5 and 6 of a Decision. */
export function versionFields(model_version: string, rule_set_version: string): Uint8Array {
  return Buffer.concat([textField(5, model_version), textField(6, rule_set_version)]);
}

/** Fields 1 and 2 of a Reason. */
export function reasonHead(code: string, text: string): Uint8Array {
  return Buffer.concat([textField(1, code), textField(2, text)]);
}

/** Field 4 of a Decision: a whole Reason. `weight`: severity 0..1 of a rule. */
export function reasonField(code: string, text: string, weight: number): Uint8Array {
  const number = Buffer.alloc(9);
  number[0] = 0x19;
  number.writeDoubleLE(weight, 1);
  return textField(4, Buffer.concat([reasonHead(code, text), weight === 0 ? Buffer.alloc(0) : number]));
}

/** Field 7 of a Decision, for each value of the `degraded` column (bits DEGRADED_MODEL, _ENTITY, _FX). */
export const DEGRADED_FIELDS: readonly Uint8Array[] = Array.from({ length: 8 }, (_, bits) =>
  Buffer.concat(["model", "entity", "fx"].filter((_, i) => (bits & (1 << i)) !== 0).map((name) => textField(7, name))),
);

/** The reason of a decision that a test card forced. */
export const TEST_CARD_FIELD: Uint8Array = reasonField("test_card", "a test card forces this outcome", 0);

/** The reason of a row beyond the late tolerance. */
export const LATE_FIELD: Uint8Array = reasonField(
  "late_event",
  "came too late for the windows: decided without changing any",
  0,
);
