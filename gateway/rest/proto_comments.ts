/**
 * Owns the comments of the .proto file: the limits are stated there, beside each field, and the OpenAPI document
 * repeats them. Generated descriptors carry no comments, so the file is read line by line.
 */
import { readFileSync } from "node:fs";

const PROTO_FILE = new URL("../../proto/fraudguard/v1/fraud_detection.proto", import.meta.url);

/** Comment by `Message`, `Message.field`, `Enum.VALUE`, `Service.Method`; names without the package. */
export function readProtoComments(file: URL = PROTO_FILE): Map<string, string> {
  return parseProtoComments(readFileSync(file, "utf8"));
}

export function parseProtoComments(text: string): Map<string, string> {
  const comments = new Map<string, string>();
  const scopes: string[] = [];
  let pending: string[] = [];
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line.startsWith("//")) {
      pending.push(line.slice(2).trim());
      continue;
    }
    const opens = /^(message|enum|service|oneof)\s+(\w+)\s*\{/.exec(line);
    const member = /^(?:rpc\s+(\w+)|(?:[\w.<>, ]+\s)?(\w+)\s*=\s*\d+)/.exec(line);
    // Fields of a oneof belong to its message.
    const scope = scopes.filter((s) => s !== "").at(-1);
    const name = opens?.[2] ?? member?.[1] ?? member?.[2];
    if (name !== undefined && pending.length > 0) {
      comments.set(scope === undefined || opens !== null ? name : `${scope}.${name}`, pending.join(" "));
    }
    pending = [];
    if (opens !== null) scopes.push(opens[1] === "oneof" ? "" : opens[2]);
    else if (line === "}") scopes.pop();
  }
  return comments;
}
