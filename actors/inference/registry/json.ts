/**
 * JSON as the registry signs and reads it: one text for one content, and records with exactly the fields that are
 * known, so that nothing stands in a file which no signature covers.
 */
import { createHash } from "node:crypto";
import { RegistryError } from "./registry_error.ts";

/** Entries of a record with free names. */
const ENTRIES_MAX = 1000;

/** Names sorted by UTF-16 code units, no white space. Throws TypeError for what JSON has no text for. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([name, v]) => `${JSON.stringify(name)}:${canonical(v)}`).join(",")}}`;
  }
  const isText = value === null || typeof value === "string" || typeof value === "boolean";
  if (!isText && !(typeof value === "number" && Number.isFinite(value))) throw new TypeError("JSON has no text for it");
  return JSON.stringify(value);
}

/** SHA-256 of the canonical text, hex. */
export function digest(value: unknown): string {
  return createHash("sha256").update(canonical(value)).digest("hex");
}

/** Throws RegistryError("format") naming `where`. */
export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RegistryError("format", `${where} is no JSON (${(error as Error).message}): restore it`);
  }
}

/** The fields of an object that came from outside. Every method throws RegistryError("format") naming the place. */
export class Fields {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #where: string;

  /** An object with exactly `names`; any names where left out. */
  constructor(value: unknown, where: string, names?: readonly string[]) {
    this.#where = where;
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw this.#wrong("an object");
    this.#fields = value as Record<string, unknown>;
    const found = Object.keys(value);
    if (found.length > ENTRIES_MAX) throw this.#wrong(`an object of at most ${ENTRIES_MAX} fields`);
    if (names === undefined) return;
    const isExact = found.length === names.length && names.every((name) => Object.hasOwn(value, name));
    if (!isExact) throw this.#wrong(`an object with the fields ${names.join(", ")}, and no others`);
  }

  #wrong(expected: string, name?: string): RegistryError {
    const at = name === undefined ? this.#where : this.place(name);
    return new RegistryError("format", `${at} must be ${expected}`);
  }

  /** Its names, each of which must fit. */
  names(pattern: RegExp): string[] {
    const found = Object.keys(this.#fields);
    for (const name of found) if (!pattern.test(name)) throw this.#wrong(`named by ${pattern}`, name.slice(0, 64));
    return found;
  }

  place(name: string): string {
    return `${this.#where}: ${name}`;
  }

  value(name: string): unknown {
    return this.#fields[name];
  }

  text(name: string, pattern: RegExp): string {
    const value = this.#fields[name];
    if (typeof value !== "string" || !pattern.test(value)) throw this.#wrong(`a text like ${pattern}`, name);
    return value;
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = allowed.find((one) => one === this.#fields[name]);
    if (value === undefined) throw this.#wrong(`one of ${allowed.join(", ")}`, name);
    return value;
  }

  /** A whole number of at least 0. */
  whole(name: string): number {
    const value = this.#fields[name];
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw this.#wrong("a whole number", name);
    return value as number;
  }

  number(name: string): number {
    const value = this.#fields[name];
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.#wrong("a number", name);
    return value;
  }

  flag(name: string): boolean {
    const value = this.#fields[name];
    if (typeof value !== "boolean") throw this.#wrong("true or false", name);
    return value;
  }
}
