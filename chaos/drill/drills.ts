/** The drills: what is done to a cluster under load, and what must hold beside that nothing is lost, twice or wrong. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../deploy/e2e/testkit/until.ts";
import { FORMAT_OLDEST } from "../../proto/frame/frame_header.ts";
import type { ClusterOptions, DrillCluster } from "./drill_cluster.ts";
import type { DrillNode } from "./drill_node.ts";
import { KNOWN_USERS, killLarge } from "./large_drill.ts";
import { clockJump, diskFull, slowDisk, syncBeforeAck, whyNoMount } from "./machine_drills.ts";
import { plannedMoves } from "./move_drill.ts";
import { killNatsLeader, killNatsMajority } from "./nats_drills.ts";
import { poison } from "./poison_drill.ts";
import { whyNoTrace } from "./sync_trace.ts";
import { formatArgument, rollingUpgrade } from "./upgrade_drill.ts";

/** What a drill found beside the verdict; anything in `failed` fails it. */
export interface DrillNotes {
  readonly notes: readonly string[];
  readonly failed: readonly string[];
  /** The journals are damaged on purpose: what cannot be read is counted, not lost. */
  readonly damaged?: boolean;
}

export interface Drill {
  readonly name: string;
  readonly what: string;
  readonly run: (c: DrillCluster) => Promise<DrillNotes>;
  /** Why this machine cannot do it, asked before it is tried; null when it can. */
  readonly whyNotHere?: () => string | null;
  readonly over?: Partial<ClusterOptions>;
}

const CALM: DrillNotes = { notes: [], failed: [] };
const FREEZE_MS = 20_000;
const CUT_MS = 10_000;
const SLOW_MS = 20;
const REFUSED_MS = 60_000;

async function killOwner(c: DrillCluster): Promise<DrillNotes> {
  const [a, b] = c.nodes;
  await c.underLoad(async () => {
    await a.end("SIGKILL");
    await c.serves(b, 1);
    a.startAgain();
    await c.follows(a, 2);
  });
  const [serving] = await b.logged("shard_serving");
  return { ...CALM, notes: [`from the lease to serving ${serving["seconds"]} s`] };
}

async function freezeOwner(c: DrillCluster): Promise<DrillNotes> {
  const [a, b] = c.nodes;
  await c.underLoad(async () => {
    a.signal("SIGSTOP");
    await delay(FREEZE_MS);
    await c.serves(b, 1);
    a.signal("SIGCONT");
    // It notices that it was replaced, ends, and comes back as a follower.
    await c.follows(a, 2);
  });
  const deposed = (await a.logged("shard_stopped")).filter((l) => l["error"] === "Deposed");
  return { ...CALM, failed: deposed.length > 0 ? [] : ["the frozen owner did not say that it was deposed"] };
}

async function killNats(c: DrillCluster): Promise<DrillNotes> {
  await c.underLoad(async () => {
    await c.killNats();
    await delay(2000);
    await c.startNats();
    await delay(5000);
  });
  return CALM;
}

async function rollingRestart(c: DrillCluster): Promise<DrillNotes> {
  const [a, b] = c.nodes;
  const turn = async (from: DrillNode, to: DrillNode, serves: number, follows: number): Promise<void> => {
    await from.end("SIGTERM");
    await c.serves(to, serves);
    from.startAgain();
    await c.follows(from, follows);
  };
  await c.underLoad(async () => {
    await turn(a, b, 1, 2);
    await turn(b, a, 2, 2);
  });
  return CALM;
}

/** kill -9 of one of three nodes that share the shards; its supervisor starts it again. */
async function killNode(c: DrillCluster): Promise<DrillNotes> {
  const [a] = c.nodes;
  await c.underLoad(async () => {
    await a.end("SIGKILL");
    await c.covered();
    await delay(2000);
    a.startAgain();
    await c.spread();
  });
  return CALM;
}

