/**
 * Where each shard's rows go now, as last looked at: names as small numbers for grouping rows, and a version for each
 * shard that tells whether a row was sent by the route that still stands.
 */

/** Who serves which shard, as far as this node has heard. */
export interface Routes {
  /** The node to ask for a shard; null when none is known or that node is away. */
  node(shard: number): string | null;
  /** The epoch that node announced; 0 when none is known. */
  epoch(shard: number): number;
}

/** In `nodeOf`: no owner is known. */
export const NOWHERE = -1;

export class RouteView {
  readonly #routes: Routes;
  readonly #epochs: Float64Array;
  /** The distinct owners; `nodeOf` holds indexes into it. */
  names: readonly string[] = [];
  /** By shard. */
  readonly nodeOf: Int16Array;
  /** By shard: how often its owner or epoch changed. */
  readonly versions: Uint32Array;

  constructor(routes: Routes, shards: number) {
    this.#routes = routes;
    this.#epochs = new Float64Array(shards);
    this.nodeOf = new Int16Array(shards).fill(NOWHERE);
    this.versions = new Uint32Array(shards);
    this.look();
  }

  /** Looks at all routes; true when one has another owner or epoch than before. Indexes of names may change. */
  look(): boolean {
    const names: string[] = [];
    let changed = false;
    for (let shard = 0; shard < this.nodeOf.length; shard++) {
      const node = this.#routes.node(shard);
      const epoch = this.#routes.epoch(shard);
      const before = this.nodeOf[shard] === NOWHERE ? null : this.names[this.nodeOf[shard]];
      if (node !== before || epoch !== this.#epochs[shard]) {
        changed = true;
        this.versions[shard]++;
        this.#epochs[shard] = epoch;
      }
      let index = node === null ? NOWHERE : names.indexOf(node);
      if (node !== null && index < 0) index = names.push(node) - 1;
      this.nodeOf[shard] = index;
    }
    this.names = names;
    return changed;
  }
}
