/**
 * The key that a local operator's commands use: `admin.key` in the folder of the tenants, mode 0600, and its digest in
 * `operators.json` beside it. Who removes the file has a new key at the next start, and the old one opens nothing.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AuthenticationFailure } from "../../gateway/identity/identity_error.ts";
import { openOperators, replaceOperatorKey } from "../../gateway/identity/operators.ts";
import { replaceText } from "./kept_file.ts";

const OPERATOR = "admin";

/** Name of the operators' file in the folder of the tenants. */
export const OPERATORS_FILE = "operators.json";

/** The key's file, made unless it is there and opens. Throws IdentityError for a broken operators.json. */
export function keepAdminKey(config_dir: string): string {
  const file = join(config_dir, "admin.key");
  const operators = join(config_dir, OPERATORS_FILE);
  const key = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
  const known = openOperators(operators).authenticate(`Bearer ${key}`);
  if (known instanceof AuthenticationFailure) {
    replaceText(file, `${replaceOperatorKey(operators, OPERATOR).key}\n`, 0o600);
  }
  return file;
}