/** Each of three nodes ends by SIGTERM, handing its shards over, and comes back. */
async function rollingShared(c: DrillCluster): Promise<DrillNotes> {
  await c.underLoad(async () => {
    for (const node of c.nodes) {
      await node.end("SIGTERM");
      await c.covered();
      node.startAgain();
      await c.spread();
    }
  });
  return movesOf(c);
}

/** 1 node, then 4, then 1 again. */
async function scale(c: DrillCluster): Promise<DrillNotes> {
  await c.underLoad(async () => {
    for (let i = 0; i < 3; i++) {
      (await c.add(["--cluster"])).start();
      await c.spread();
    }
    for (const node of c.nodes.slice(1)) {
      await node.end("SIGTERM");
      await c.covered();
    }
  });
  return movesOf(c);
}

/** Planned moves: how many, and that no payment failed for one. */
async function movesOf(c: DrillCluster): Promise<DrillNotes> {
  const moves = await c.countLogged("hand_over");
  const failed = moves === 0 ? ["no shard was handed over"] : [];
  return { notes: [`${moves} shards handed over`], failed };
}

async function powerCut(c: DrillCluster): Promise<DrillNotes> {
  const [a, b] = c.nodes;
  let shown = CALM;
  await c.underLoad(async () => {
    shown = await syncBeforeAck(c);
    await Promise.all([c.killNats(), a.end("SIGKILL"), b.end("SIGKILL")]);
    await c.startNats();
    for (const node of [a, b]) {
      node.startAgain();
    }
    await until(
      "a node serves again",
      async () => (await a.logged("shard_serving")).length + (await b.logged("shard_serving")).length > 1,
      REFUSED_MS,
      () => a.words(),
    );
  });
  const note = "all processes killed at once; the system's pages outlive that, so the disk itself is not tested";
  return { notes: [...shown.notes, note], failed: shown.failed };
}

/** The owner's connection to its journals stops; the other node takes over, the first learns of it when it heals. */
function cut(requests: boolean, answers: boolean): (c: DrillCluster) => Promise<DrillNotes> {
  return async (c) => {
    const [proxy] = c.proxies;
    const [a, b] = c.nodes;
    await c.underLoad(async () => {
      proxy.cut(requests, answers);
      await delay(CUT_MS);
      // Else nothing was cut.
      await c.serves(b, 1);
      proxy.cut(false, false);
      await c.follows(a, 2);
    });
    return CALM;
  };
}

async function slowNetwork(c: DrillCluster): Promise<DrillNotes> {
  await c.underLoad(async () => {
    for (const proxy of c.proxies) proxy.delay_ms = SLOW_MS;
    await delay(CUT_MS);
    for (const proxy of c.proxies) proxy.delay_ms = 0;
  });
  return { ...CALM, notes: [`${SLOW_MS} ms more each way between nodes and nats-server`] };
}

async function hotMerchant(c: DrillCluster): Promise<DrillNotes> {
  const from = performance.now();
  await c.underLoad(() => delay(CUT_MS));
  const p99_ms = c.load.latencyMs(0.99, from, performance.now());
  return { ...CALM, notes: [`p99 ${p99_ms.toFixed(1)} ms with a fifth of the payments at one merchant`] };
}

/** Stops everything, lets `damage` change the journal's file, and starts one node without its snapshots. */
async function damaged(c: DrillCluster, damage: (bytes: Buffer) => Buffer, wipe: boolean): Promise<DrillNotes> {
  const [a, b] = c.nodes;
  await c.underLoad(() => delay(1000));
  await b.end("SIGTERM");
  await a.end("SIGTERM");
  await c.nats.stop();
  await writeFile(c.journalFile, damage(await readFile(c.journalFile)));
  await c.startNats();
  if (wipe) await rm(join(a.data_dir, "snapshots"), { recursive: true, force: true });
  const before = (await a.logged("shard_serving")).length;
  a.start();
  await until(
    "the node refuses to start",
    () => !a.running,
    REFUSED_MS,
    () => a.words(),
  );
  const named = /sequence \d+/.exec(await a.words())?.[0];
  const failed: string[] = [];
  if (named === undefined) failed.push("the node did not name the place");
  if ((await a.logged("shard_serving")).length > before) failed.push("the node served a damaged journal");
  return { notes: [`the node refused to start: ${named}`], failed, damaged: true };
}

