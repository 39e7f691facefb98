/**
 * HTML and SVG whose texts are escaped by construction: what a template is filled with is text unless it is markup
 * itself. Nothing else makes markup.
 */

const ESCAPED: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Filling = Markup | string | number | readonly Filling[];

/** Safe as text of an element and inside a quoted attribute. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (c) => ESCAPED[c]);
}

function filled(value: Filling): string {
  if (value instanceof Markup) return value.text;
  if (typeof value === "string" || typeof value === "number") return escapeText(String(value));
  return value.map(filled).join("");
}

/** The template as markup; texts and numbers in it are escaped, lists joined. */
export function markup(parts: TemplateStringsArray, ...values: readonly Filling[]): Markup {
  return new Markup(parts.reduce((text, part, i) => text + filled(values[i - 1]) + part));
}
