/**
 * The process of the snapshot bench: one shard's actors with a whole history, rows decided at a steady rate from the
 * event loop, and meanwhile a snapshot of them by the node's own snapshotter, then its loading, as beside other shards.
 * There is no journal and no gateway: what is measured is how long the loop stands still.
 */
import { join } from "node:path";
import { FraudActors, LATE_TOLERANCE_US, SNAPSHOT_LAYOUT } from "../../actors/decision/shard_actors.ts";
import { FEATURE_COUNT } from "../../actors/features/registry.ts";
import { COLD_IDS_MAX } from "../../actors/user/cold_ids.ts";
import { OUTCOMES_MAX } from "../../actors/user/outcomes.ts";
import { mix32 } from "../../deploy/demo/prng.ts";
import { SnapshotFiles } from "../../deploy/node/snapshot_files.ts";
import { systemClock, systemTimers } from "../../deploy/node/system_clock.ts";
import { BLOCK_ROWS, ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import type { Journal } from "../../runtime/ports.ts";
import { Shard } from "../../runtime/shard.ts";
import { type LoadedSnapshot, loadSnapshot, Snapshotter } from "../../runtime/snapshots.ts";
import { Population } from "../load/population.ts";
import { LoopStops, type Stops } from "./loop_stops.ts";

export interface SnapshotRun {
  readonly users: number;
  readonly merchants: number;
  readonly rows_per_s: number;
  readonly seed: number;
  readonly dir: string;
}

export interface SnapshotResult {
  readonly events: number;
  readonly rss_mib: number;
  readonly without: Stops;
  readonly with: Stops;
  readonly snapshot_s: number;
  readonly snapshot_bytes: number;
  readonly load_beside: Stops & { readonly seconds: number };
  readonly load_alone_s: number;
  readonly is_same: boolean;
}

/** How long it runs without a snapshot, for comparison. */
const WITHOUT_MS = 15_000;
const TICK_ROWS_MAX = 512;
const EVENTS_MAX = 256_000_000;
const JOURNAL = { id: "00".repeat(16) } as Journal;
const LOAD_PAUSE_MS = 2;

/** Rows of the population, folded as a tick folds them. */
class Rows {
  readonly #people: Population;
  readonly #actors: FraudActors;
  readonly #block = new RowBlock();
  readonly #matrix = new Float32Array(BLOCK_ROWS * FEATURE_COUNT);
  readonly #order = Uint16Array.from({ length: BLOCK_ROWS }, (_, i) => i);
  #timeUs = 1.7e15;
  #made = 0;

  constructor(people: Population, actors: FraudActors) {
    this.#people = people;
    this.#actors = actors;
  }

  fold(rows: number, stepUs: number, isHistory: boolean): void {
    const b = this.#block;
    b.n = rows;
    for (let r = 0; r < rows; r++) {
      const i = this.#made++;
      const user = isHistory ? this.#people.historyUser(i) : this.#people.drawUser();
      const merchant = isHistory ? this.#people.historyMerchant(i) : this.#people.drawMerchant();
      b.kind[r] = ROW_PAYMENT;
      [b.user.hi[r], b.user.lo[r]] = [mix32(user), user + 1];
      [b.merchant.hi[r], b.merchant.lo[r]] = [mix32(merchant + 7), merchant + 1];
      [b.device.hi[r], b.device.lo[r]] = [mix32(user + 9), user + 1];
      [b.id.hi[r], b.id.lo[r]] = [mix32(i), i + 1];
      this.#timeUs += stepUs;
      b.eventTimeUs[r] = Math.floor(this.#timeUs);
      b.amountBase[r] = 1000 + (mix32(i + 3) % 100_000);
      b.latitudeE6[r] = 40_000_000 + (user % 1000);
      b.longitudeE6[r] = -70_000_000;
    }
    for (let r = 0; r < rows; r++) {
      if (r % 64 === 0) this.#actors.readAhead(b, this.#order, r, Math.min(rows, r + 64), 0);
      const code = this.#actors.accept(b, r, this.#matrix, 1 + (this.#made >>> 9));
      if (code !== 0) throw new Error(`a row was refused with ${code}`);
      this.#actors.foldMerchant(b, r, this.#matrix);
    }
  }

  /** Fills the bounded tables of ids and outcomes. */
  fillBounded(): void {
    const b = this.#block;
    for (let i = 0; i < COLD_IDS_MAX; i++) this.#actors.users.cold.add(mix32(i), i, mix32(i + 1), i, 1);
    for (let i = 0; i < OUTCOMES_MAX; i++) {
      [b.user.hi[0], b.user.lo[0], b.id.hi[0], b.id.lo[0]] = [mix32(i), i, mix32(i + 5), i];
      this.#actors.users.outcomes.set(b, 0, i % 2 === 0);
    }
  }
}

function newActors(): FraudActors {
  return new FraudActors({ late_tolerance_us: LATE_TOLERANCE_US, events_max: EVENTS_MAX });
}

function newShard(actors: FraudActors): Shard {
  return new Shard(0, 1, JOURNAL, actors);
}

/** The shard, with what its actors do for a snapshot told to `stops`. */
function watched(shard: Shard, stops: LoopStops): Shard {
  const { actors } = shard;
  const begin = actors.beginSnapshot.bind(actors);
  const step = actors.snapshotStep.bind(actors);
  const loadPart = actors.loadPart.bind(actors);
  actors.beginSnapshot = () => stops.of("snapshot", begin);
  actors.snapshotStep = (w, bytesMax) => stops.of("snapshot", () => step(w, bytesMax));
  actors.loadPart = (r) => stops.of("snapshot", () => loadPart(r));
  return shard;
}

/** Folds rows at the rate while what `begin` began is under way; gives how the loop turned. */
async function beside(begin: (stops: LoopStops) => Promise<unknown>, rows: Rows, rows_per_s: number): Promise<Stops> {
  const stops = new LoopStops();
  const state = { isDone: false };
  const done = begin(stops).finally(() => {
    state.isDone = true;
  });
  let atMs = performance.now();
  let owed = 0;
  while (!state.isDone) {
    await new Promise((resolve) => setImmediate(resolve));
    stops.turn();
    const nowMs = performance.now();
    owed = Math.min(TICK_ROWS_MAX, owed + ((nowMs - atMs) * rows_per_s) / 1000);
    atMs = nowMs;
    if (owed < TICK_ROWS_MAX / 4) continue;
    stops.of("rows", () => rows.fold(Math.floor(owed), 1e6 / rows_per_s, false));
    owed -= Math.floor(owed);
  }
  await done;
  return stops.end();
}

async function timed<T>(work: Promise<T>): Promise<{ readonly value: T; readonly seconds: number }> {
  const from = performance.now();
  const value = await work;
  return { value, seconds: Math.round(performance.now() - from) / 1000 };
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function run(o: SnapshotRun, say: (line: string) => void): Promise<SnapshotResult> {
  const people = new Population(o.users, o.merchants, o.seed);
  const actors = newActors();
  const rows = new Rows(people, actors);
  for (let left = people.historyCount; left > 0; left -= BLOCK_ROWS) {
    rows.fold(Math.min(left, BLOCK_ROWS), people.historyStepUs, true);
  }
  rows.fillBounded();
  const { events, entityEvents, users } = actors.sizes();
  say(`${users} users, ${events} events of users and ${entityEvents} of entities are held`);
  const shard = newShard(actors);
  shard.serving = true;
  const store = new SnapshotFiles(join(o.dir, "snapshots"));
  const told = { bytes: 0, seconds: 0, failed: null as Error | null };
  const snapshotter = new Snapshotter({
    store,
    layout: `${SNAPSHOT_LAYOUT}`,
    clock: systemClock,
    timers: systemTimers,
    onDone: (_shard, _frame, bytes, seconds) => Object.assign(told, { bytes, seconds }),
    onFailed: (_shard, error) => Object.assign(told, { failed: error }),
  });
  const without = await beside(() => sleep(WITHOUT_MS), rows, o.rows_per_s);
  say(`without a snapshot: ${JSON.stringify(without)}`);
  // From where the load of a snapshot and the state it was cut from can be compared.
  const digest = o.users <= 100_000 ? actors.digest() : null;
  const during = await beside((stops) => snapshotter.take(watched(shard, stops)), rows, o.rows_per_s);
  if (told.failed !== null) throw told.failed;
  say(`with a snapshot: ${JSON.stringify(during)}, ${told.bytes} bytes, ${told.seconds} s`);
  const anew = (): Shard => newShard(newActors());
  const rest = { store, anew, clock: systemClock, onUnusable: () => {}, sleep };
  const began = performance.now();
  let loaded: Promise<LoadedSnapshot> | null = null;
  const loading = await beside(
    (stops) => {
      const pause = (): Promise<void> => sleep(LOAD_PAUSE_MS);
      loaded = loadSnapshot(watched(newShard(newActors()), stops), { ...rest, pause });
      return loaded;
    },
    rows,
    o.rows_per_s,
  );
  const seconds = Math.round(performance.now() - began) / 1000;
  const first = (await loaded) as unknown as LoadedSnapshot;
  say(`loaded beside other shards: ${JSON.stringify(loading)}, ${seconds} s`);
  const is_same = digest === null ? first.from.sequence === 0 : first.shard.actors.digest() === digest;
  const rss_mib = Math.round(process.memoryUsage.rss() / 2 ** 20);
  const alone = await timed(loadSnapshot(newShard(newActors()), { ...rest, pause: () => {} }));
  return {
    events: events + entityEvents,
    rss_mib,
    without,
    with: during,
    snapshot_s: told.seconds,
    snapshot_bytes: told.bytes,
    load_beside: { ...loading, seconds },
    load_alone_s: alone.seconds,
    is_same,
  };
}

process.once("message", (o: SnapshotRun) => {
  run(o, (line) => process.send?.({ line })).then(
    (result) => process.send?.({ result }),
    (error: Error) => process.send?.({ failed: error.stack ?? error.message }),
  );
});
