/**
 * What is done to the nats-servers of a cluster of three: each journal stands on all of them, clients and servers speak
 * TLS, and nodes have the permissions of their role only.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { NatsCluster } from "../../runtime/testkit/nats_cluster.ts";
import type { DrillCluster } from "./drill_cluster.ts";
import type { DrillNotes } from "./drills.ts";

/** An election takes 4 to 9 s: the server's constants. */
const ELECTION_MS = 10_000;
const MAJORITY_DOWN_MS = 5000;
/** From a user's first failed try to its first decision. */
const UNAVAILABLE_MS_MAX = 15_000;

function serversOf(c: DrillCluster): NatsCluster {
  if (c.replicated === null) throw new Error("this drill needs replicated journals");
  return c.replicated;
}

/** During an outage callers get their stand-ins in time. */
function standIns(c: DrillCluster): string[] {
  return c.load.provisional === 0 ? ["nobody was given a stand-in during the election"] : [];
}

/** kill -9 of the server that leads the first journal; it comes back after the election. */
export async function killNatsLeader(c: DrillCluster): Promise<DrillNotes> {
  const servers = serversOf(c);
  const notes: string[] = [];
  await c.underLoad(async () => {
    const leaders = await leadersOf(c);
    const [leader] = leaders;
    await servers.kill(leader);
    notes.push(`killed the leader of ${leaders.filter((l) => l === leader).length} of ${c.shards} journals`);
    await delay(ELECTION_MS);
    if ((await leadersOf(c)).includes(leader)) notes.push("a journal still names the dead server its leader");
    await servers.start(leader);
  });
  const longest_ms = c.load.unavailableMs();
  const late = longest_ms > UNAVAILABLE_MS_MAX ? [`decided again after ${Math.round(longest_ms)} ms`] : [];
  return { notes, failed: [...standIns(c), ...late] };
}

/** kill -9 of two of three servers at once; both come back. */
export async function killNatsMajority(c: DrillCluster): Promise<DrillNotes> {
  const servers = serversOf(c);
  let without_ms = 0;
  await c.underLoad(async () => {
    const [leader] = await leadersOf(c);
    const both = [leader, (leader + 1) % 3];
    await Promise.all(both.map((server) => servers.kill(server)));
    await delay(MAJORITY_DOWN_MS);
    const decided = c.load.decided;
    await Promise.all(both.map((server) => servers.start(server)));
    const back = performance.now();
    while (c.load.decided <= decided) await delay(10);
    without_ms = performance.now() - back;
    await delay(ELECTION_MS);
  });
  const notes = [`decisions again ${Math.round(without_ms)} ms after the servers were back`];
  return { notes, failed: standIns(c) };
}

async function leadersOf(c: DrillCluster): Promise<number[]> {
  const leaders: number[] = [];
  for (let shard = 0; shard < c.shards; shard++) leaders.push(await serversOf(c).leaderOf(`FG_J${shard}`));
  return leaders;
}
