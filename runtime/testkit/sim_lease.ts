/** The simulated lease bucket: in memory, with an outage switch; wiping it models the loss of a memory bucket. */
import { JournalUnavailable, type Lease, type LeaseStore } from "../ports.ts";

export class SimLeaseStore implements LeaseStore {
  down = false;
  readonly heartbeats: string[] = [];
  readonly #leases = new Map<number, Lease>();
  #revision = 0;

  wipe(): void {
    this.#leases.clear();
  }

  /** Made anew: its revisions begin at 1 again. */
  recreate(): void {
    this.wipe();
    this.#revision = 0;
  }

  async read(shard: number): Promise<Lease | null> {
    this.#check();
    return this.#leases.get(shard) ?? null;
  }

  async update(shard: number, node: string, revision: number): Promise<Lease | null> {
    this.#check();
    if ((this.#leases.get(shard)?.revision ?? 0) !== revision) return null;
    const lease = { node, revision: ++this.#revision };
    this.#leases.set(shard, lease);
    return lease;
  }

  async release(shard: number, revision: number): Promise<void> {
    this.#check();
    if (this.#leases.get(shard)?.revision === revision) this.#leases.delete(shard);
  }

  async heartbeat(node: string): Promise<void> {
    this.#check();
    this.#revision++;
    this.heartbeats.push(node);
  }

  #check(): void {
    if (this.down) throw new JournalUnavailable("simulated outage");
  }
}
