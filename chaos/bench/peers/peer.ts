/** What the two peers have in common: an engine that takes a batch of payments and answers with their windows. */
import type { PeerBatch } from "./peer_workload.ts";

export interface Peer {
  readonly name: "redis" | "sql";
  readonly version: string;
  /** Its design and its durability, in words. */
  readonly settings: string;
  /** Batches under way at once. */
  readonly lanes: number;
  /** Batch sizes to try. */
  readonly batches: readonly number[];
  /** Records the batch and writes PEER_COLUMNS numbers a payment into `out`. */
  windows(batch: PeerBatch, out: Float64Array): Promise<void>;
  /** Called once behind the preload. */
  loaded(): Promise<void>;
  stop(): Promise<void>;
}
