/**
 * The generated password of a local engine, kept in its data folder and readable by its owner only.
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./errors.ts";
import { randomName, writeFileAtomic } from "./files.ts";

/** The password kept in `data_dir`; made at the first call. */
export async function keptPassword(data_dir: string): Promise<string> {
  const path = join(data_dir, "password");
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  await mkdir(data_dir, { recursive: true });
  const password = randomName(24);
  await writeFileAtomic(path, `${password}\n`, 0o600);
  return password;
}
