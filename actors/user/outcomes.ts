/**
 * The standing outcome of payments: the newest revision and whether it says fraud. Bounded like the cold ids; an
 * outcome of a payment that left its window has no further effect, so forgetting the oldest is harmless.
 */

import type { RowBlock } from "../../proto/columns.ts";
import { BoundedMap } from "../../runtime/kernel/bounded_map.ts";
import type { ByteReader, ByteWriter } from "../../runtime/kernel/bytes.ts";
import { coldKey, readCut, writeCut } from "./cold_ids.ts";

/** Standing outcomes held by a shard. */
export const OUTCOMES_MAX = 400_000;

export class Outcomes {
  /** revision * 2 + fraud. */
  readonly #standing = new BoundedMap(OUTCOMES_MAX);

  revision(b: RowBlock, r: number): number {
    return (this.#standing.get(key(b, r)) ?? 0) >> 1;
  }

  fraud(b: RowBlock, r: number): boolean {
    return ((this.#standing.get(key(b, r)) ?? 0) & 1) === 1;
  }

  set(b: RowBlock, r: number, fraud: boolean): void {
    const k = key(b, r);
    this.#standing.set(k, b.revision[r] * 2 + (fraud ? 1 : 0));
  }

  entries(): [string, number][] {
    return this.#standing.entries();
  }

  beginSnapshot(): void {
    this.#standing.beginCut();
  }

  snapshotStep(w: ByteWriter, bytesMax: number): boolean {
    return writeCut(this.#standing, w, bytesMax);
  }

  abandonSnapshot(): void {
    this.#standing.endCut();
  }

  /** As ShardActors.loadPart. Throws BytesDamaged. */
  loadPart(r: ByteReader): boolean {
    return readCut(r, (key, value) => this.#standing.set(key, value));
  }
}

function key(b: RowBlock, r: number): string {
  return coldKey(b.user.hi[r], b.user.lo[r], b.id.hi[r], b.id.lo[r]);
}
