/**
 * What many known users cost a node that keeps few of them in memory: the actors of one shard as a node has them, with
 * real scratch files, fed tick by tick. Several shards in one process, measured in turns, a slice each, so that a busy
 * machine troubles all of them alike: 10,000 users; as many as are active; the same with merchants that have as many
 * payments as those of the last; and all that are known, of which as many are active. Prints one JSON object: medians
 * of the slices, and ratios. Times are processor times of the whole process and of its main thread; what is measured is
 * a payment's way through the actors, not gateway, model and journal. `cleaned_bytes` says whether the log of passive
 * users was being cleaned meanwhile. Merchants stay below the number of events at which actors become heavy.
 * Use: node chaos/bench/passive.bench.ts [--known N] [--active N] [--clean] [--help]. `--clean`: also
 * while the log is cleaned, which begins when as many have come back as are known. 10 million users take 6 minutes
 * and 5 GB.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { FraudActors, LATE_TOLERANCE_US } from "../../actors/decision/shard_actors.ts";
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
/** Users of the smallest shard. */
const FEW = 10_000;
/** Turns that are measured, and payments of a turn for each active user. */
const TURNS = 9;
const SLICE = 0.1;
const SLICE_MIN = 5000;
/** Codes of users that no dictionary knows: from here on. */
const STRANGERS = 2 ** 31;

interface Cost {
  readonly payments: number;
  /** Microseconds of processor time a payment: all threads, and the main one. */
  readonly cpu_us: number;
  readonly main_us: number;
  readonly recalled_per_s: number;
  readonly recalled_share: number;
  readonly payments_per_s: number;
  /** Bytes of the log of passive users, a payment. */
  readonly appended_bytes: number;
  readonly cleaned_bytes: number;
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

  /** Payments at the merchants alone, as those of users of other shards, each of whom pays FIRST_PAYMENTS times. */
  strangers(payments: number, step_us: number): void {
    const { windows } = this.actors.merchants;
    for (let i = 0; i < payments; i++) {
      const n = ++this.#serial;
      this.#timeUs += step_us;
      const slot = windows.slot(mix32(n) % MERCHANTS, 7);
      const user = STRANGERS + Math.floor(i / FIRST_PAYMENTS);
      windows.append(slot, Math.floor(this.#timeUs), mix32(n + 1) % 100_000, user, 0, 0, 0);
    }
  }

  async measure(payments: number, user: (n: number) => number, step_us: number): Promise<Cost> {
    const { passive } = this.actors.users;
    const before = passive?.recalled ?? 0;
    const ended = passive?.logEnd ?? 0;
    const began = passive?.logBegin ?? 0;
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
      appended_bytes: round(((passive?.logEnd ?? 0) - ended) / payments),
      cleaned_bytes: round(((passive?.logBegin ?? 0) - began) / payments),
    };
  }
}

function state(feed: Feed): Record<string, unknown> {
  const { users, activeUsers, events, bytes } = feed.actors.sizes();
  const rss_mb = Math.round(process.memoryUsage().rss / 1e6);
  return { users, activeUsers, events_in_memory: events, rss_mb, ...bytes };
}

const say = (what: string, facts: object): void => console.error(what, JSON.stringify(facts));

function median(all: readonly number[]): number {
  return [...all].sort((a, b) => a - b)[all.length >> 1];
}

/** One shard and what it costs while only its active users pay. */
class Town {
  readonly name: string;
  readonly feed: Feed;
  readonly active: number;
  readonly slices: Cost[] = [];

  constructor(name: string, files: PassiveFiles, shard: number, active: number) {
    this.name = name;
    const passivation = { store: files.open(shard), users_max: active };
    this.feed = new Feed(
      new FraudActors({ late_tolerance_us: LATE_TOLERANCE_US, events_max: 64_000_000, passivation }),
    );
    this.active = active;
  }

  hot = (n: number): number => mix32(n ^ 0x9e3779b1) % this.active;

  /** Users from .. to pay for the first time. */
  first(from: number, to: number, step_us: number): Promise<Cost> {
    const user = (n: number): number => from + Math.floor(n / FIRST_PAYMENTS);
    return this.feed.measure((to - from) * FIRST_PAYMENTS, user, step_us);
  }

  /** Every active user pays twice: all are in memory then, and were used since the hand came by. */
  async warm(): Promise<void> {
    for (let i = 0; i < 2; i++) await this.feed.measure(this.active, (n) => n % this.active, 10);
    say(this.name, state(this.feed));
  }

