/**
 * What many known users cost a node that keeps few of them in memory: the actors of one shard as a node has them, with
 * real scratch files, fed tick by tick. Prints one JSON object. Times are processor times of the whole process and of
 * its main thread; what is measured is a payment's way through the actors, not gateway, model and journal.
 * Use: node chaos/bench/passive.bench.ts [--known N] [--active N] [--help]. 10 million users take 4 minutes and 4 GB.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { FraudActors } from "../../actors/decision/shard_actors.ts";
import { FEATURE_COUNT } from "../../actors/features/registry.ts";
import { mix32 } from "../../deploy/demo/prng.ts";
import { PassiveFiles } from "../../deploy/node/passive_files.ts";
import { LOCATION_NONE, ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import { READ_AHEAD_ROWS } from "../../runtime/program.ts";

/** Rows of a tick at 20,000 payments a second: the node waits 2 to 4 ms. */
const TICK_ROWS = 64;
const DAY_US = 86_400e6;
const START_US = 1_790_000_000_000_000;
/** Payments of each user at once when it is first seen. */
const FIRST_PAYMENTS = 3;
const MERCHANTS = 50_000;

interface Cost {
  readonly payments: number;
  /** Microseconds of processor time a payment: all threads, and the main one. */
  readonly cpu_us: number;
  readonly main_us: number;
  readonly recalled_per_s: number;
  readonly recalled_share: number;
  readonly payments_per_s: number;
}

class Feed {
  readonly actors: FraudActors;
  readonly #block = new RowBlock();
  readonly #matrix = new Float32Array(TICK_ROWS * FEATURE_COUNT);
  readonly #order = Uint16Array.from({ length: TICK_ROWS }, (_, i) => i);
  #timeUs = START_US;
  #serial = 0;
  #frame = 0;

  constructor(actors: FraudActors) {
    this.actors = actors;
    this.#block.n = TICK_ROWS;
    for (let r = 0; r < TICK_ROWS; r++) {
      this.#block.kind[r] = ROW_PAYMENT;
      this.#block.latitudeE6[r] = LOCATION_NONE;
      this.#block.longitudeE6[r] = LOCATION_NONE;
    }
  }

  /** One tick: a payment of each user that `user` names. */
  async tick(user: (row: number) => number, step_us: number): Promise<void> {
    const { actors } = this;
    const b = this.#block;
    this.#frame++;
    for (let r = 0; r < TICK_ROWS; r++) {
      const u = user(r);
      const n = ++this.#serial;
      this.#timeUs += step_us;
      b.user.hi[r] = mix32(u);
      b.user.lo[r] = mix32(u ^ 0x5bd1e995);
      b.id.hi[r] = n;
      b.id.lo[r] = mix32(n);
      b.merchant.hi[r] = mix32(n) % MERCHANTS;
      b.merchant.lo[r] = 7;
      b.eventTimeUs[r] = Math.floor(this.#timeUs);
      b.amountBase[r] = mix32(n + 1) % 100_000;
    }
    const recall = actors.recall(b, 0);
    if (recall !== null) await recall;
    for (let r = 0; r < TICK_ROWS; r += READ_AHEAD_ROWS) actors.readAhead(b, this.#order, r, r + READ_AHEAD_ROWS, 0);
    for (let r = 0; r < TICK_ROWS; r++) {
      if (actors.accept(b, r, this.#matrix, this.#frame) !== 0) throw new Error("a payment was not accepted");
      actors.foldMerchant(b, r, this.#matrix);
    }
    actors.passivate(TICK_ROWS);
  }

  async measure(payments: number, user: (n: number) => number, step_us: number): Promise<Cost> {
    const { passive } = this.actors.users;
    const before = passive?.recalled ?? 0;
    const cpu = process.cpuUsage();
    const main = process.threadCpuUsage();
    const from = performance.now();
    for (let n = 0; n < payments; n += TICK_ROWS) {
      await this.tick((r) => user(n + r), step_us);
      // A turn of the event loop, as between ticks: what is written behind gets its callbacks.
      if (n % (64 * TICK_ROWS) === 0) await new Promise((done) => setImmediate(done));
    }
    const seconds = (performance.now() - from) / 1000;
    const all = process.cpuUsage(cpu);
    const own = process.threadCpuUsage(main);
    const recalled = (passive?.recalled ?? 0) - before;
    const round = (n: number): number => Math.round(n * 100) / 100;
    return {
      payments,
      cpu_us: round((all.user + all.system) / payments),
      main_us: round((own.user + own.system) / payments),
      recalled_per_s: Math.round(recalled / seconds),
      recalled_share: round(recalled / payments),
      payments_per_s: Math.round(payments / seconds),
    };
  }
}

function state(feed: Feed): Record<string, unknown> {
  const { users, activeUsers, events, bytes } = feed.actors.sizes();
  const rss_mb = Math.round(process.memoryUsage().rss / 1e6);
  return { users, activeUsers, events_in_memory: events, rss_mb, ...bytes };
}

async function main(known: number, active: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "fg-passive-bench-"));
  const files = new PassiveFiles(dir, (e) => console.error(e));
  const passivation = { store: files.open(0), users_max: active };
  const feed = new Feed(new FraudActors({ late_tolerance_us: 3600e6, events_max: 64_000_000, passivation }));
  const say = (what: string, facts: object): void => console.error(what, JSON.stringify(facts));
  // All users pay within 20 days; afterwards the active ones once a day or so.
  const step_us = (20 * DAY_US) / (known * FIRST_PAYMENTS);
  const first = (from: number, to: number): Promise<Cost> =>
    feed.measure((to - from) * FIRST_PAYMENTS, (n) => from + Math.floor(n / FIRST_PAYMENTS), step_us);
  const hot = (n: number): number => mix32(n ^ 0x9e3779b9) % active;
  const result: Record<string, unknown> = {};
  const put = (name: string, facts: object): void => {
    result[name] = facts;
    say(name, facts);
  };
  try {
    put("first_of_active", await first(0, active));
    await feed.measure(active, hot, 10);
    put("active_only", await feed.measure(2 * active, hot, 10));
    put("state_active_only", state(feed));
    put("first_of_others", await first(active, known));
    put("coming_back", await feed.measure(active, (n) => mix32(n) % active, 10));
    await feed.measure(4 * active, hot, 10);
    put("active_of_known", await feed.measure(2 * active, hot, 10));
    put("state_active_of_known", state(feed));
    const rare = (n: number): number => (n % 20 === 0 ? active + (mix32(n) % (known - active)) : hot(n));
    put("one_of_20_comes_back", await feed.measure(active, rare, 10));
    put("all_come_back", await feed.measure(active / 4, (n) => active + (mix32(n) % (known - active)), 10));
    put("state_in_the_end", state(feed));
    console.log(JSON.stringify(result, null, 2));
  } finally {
    files.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

const { values } = parseArgs({
  options: {
    known: { type: "string", default: "10000000" },
    active: { type: "string", default: "1000000" },
    help: { type: "boolean", default: false },
  },
});
if (import.meta.main) {
  if (values.help) console.log("node passive.bench.ts [--known N] [--active N]: users known and in memory; JSON");
  else await main(Number(values.known), Number(values.active));
}
