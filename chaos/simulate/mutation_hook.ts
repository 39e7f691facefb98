/**
 * Loaded before anything else (node --import): replaces one line of one production module in memory, as the mutation
 * in the environment says, so that checkers can be shown to notice it. The files stay as they are.
 */
import { registerHooks } from "node:module";

export const MUTATION_VARIABLE = "FRAUDGUARD_MUTATION";

export interface SourceEdit {
  /** Path from the checkout's root. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const text = process.env[MUTATION_VARIABLE];
if (text !== undefined) {
  const edit = JSON.parse(text) as SourceEdit;
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.endsWith(`/${edit.file}`)) return loaded;
      const source = String(loaded.source);
      const parts = source.split(edit.from);
      if (parts.length !== 2)
        throw new Error(`${edit.file}: the text to change stands there ${parts.length - 1} times`);
      return { ...loaded, source: parts.join(edit.to) };
    },
  });
}
