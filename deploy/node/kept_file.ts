/** Files that are kept: written beside, flushed, then renamed, so that a crash never leaves half of one. */
import { existsSync, renameSync, writeFileSync } from "node:fs";

/** Writes the text unless the file is there already. */
export function keepText(file: string, text: string): void {
  if (!existsSync(file)) replaceText(file, text);
}

/** Writes the text in place of what the file holds. A file that is made anew has `mode`. */
export function replaceText(file: string, text: string, mode = 0o644): void {
  writeFileSync(`${file}.new`, text, { flush: true, mode });
  renameSync(`${file}.new`, file);
}
