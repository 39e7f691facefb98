/** Files that are written once and kept: beside, flushed, then renamed, so that a crash never leaves half of one. */
import { existsSync, renameSync, writeFileSync } from "node:fs";

/** Writes the text unless the file is there already. */
export function keepText(file: string, text: string): void {
  if (existsSync(file)) return;
  writeFileSync(`${file}.new`, text, { flush: true });
  renameSync(`${file}.new`, file);
}
