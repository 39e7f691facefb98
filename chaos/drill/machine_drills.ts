/** Drills of the machine under the nodes: a clock that jumps, a disk that is slow, full, or whose power goes. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { cp, mkdir, rename, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { until } from "../../deploy/e2e/testkit/until.ts";
import { readHeader } from "../../proto/frame/frame_header.ts";
import { JetStreamJournalStore } from "../../runtime/nats/jetstream_journal.ts";
import { CLOCK_FILE, CLOCK_POLL_MS } from "./clock_hook.ts";
import type { DrillCluster } from "./drill_cluster.ts";
import type { DrillNotes } from "./drills.ts";
import { Trace, traceSyncs, whyNoTrace } from "./sync_trace.ts";

const HOOK = new URL("./clock_hook.ts", import.meta.url).pathname;
const HOUR_MS = 3_600_000;
const HOLD_MS = 5000;
const SLOW_MS = 100;
const SLOW_FOR_MS = 10_000;
const DISK_BYTES = 96 * 2 ** 20;
/** Room that is left to the journal: full within seconds. */
const ROOM_BYTES = 2 * 2 ** 20;
const WAIT_MS = 60_000;

/** Frame time of the newest record of the first journal, and how far it lies ahead of the right clock. */
async function frameTimeAheadMs(c: DrillCluster): Promise<number> {
  const link = await c.journalsLink();
  const store = new JetStreamJournalStore(link);
  try {
    const tail = await (await store.open(0)).tail();
    return tail === null ? 0 : readHeader(tail.bytes).frameTimeUs / 1000 - Date.now();
  } finally {
    store.close();
    await link.close();
  }
}

/**
 * An hour ahead while the node serves, while it claims, and back to an hour behind; the other node's clock is right all
 * the time.
 */
export async function clockJump(c: DrillCluster): Promise<DrillNotes> {
  const [a, b] = c.nodes;
  const file = join(c.dir, "clock-offset");
  const set = async (offset_ms: number): Promise<void> => {
    // Renamed: the node must never read half of it.
    await writeFile(`${file}.new`, String(offset_ms));
    await rename(`${file}.new`, file);
    await delay(2 * CLOCK_POLL_MS);
  };
  await set(0);
  await a.end("SIGTERM");
  await c.serves(b, 1);
  a.env = { [CLOCK_FILE]: file, NODE_OPTIONS: `--import=${HOOK}` };
  a.startAgain();
  await c.follows(a, 2);
  await b.end("SIGTERM");
  await c.serves(a, 2);
  b.startAgain();
  await c.follows(b, 2);
  let ahead_ms = 0;
  await c.underLoad(async () => {
    await set(HOUR_MS);
    await delay(HOLD_MS);
    // The other node takes over with the right time, and this one claims with the wrong time.
    await a.end("SIGKILL");
    await c.serves(b, 2);
    a.startAgain();
    await c.follows(a, 3);
    await b.end("SIGKILL");
    await c.serves(a, 3);
    ahead_ms = await frameTimeAheadMs(c);
    b.startAgain();
    await c.follows(b, 3);
    await set(0);
    await delay(HOLD_MS);
    await set(-HOUR_MS);
    await delay(HOLD_MS);
  });
  const jumped = Math.abs(ahead_ms - HOUR_MS) < HOUR_MS / 10;
  return {
    notes: [`frame time was ${(ahead_ms / 60_000).toFixed(1)} minutes ahead behind the claim, and ran on from there`],
    failed: jumped ? [] : ["the clock of the claim did not jump"],
  };
}

/** Each sync of nats-server takes 100 ms more: strace holds it at the call. */
export async function slowDisk(c: DrillCluster): Promise<DrillNotes> {
  const delays = `inject=fsync,fdatasync:delay_enter=${SLOW_MS * 1000}`;
  let [from_ms, to_ms] = [0, 0];
  await c.underLoad(async () => {
    const trace = await Trace.attach(c.nats.pid, ["-e", "trace=fsync,fdatasync", "-e", delays, "-o", "/dev/null"]);
    from_ms = performance.now();
    await delay(SLOW_FOR_MS);
    to_ms = performance.now() - 1000;
    await trace.end();
  });
  const at = (quantile: number) => c.load.latencyMs(quantile, from_ms, to_ms);
  const failed =
    at(0.5) >= SLOW_MS ? [] : [`the disk was not slow: half of the payments took ${at(0.5).toFixed(1)} ms`];
  const note = `each sync ${SLOW_MS} ms longer for 10 s: p50 ${at(0.5).toFixed(0)}, p99 ${at(0.99).toFixed(0)} ms`;
  return { notes: [note], failed };
}

