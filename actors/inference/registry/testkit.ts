/** People with keys, and a signed model, for the tests of the registry. */
import { generateKeyPairSync } from "node:crypto";
import type { ModelStatement } from "./signed_model.ts";
import { type Role, type Signer, Trust, type TrustedKey, type TrustedKeys } from "./trusted_keys.ts";

export interface Person extends Signer {
  readonly trusted: TrustedKey;
}

export function person(name: string, role: Role): Person {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const public_key = publicKey.export({ type: "spki", format: "pem" }) as string;
  return { name, key: privateKey, trusted: { role, public_key, until_event: null } };
}

export function keysOf(people: readonly Person[], single_person = false): TrustedKeys {
  return { format: 1, single_person, keys: Object.fromEntries(people.map((p) => [p.name, p.trusted])) };
}

export function trustIn(people: readonly Person[], single_person = false): Trust {
  return new Trust(keysOf(people, single_person));
}

/** A model of no particular files. */
export function statement(name: string, created_by: string): ModelStatement {
  return {
    name,
    files: {
      "card.json": { sha256: "1".repeat(64), bytes: 100 },
      "model.onnx": { sha256: "2".repeat(64), bytes: 20_000 },
    },
    lineage: {
      data_sha256: "3".repeat(64),
      code_version: "0.1.0+abcdef012345",
      features_sha256: "4".repeat(64),
      parameters: { max_depth: 5, rate: 1.5e-7, objective: "binary:logistic" },
      metrics: { "train.roc_auc": 0.98, "held_out.roc_auc": null },
      created_us: 1_790_000_000_000_000,
      created_by,
    },
  };
}

/** Every content that differs from `value` in one leaf, one missing field or one field more, with where that is. */
export function* changed(value: unknown, path = ""): Generator<{ readonly path: string; readonly value: unknown }> {
  if (Array.isArray(value)) {
    for (const [i, one] of value.entries()) {
      for (const c of changed(one, `${path}/${i}`)) yield { path: c.path, value: value.with(i, c.value) };
    }
  } else if (typeof value === "object" && value !== null) {
    for (const [name, one] of Object.entries(value)) {
      for (const c of changed(one, `${path}/${name}`)) yield { path: c.path, value: { ...value, [name]: c.value } };
      const { [name]: _, ...rest } = value as Record<string, unknown>;
      yield { path: `${path}/${name} left out`, value: rest };
    }
    yield { path: `${path} with more`, value: { ...value, more: 1 } };
  } else {
    for (const other of [otherOf(value), "", -1, null, {}, []]) if (other !== value) yield { path, value: other };
  }
}

/** Of the same kind and form, where that is possible. */
function otherOf(value: unknown): unknown {
  if (typeof value === "number") return value + 1;
  if (typeof value === "boolean") return !value;
  if (typeof value !== "string") return 1;
  const last = value.at(-1) as string;
  if (last === "=") return `${value[0] === "A" ? "B" : "A"}${value.slice(1)}`;
  return `${value.slice(0, -1)}${last === "1" ? "2" : "1"}`;
}

/** The text with one bit of one byte turned. */
export function flipped(text: string, at: number, bit: number): string {
  const bytes = Buffer.from(text);
  bytes[at % bytes.length] ^= 1 << bit;
  return bytes.toString("utf8");
}
