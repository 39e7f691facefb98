/**
 * Where the tests of this folder find real data: ../shared/data beside the checkout, or the folder named in
 * FRAUDGUARD_DATA.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Options of a test that needs a data set: skipped, with a reason that says what to do, when it is not there. */
export interface SharedSet {
  readonly folder: string;
  readonly skip: string | false;
}

export function sharedSet(name: string): SharedSet {
  const root = process.env["FRAUDGUARD_DATA"] ?? fileURLToPath(new URL("../../../shared/data", import.meta.url));
  const folder = join(root, name);
  const skip = existsSync(folder)
    ? false
    : `no data set ${name} in ${root}: set FRAUDGUARD_DATA to the folder of data sets`;
  return { folder, skip };
}
