/**
 * What must hold when a simulated cluster has come to rest: replay of the journals gives the live state, with and
 * without a snapshot; windows equal the oracle's, in the state and at each decision.
 */
import { FEATURES_VERSION, FraudDecider } from "../../actors/decision/decider.ts";
import { Policy, TestCards } from "../../actors/decision/policy.ts";
import { assertStateEquals, assertUserColumns } from "../../deploy/e2e/testkit/state_oracle.ts";
import { ROW_PAYMENT } from "../../proto/columns.ts";
import { tenantIndex } from "../../proto/tenant.ts";
import { JOURNAL_START, type JournalPosition } from "../../runtime/journal/claim.ts";
import { replay } from "../../runtime/journal/replay.ts";
import type { JournalStore, SnapshotStore } from "../../runtime/ports.ts";
import { FrameFolder } from "../../runtime/recovery.ts";
import { Shard } from "../../runtime/shard.ts";
import { loadSnapshot } from "../../runtime/snapshots.ts";
import { SimJournalStore } from "../../runtime/testkit/sim_journal.ts";
import { DecisionCheck } from "./decision_check.ts";
import type { JournalIndex } from "./journal_index.ts";
import type { SimCluster } from "./sim_cluster.ts";
import { newActors, type SimProgram } from "./sim_process.ts";
import { Violation } from "./violation.ts";

type SnapshotReader = Pick<SnapshotStore, "list" | "read">;

/** Throws Violation. */
export async function checkState(cluster: SimCluster, index: JournalIndex, program: SimProgram): Promise<void> {
  const shards = Array.from({ length: cluster.shards }, (_, id) => owned(cluster, id));
  const offline = new SimJournalStore(null, cluster.journals.streams);
  for (const live of shards) {
    const expected = live.actors.digest();
    const whole = await rebuilt(cluster, program, offline, live.id, null);
    if (whole !== expected) throw new Violation("replay", `shard ${live.id} replayed from its first frame differs`);
    for (const { disk, host } of cluster.machines) {
      const partly = await rebuilt(cluster, program, offline, live.id, disk.offline);
      if (partly !== expected) {
        throw new Violation("replay", `shard ${live.id} from the newest snapshot of ${host.name} differs`);
      }
    }
  }
  const rows = index.rows.flat();
  try {
    assertStateEquals(shards, rows);
    assertUserColumns(cluster.seen, rows);
  } catch (error) {
    throw new Violation("windows", (error as Error).message);
  }
}

/** A shard as its one owner has it. */
function owned(cluster: SimCluster, id: number): Shard {
  const serving = cluster.machines.flatMap((m) => m.process?.runtime.shards[id] ?? []).filter((s) => s.serving);
  if (serving.length === 1) return serving[0];
  throw new Violation("one owner", `${serving.length} processes serve shard ${id} at the end`);
}

const never = () => Promise.reject(new Error("what is offline is always there"));

/** Digest of a shard rebuilt from its journal, behind the newest usable snapshot of the disk if one is given. */
async function rebuilt(
  cluster: SimCluster,
  program: SimProgram,
  journals: JournalStore,
  id: number,
  disk: SnapshotReader | null,
): Promise<string> {
  const { ruleSet, tenants } = program;
  const decider = new FraudDecider(null, ruleSet, new Policy(ruleSet), new TestCards(tenants.length), () => {});
  const journal = await journals.open(id);
  const anew = (): Shard => new Shard(id, cluster.shards, journal, newActors());
  let shard = anew();
  let from: JournalPosition = JOURNAL_START;
  if (disk !== null) {
    const rest = { onUnusable: () => {}, pause: () => {}, sleep: () => never() };
    const clock = { monotonicUs: () => 0 };
    ({ shard, from } = await loadSnapshot(shard, { store: disk, anew, clock, ...rest }));
  }
  const folder = new FrameFolder(shard, cluster.shards, decider, FEATURES_VERSION, tenantIndex(tenants));
  // Once for each frame is enough, and behind a snapshot only some would come.
  if (disk === null) {
    const again = new DecisionCheck(program);
    folder.onFolded = (block, matrix, frame) => {
      again.frame(block, matrix, `frame ${frame} of shard ${id}`);
      for (let r = 0; r < block.n; r++) {
        if (block.kind[r] !== ROW_PAYMENT || block.merchant.hi[r] % cluster.shards === id) continue;
        cluster.answers.check(block, r, matrix, id, frame);
      }
    };
  }
  await replay(shard.journal, from, (header, bytes) => folder.fold(header, bytes), never);
  return shard.actors.digest();
}
