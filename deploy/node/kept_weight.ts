/**
 * What operators decided about a node's share of the shards, kept in its data folder: `weight.json`. Until somebody
 * changes it, the weight is that of the command line.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { replaceText } from "./kept_file.ts";

interface Kept {
  /** Null: nobody changed it. */
  readonly weight: number | null;
  readonly drained: boolean;
}

export class KeptWeight {
  readonly #file: string;
  readonly #first: number;
  #kept: Kept;

  /** `first` counts until an operator sets another one. Throws when the file is not what this class writes. */
  constructor(data_dir: string, first: number) {
    this.#file = join(data_dir, "weight.json");
    this.#first = first;
    this.#kept = existsSync(this.#file) ? readKept(this.#file) : { weight: null, drained: false };
  }

  get weight(): number {
    return this.#kept.weight ?? this.#first;
  }

  get drained(): boolean {
    return this.#kept.drained;
  }

  /** What the node announces. */
  get announced(): number {
    return this.drained ? 0 : this.weight;
  }

  setWeight(weight: number): void {
    this.#keep({ ...this.#kept, weight });
  }

  setDrained(drained: boolean): void {
    this.#keep({ ...this.#kept, drained });
  }

  #keep(kept: Kept): void {
    replaceText(this.#file, `${JSON.stringify(kept)}\n`);
    this.#kept = kept;
  }
}

function readKept(file: string): Kept {
  let kept: Kept | null = null;
  try {
    kept = JSON.parse(readFileSync(file, "utf8")) as Kept | null;
  } catch (e) {
    if (!(e instanceof SyntaxError)) throw e;
  }
  const { weight, drained } = kept ?? {};
  const isWeight = weight === null || (typeof weight === "number" && weight >= 0);
  if (!isWeight || typeof drained !== "boolean") {
    throw new Error(`${file} is not {"weight": number or null, "drained": boolean}: mend it, or remove it`);
  }
  return { weight, drained };
}
