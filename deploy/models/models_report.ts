/** What the models command prints of a registry: lines for people, objects for --json. */
import type { Version } from "../../actors/inference/registry/event_log.ts";
import { keyId, publicKeyOf, type TrustedKeys } from "../../actors/inference/registry/trusted_keys.ts";
import { KEYS_FILE } from "./files.ts";
import type { Contents } from "./model_registry.ts";

export interface KeyLine {
  readonly name: string;
  readonly role: string;
  readonly key_id: string;
  /** Null: in use; else the log's event from which on it counts no more. */
  readonly until_event: number | null;
}

export function keyLines({ keys }: TrustedKeys): KeyLine[] {
  return Object.entries(keys).map(([name, { role, public_key, until_event }]) => {
    return { name, role, key_id: keyId(publicKeyOf(public_key, KEYS_FILE)), until_event };
  });
}

const timeOf = (at_us: number): string => new Date(at_us / 1000).toISOString().slice(0, 19).replace("T", " ");

/** One line a version and a key. */
export function listReport({ keys, log }: Contents): string {
  const versions = log.versions.map((v) => {
    const approved =
      v.approvals.length === 0 ? "not approved" : `approved by ${v.approvals.map((a) => a.by).join(", ")}`;
    const retired = v.reason === "" ? "" : `; ${v.reason}`;
    const made = `made by ${v.made_by}, added by ${v.added.by} at ${timeOf(v.added.at_us)} UTC`;
    return `${v.name.padEnd(28)} ${v.stage.padEnd(10)} ${made}, ${approved}${retired}`;
  });
  const people = keyLines(keys).map((k) => {
    const end = k.until_event === null ? "" : `, not trusted since event ${k.until_event}`;
    return `key ${k.key_id}  ${k.name} (${k.role}${end})`;
  });
  const alone = keys.single_person ? ["one person may promote alone (single_person)"] : [];
  const lines = [...(versions.length === 0 ? ["no versions"] : versions), ...people, ...alone];
  return `${lines.join("\n")}\n`;
}

/** A version with what was done to it, oldest first. */
export function history({ name }: Version, { log }: Contents) {
  return log.events.flatMap(({ act, by, key_id, at_us }, event) => {
    if (act.model !== name) return [];
    const { model: _, ...what } = act;
    return [{ event, ...what, by, key_id, at_us }];
  });
}
