/** What a node is made of: its name, its ports, its actors and how it runs. */
import type { Sealer } from "../proto/frame/rows_writer.ts";
import type { ClusterOptions } from "./cluster/cluster.ts";
import type { Owner } from "./journal/takeover.ts";
import type { TickObserver } from "./observer.ts";
import type { Clock, JournalStore, LeaseStore, QuarantineStore, SnapshotStore, Timers } from "./ports.ts";
import type { Decider, ShardActors } from "./program.ts";

export interface NodeOptions {
  readonly owner: Owner;
  readonly shards: number;
  readonly journals: JournalStore;
  /** Who should try to own a shard; null claims without asking (a lone node, or a forced takeover). */
  readonly leases: LeaseStore | null;
  readonly snapshots: SnapshotStore;
  /** Rows that actors failed on; null forgets them when the process ends. */
  readonly quarantined: QuarantineStore | null;
  readonly actors: (shard: number) => ShardActors;
  readonly decider: Decider;
  readonly sealer: (journalId: string) => Sealer;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly observer: TickObserver;
  readonly tenantIndex: (id: string) => number;
  readonly mailbox_blocks_max: number;
  readonly tick_age_us_min: number;
  /** Time between two snapshots of a shard, milliseconds; 0 takes none. */
  readonly snapshot_interval_ms: number;
  readonly features_version: string;
  readonly rates_version: string;
  /** Newest format that this node writes its journals in, FORMAT_OLDEST..FORMAT_NEWEST. */
  readonly journal_format: number;
  readonly snapshot_layout: string;
  /** Null on a node that is alone and owns all shards. */
  readonly cluster: ClusterOptions | null;
  readonly report: (event: string, detail: Record<string, unknown>) => void;
}
