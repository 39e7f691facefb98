/**
 * The large data sets that some tests read: they lie beside the checkout, in `../shared/data`, and are not part of it.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";

const FOLDER = resolve(import.meta.dirname, "..", "..", "..", "shared", "data");

/**
 * The absolute path of a file or folder of the shared data ("handbook", "ucsd2009/x.csv"). Where it is missing, in CI
 * (CI=true or CI=1) it throws, so that a test cannot pass by not running; elsewhere it skips the test, saying what is
 * missing, and gives undefined: the test then returns.
 */
export function sharedData(t: Pick<TestContext, "skip">, name: string): string | undefined {
  return locate(t, FOLDER, name, process.env["CI"]);
}

/** The same for any folder and value of CI. */
export function locate(
  t: Pick<TestContext, "skip">,
  folder: string,
  name: string,
  ci: string | undefined,
): string | undefined {
  const path = join(folder, name);
  if (existsSync(path)) return path;
  const missing = `no shared data set ${name} (looked for ${path})`;
  if (ci === "true" || ci === "1") throw new Error(`${missing}; in CI it must be there`);
  t.skip(missing);
  return undefined;
}