function flipByte(bytes: Buffer): Buffer {
  bytes[Math.floor(bytes.length / 2)] ^= 1;
  return bytes;
}

export const DRILLS: readonly Drill[] = [
  { name: "kill-owner", what: "kill -9 of the node that serves", run: killOwner },
  { name: "freeze-owner", what: "SIGSTOP of the node that serves for 20 s, then it wakes", run: freezeOwner },
  { name: "kill-nats", what: "kill -9 of nats-server, back after 2 s", run: killNats },
  {
    name: "kill-nats-leader",
    what: "kill -9 of the one of three nats-servers that leads a journal",
    run: killNatsLeader,
    over: { sharing: 3, nats: 3 },
  },
  {
    name: "kill-nats-majority",
    what: "kill -9 of two of three nats-servers, back after 5 s",
    run: killNatsMajority,
    over: { sharing: 3, nats: 3 },
  },
  { name: "cut-one-way", what: "answers from nats-server stop for 10 s", run: cut(false, true) },
  { name: "cut-both-ways", what: "the owner's network to nats-server stops for 10 s", run: cut(true, true) },
  {
    name: "slow-disk",
    what: "each sync of the journal's disk takes 100 ms more for 10 s",
    run: slowDisk,
    whyNotHere: whyNoTrace,
  },
  { name: "slow-network", what: "20 ms more each way to nats-server for 10 s", run: slowNetwork },
  {
    name: "rolling-restart",
    what: "both nodes end by SIGTERM and come back, one after the other",
    run: rollingRestart,
  },
  {
    name: "kill-node",
    what: "kill -9 of one of three nodes that share six shards",
    run: killNode,
    over: { sharing: 3 },
  },
  {
    name: "kill-node-large",
    what: "kill -9 of one of three nodes that know a million users",
    run: killLarge,
    over: { sharing: 3, batch: 1, users: KNOWN_USERS, args: ["--snapshot-interval-s", "120"] },
  },
  {
    name: "rolling-restart-shared",
    what: "three nodes that share six shards end by SIGTERM and come back, one after the other",
    run: rollingShared,
    over: { sharing: 3 },
  },
  {
    name: "rolling-upgrade",
    what: "three nodes that share six shards go over to another journal format and back, one after the other",
    run: rollingUpgrade,
    over: { sharing: 3, args: formatArgument(FORMAT_OLDEST) },
  },
  {
    name: "planned-moves",
    what: "each of three nodes that share six shards is drained and takes its shards back",
    run: plannedMoves,
    over: { sharing: 3 },
  },
  { name: "scale", what: "1 to 4 nodes and back", run: scale, over: { sharing: 1 } },
  { name: "clock-jump", what: "an hour ahead and an hour behind, by the clock adapter", run: clockJump },
  { name: "hot-merchant", what: "20 % of the payments at one merchant", run: hotMerchant, over: { hot: 0.2 } },
  {
    name: "kill-gateway",
    what: "kill -9 of the node that clients are connected to; they ask the others with the same ids",
    run: killNode,
    over: { sharing: 3 },
  },
  { name: "corrupt-journal", what: "a byte of the journal's file flips", run: (c) => damaged(c, flipByte, true) },
  {
    name: "truncate-journal",
    what: "the second half of the journal's file is gone",
    run: (c) => damaged(c, (bytes) => bytes.subarray(0, bytes.length >> 1), false),
  },
  {
    name: "disk-full",
    what: "the journal's disk is full until room is made",
    run: diskFull,
    whyNotHere: whyNoMount,
  },
  { name: "power-cut", what: "all processes killed at once, cold start", run: powerCut },
  {
    name: "poison",
    what: "payments that throw inside an actor, half of the row done; three nodes share six shards",
    run: poison,
    over: { sharing: 3 },
  },
];
