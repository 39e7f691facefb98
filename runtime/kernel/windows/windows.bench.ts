/**
 * What an append with its query costs, and what actors and events weigh. Prints one JSON object.
 * Times are CPU times of this thread, so that other work on the machine disturbs them less.
 * Use: node windows.bench.ts [--users N] [--help]. Takes about 20 s and 1.5 GB with the default 1,000,000 users.
 */
import { parseArgs } from "node:util";
import { type WindowOptions, WindowTable } from "./window_table.ts";

const DAY_US = 86400e6;
const START = 1_790_000_000_000_000;
const WINDOWS_US = [60e6, 300e6, 3600e6, DAY_US, 7 * DAY_US, 30 * DAY_US];
const USERS: WindowOptions = {
  windows_us: WINDOWS_US,
  retention_us: 31 * DAY_US,
  late_tolerance_us: DAY_US,
  ids: true,
  events_max: 2 ** 28,
};
const MERCHANTS: WindowOptions = {
  ...USERS,
  delayed: { delay_us: 7 * DAY_US, windows_us: [DAY_US, 7 * DAY_US, 30 * DAY_US] },
  retention_us: 38 * DAY_US,
  ids: false,
};
const out = new Float32Array(64);

let state = 2463534242;
function random(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
}

/** CPU time of this thread, milliseconds. */
function now(): number {
  const used = process.threadCpuUsage();
  return (used.user + used.system) / 1000;
}

/** Nanoseconds per call of `run`, which makes n of them; the best of `rounds`. */
function measure(rounds: number, n: number, run: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < rounds; i++) {
    const start = now();
    run();
    best = Math.min(best, ((now() - start) * 1e6) / n);
  }
  return Math.round(best);
}

function step(t: WindowTable, key: number, timeUs: number, delayedAt: number): void {
  const slot = t.slot(key, Math.imul(key, 0x9e3779b1) >>> 0);
  const id = random();
  if (t.plan.ids && t.findId(slot, id, timeUs % 4294967296) >= 0) throw new Error("an id twice");
  t.append(slot, timeUs, random() % 100_000, random() % 50_000, id, (timeUs % 4294967296) >>> 0, 1);
  t.query(slot, timeUs, out, 0, delayedAt);
}

/** Actors with 13 events each within 30 days, all in cache: the cost of the code itself. */
function light(): number {
  const t = new WindowTable(USERS);
  let time = START;
  const actors = 1000;
  const gap = Math.floor((30 * DAY_US) / 13 / actors);
  const run = () => {
    for (let i = 0; i < 400_000; i++, time += gap) step(t, i % actors, time, -1);
  };
  return measure(4, 400_000, run);
}

/** A merchant's table: one key takes all, and expires as much as it takes. */
function hot(held: number): { ns: number; ns_tenth_late: number; events: number } {
  const t = new WindowTable(MERCHANTS);
  let time = START;
  const gap = Math.floor((38 * DAY_US) / held);
  for (let i = 0; i < held; i++, time += gap) step(t, 1, time, -1);
  const n = 300_000;
  const ns = measure(3, n, () => {
    for (let i = 0; i < n; i++, time += gap) step(t, 1, time, 40);
  });
  // A tenth of the events comes a few places late, as from several gateways.
  const late = measure(2, n, () => {
    for (let i = 0; i < n; i++, time += gap) step(t, 1, i % 10 === 0 ? time - (random() % 20) * gap : time, 40);
  });
  return { ns, ns_tenth_late: late, events: t.events };
}

/** One key, a second of 100,000 events, all windows filling. */
function burst(): number {
  const t = new WindowTable(USERS);
  let time = START;
  return measure(3, 100_000, () => {
    for (let i = 0; i < 100_000; i++, time += 10) step(t, 1, time, -1);
  });
}

/** The longest single call while one key grows to n events, then after a silence that empties the short windows. */
function worst(n: number): { growing_ms: number; after_silence_ms: number } {
  const t = new WindowTable(USERS);
  let growing = 0;
  for (let i = 0; i < n; i++) {
    const start = now();
    step(t, 1, START + i * 50_000, -1);
    if (i > 10_000) growing = Math.max(growing, now() - start);
  }
  const start = now();
  step(t, 1, START + n * 50_000 + 8 * DAY_US, -1);
  const silence = now() - start;
  return { growing_ms: Math.round(growing * 100) / 100, after_silence_ms: Math.round(silence * 100) / 100 };
}

/** Zipf s=1 over the users, by its inverse. */
function zipf(users: number): number {
  return Math.min(users - 1, Math.floor(Math.exp((random() / 4294967296) * Math.log(users))) - 1);
}

function population(users: number): Record<string, number> {
  const t = new WindowTable(USERS);
  const total = users * 13;
  const gap = (28 * DAY_US) / total;
  let worst = 0;
  for (let i = 0; i < users * 8; i++) step(t, i % users, START + Math.floor(i * gap), -1);
  for (let i = 0; i < users * 5; i++) {
    const start = now();
    step(t, (i * 10) % users, START + Math.floor((users * 8 + i) * gap), -1);
    worst = Math.max(worst, now() - start);
  }
  const bytes = t.bytes();
  const memory = { bytes_per_user: Math.round((bytes.actors + bytes.events - t.events * 32) / t.actors) };
  let time = START + 28 * DAY_US;
  const n = 1_000_000;
  const ns = measure(2, n, () => {
    for (let i = 0; i < n; i++, time += 10) step(t, zipf(users), time, -1);
  });
  const after = t.bytes();
  return {
    ...memory,
    ns,
    worst_ms: Math.round(worst * 10) / 10,
    users: t.actors,
    events: t.events,
    bytes_per_user_after: Math.round((after.actors + after.events - t.events * 32) / t.actors),
    index_bytes: after.actors,
    event_bytes: after.events,
  };
}

const { values } = parseArgs({
  options: { users: { type: "string", default: "1000000" }, help: { type: "boolean", default: false } },
});
if (values.help) console.log("node windows.bench.ts [--users N]: cost of append+query in ns, bytes, as JSON");
else {
  const result = {
    light_13_events_ns: light(),
    burst_one_key_ns: burst(),
    hot_key: hot(200_000),
    one_key_2m_events: worst(2_000_000),
    zipf: population(Number(values.users)),
  };
  console.log(JSON.stringify(result, null, 2));
}