  async slice(turn: number): Promise<void> {
    const payments = Math.max(SLICE_MIN, this.active * SLICE);
    const user = (n: number): number => this.hot(turn * payments + n);
    this.slices.push(await this.feed.measure(payments, user, 10));
  }

  cost(): Record<string, number> {
    const of = (what: keyof Cost): number => median(this.slices.map((c) => c[what]));
    const cleaned_bytes = Math.max(...this.slices.map((c) => c.cleaned_bytes));
    return { cpu_us: of("cpu_us"), main_us: of("main_us"), recalled_share: of("recalled_share"), cleaned_bytes };
  }
}

/** The four shards, all their users known and the active ones in memory. */
async function settle(files: PassiveFiles, known: number, active: number): Promise<Town[]> {
  // All users pay within 20 days.
  const step_us = (20 * DAY_US) / (known * FIRST_PAYMENTS);
  const town = (name: string, shard: number, users: number): Town => new Town(name, files, shard, users);
  const few = town("few", 0, Math.min(FEW, active));
  few.feed.strangers((active - few.active) * FIRST_PAYMENTS, step_us);
  await few.first(0, few.active, step_us);
  const all = town("active", 1, active);
  await all.first(0, active, step_us);
  const busy = town("active_busy_merchants", 2, active);
  await busy.first(0, active, step_us);
  busy.feed.strangers((known - active) * FIRST_PAYMENTS, step_us);
  const many = town("active_of_known", 3, active);
  await many.first(0, active, step_us);
  say("first_of_others", await many.first(active, known, step_us));
  const towns = [few, all, busy, many];
  for (const one of towns) await one.warm();
  return towns;
}

/** What it costs that passive users pay. */
async function comeBack(town: Town, known: number, put: (name: string, facts: object) => void): Promise<void> {
  const { feed, active, hot } = town;
  const other = (n: number): number => active + (mix32(n) % (known - active));
  put("one_of_20_comes_back", await feed.measure(active / 2, (n) => (n % 20 === 0 ? other(n) : hot(n)), 10));
  put("all_come_back", await feed.measure(active / 4, other, 10));
}

/** Until more than half of the log stands for nobody, and then: what its cleaning costs those who return, and after. */
async function clean(town: Town, known: number, put: (name: string, facts: object) => void): Promise<void> {
  const { feed, active, hot } = town;
  const payments = active / 4;
  for (let from = active / 2; ; from += payments) {
    const cost = await feed.measure(payments, (n) => active + (mix32(from + n) % (known - active)), 10);
    if (cost.cleaned_bytes < cost.appended_bytes / 2) continue;
    put("all_come_back_while_cleaning", cost);
    break;
  }
  put("active_come_back", await feed.measure(active, hot, 10));
  await town.warm();
  put("active_after_cleaning", await feed.measure(active / 2, hot, 10));
}

async function main(known: number, active: number, withCleaning: boolean): Promise<void> {
  if (!(active >= 1 && known > active)) throw new RangeError("--known must be above --active, and that above 0");
  const dir = mkdtempSync(join(tmpdir(), "fg-passive-bench-"));
  const files = new PassiveFiles(dir, (e) => console.error(e));
  const result: Record<string, unknown> = { known, active };
  const put = (name: string, facts: object): void => {
    result[name] = facts;
    say(name, facts);
  };
  try {
    const towns = await settle(files, known, active);
    for (let turn = 0; turn < TURNS; turn++) for (const town of towns) await town.slice(turn);
    for (const town of towns) put(town.name, town.cost());
    const ratio = (a: Town, b: Town): number => Math.round((a.cost().cpu_us / b.cost().cpu_us) * 100) / 100;
    const [few, all, busy, many] = towns;
    put("ratios", {
      active_to_few: ratio(all, few),
      known_to_active: ratio(many, all),
      of_that_merchants: ratio(busy, all),
      of_that_known: ratio(many, busy),
    });
    await comeBack(many, known, put);
    if (withCleaning) await clean(many, known, put);
    put("state_in_the_end", state(many.feed));
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
    clean: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (import.meta.main) {
  if (values.help) {
    console.log("node passive.bench.ts [--known N] [--active N] [--clean]: users known and in memory; JSON");
  } else await main(Number(values.known), Number(values.active), values.clean);
}
