/**
 * Measures one peer in a process of its own: preload, then the best of its batch sizes at saturation, each payment
 * scored by the same model. Prints one line of JSON.
 */
import { parseArgs } from "node:util";
import type { Peer } from "./peer.ts";
import { PEER_COLUMNS, PeerScorer } from "./peer_scorer.ts";
import { PeerWorkload } from "./peer_workload.ts";
import { startRedisPeer } from "./redis_peer.ts";
import { startSqlPeer } from "./sql_peer.ts";

export interface PeerResult {
  readonly peer: "redis" | "sql";
  readonly version: string;
  readonly settings: string;
  readonly preload: { readonly users: number; readonly merchants: number; readonly payments: number };
  readonly runs: readonly { readonly batch: number; readonly decisions_per_s: number }[];
  /** Of the best batch size. */
  readonly decisions_per_s: number;
}

const HELP = `usage: node chaos/bench/peers/main.ts redis|sql --data-dir DIR --model DIR [--users 20000] [--seconds 10]
Decisions a second of the same windows (count, sum) with the same model in Redis or PostgreSQL, as one line of JSON.
`;
/** Users for each merchant, as in the bench itself. */
const USERS_PER_MERCHANT = 20;
const PRELOAD_BATCH = 1000;

async function measure(
  peer: Peer,
  work: PeerWorkload,
  scorer: PeerScorer,
  n: number,
  seconds: number,
): Promise<number> {
  const end_ms = performance.now() + seconds * 1000;
  const start_ms = performance.now();
  let decided = 0;
  let scoring: Promise<unknown> = Promise.resolve();
  const lane = async (): Promise<void> => {
    const windows = new Float64Array(n * PEER_COLUMNS);
    while (performance.now() < end_ms) {
      const batch = work.batch(n);
      await peer.windows(batch, windows);
      // One session runs one batch at a time.
      const turn = scoring.then(() => scorer.score(batch, windows));
      scoring = turn;
      const scores = await turn;
      if (!(scores[0] >= 0 && scores[0] <= 1)) throw new Error(`a score of ${scores[0]}`);
      decided += batch.n;
    }
  };
  await Promise.all(Array.from({ length: peer.lanes }, lane));
  return Math.round(decided / ((performance.now() - start_ms) / 1000));
}

async function preload(peer: Peer, work: PeerWorkload): Promise<void> {
  const windows = new Float64Array(PRELOAD_BATCH * PEER_COLUMNS);
  for (const batch of work.history(PRELOAD_BATCH)) await peer.windows(batch, windows);
  await peer.loaded();
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      "data-dir": { type: "string" },
      model: { type: "string" },
      users: { type: "string", default: "20000" },
      seconds: { type: "string", default: "10" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const [which] = positionals;
  const { "data-dir": data_dir, model } = values;
  const known = which === "redis" || which === "sql";
  if (values.help || !known || data_dir === undefined || model === undefined) {
    (values.help ? process.stdout : process.stderr).write(HELP);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const users = Number(values.users);
  const merchants = users / USERS_PER_MERCHANT;
  const seconds = Number(values.seconds);
  const peer = await (which === "redis" ? startRedisPeer : startSqlPeer)(data_dir);
  try {
    const work = new PeerWorkload(users, merchants, Date.now() * 1000 - 365 * 86_400e6);
    const scorer = await PeerScorer.load(model, Math.max(...peer.batches));
    await preload(peer, work);
    const runs: { batch: number; decisions_per_s: number }[] = [];
    for (const batch of peer.batches) {
      await measure(peer, work, scorer, batch, 1);
      runs.push({ batch, decisions_per_s: await measure(peer, work, scorer, batch, seconds) });
    }
    await scorer.close();
    const result: PeerResult = {
      peer: which,
      version: peer.version,
      settings: peer.settings,
      preload: { users, merchants, payments: work.people.historyCount },
      runs,
      decisions_per_s: Math.max(...runs.map((r) => r.decisions_per_s)),
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } finally {
    await peer.stop();
  }
}

if (import.meta.main) await main();