const run = promisify(execFile);

/** Why a file system of limited size cannot be mounted here; null when it can. */
export function whyNoMount(): string | null {
  const dir = mkdtempSync(join(tmpdir(), "fraudguard-mount-"));
  const tried = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", dir], { encoding: "utf8" });
  if (tried.status === 0) spawnSync("umount", [dir]);
  rmdirSync(dir);
  if (tried.error !== undefined) return "there is no mount command";
  return tried.status === 0 ? null : `no file system may be mounted: ${tried.stderr.trim().slice(0, 200)}`;
}

/** Moves the journals to a file system of limited size, or back. nats-server is down meanwhile; nodes wait for it. */
async function moveJournals(c: DrillCluster, to: "small" | "large"): Promise<void> {
  const dir = join(c.dir, "nats");
  const aside = join(c.dir, "nats-aside");
  await c.nats.stop();
  await cp(dir, aside, { recursive: true, preserveTimestamps: true });
  if (to === "small") {
    await rm(dir, { recursive: true });
    await mkdir(dir);
    await run("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", dir]);
  } else {
    await run("umount", [dir]);
  }
  await cp(aside, dir, { recursive: true, preserveTimestamps: true });
  await rm(aside, { recursive: true });
  await c.startNats();
}

/** The journals' file system has no byte left for a while; then there is room again. */
export async function diskFull(c: DrillCluster): Promise<DrillNotes> {
  const dir = join(c.dir, "nats");
  const filler = join(dir, "filler");
  await moveJournals(c, "small");
  let restarted = false;
  let stood_ms = 0;
  try {
    await c.underLoad(async () => {
      const { bavail, bsize } = await statfs(dir);
      await writeFile(filler, Buffer.alloc(bavail * bsize - ROOM_BYTES));
      await until(
        "decisions stop",
        () => stands(c),
        WAIT_MS,
        () => c.nodes[0].words(),
      );
      const full_ms = performance.now();
      await delay(HOLD_MS);
      await rm(filler);
      const before = c.load.decided;
      restarted = !(await decides(c, before, HOLD_MS));
      if (restarted) {
        // A server that met a full disk may turn its JetStream off until it is started again.
        await c.nats.stop();
        await c.startNats();
        if (!(await decides(c, before, WAIT_MS))) throw new Error("no decisions after room was made");
      }
      stood_ms = performance.now() - full_ms;
    });
    await moveJournals(c, "large");
  } finally {
    spawnSync("umount", ["-l", dir]);
  }
  const again = restarted ? "nats-server had turned JetStream off and was started again" : "by itself";
  const notes = [
    `no decision for ${(stood_ms / 1000).toFixed(1)} s while the disk was full; went on ${again}`,
    `${c.load.shed} times RESOURCE_EXHAUSTED`,
  ];
  return { notes, failed: [] };
}

/** Whether nothing was decided for two seconds. */
async function stands(c: DrillCluster): Promise<boolean> {
  const before = c.load.decided;
  await delay(2000);
  return c.load.decided === before;
}

async function decides(c: DrillCluster, before: number, within_ms: number): Promise<boolean> {
  const end_ms = performance.now() + within_ms;
  while (performance.now() < end_ms) {
    if (c.load.decided > before) return true;
    await delay(100);
  }
  return false;
}

const TRACE_MS = 3000;

/** Under load: that each acknowledgement of the journal came behind a sync of its record. */
export async function syncBeforeAck(c: DrillCluster): Promise<DrillNotes> {
  const why = whyNoTrace();
  if (why !== null) return { notes: [`sync before acknowledgement not shown: ${why}`], failed: [] };
  const found = await traceSyncs(c.nats.pid, "FG_J0", join(c.dir, "trace"), TRACE_MS);
  const failed: string[] = [];
  if (found.early > 0) failed.push(`${found.early} acknowledgements before their record was synced`);
  if (found.acknowledged === 0) failed.push("the trace shows no acknowledgement");
  const note = `by ${found.syncs} traced syncs: ${found.acknowledged} acknowledgements, each behind its record's`;
  return { notes: failed.length > 0 ? [] : [note], failed };
}
