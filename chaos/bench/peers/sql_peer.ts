/**
 * What a team would otherwise write, in PostgreSQL: one table of payments with a covering index for each actor, a
 * batched prepared INSERT and a batched prepared SELECT that counts and sums all windows in one pass over the actor's
 * last 30 days. Committed durably (synchronous_commit on) before it is counted.
 */
import pg from "pg";
import { WINDOWS_US } from "../../../actors/features/registry.ts";
import { startPostgres } from "../../../deploy/engines/postgres.ts";
import type { Peer } from "./peer.ts";
import { PEER_COLUMNS } from "./peer_scorer.ts";

const LANES = 3;
const LONGEST_US = Math.max(...WINDOWS_US);
const TABLE = `
CREATE TABLE payment (
  id int NOT NULL, user_id int NOT NULL, merchant_id int NOT NULL, t bigint NOT NULL, amount bigint NOT NULL
);
CREATE INDEX payment_user ON payment (user_id, t) INCLUDE (amount);
CREATE INDEX payment_merchant ON payment (merchant_id, t) INCLUDE (amount);
`;
const INSERT = {
  name: "insert",
  text: `INSERT INTO payment SELECT * FROM unnest($1::int[], $2::int[], $3::int[], $4::bigint[], $5::bigint[])`,
};

function lateral(owner: "user" | "merchant"): string {
  const columns = WINDOWS_US.map((w) => {
    const filter = w === LONGEST_US ? "" : ` FILTER (WHERE p.t > r.t - ${w})`;
    return `count(*)${filter}::float8, coalesce(sum(p.amount)${filter}, 0)::float8`;
  });
  const where = `p.${owner}_id = r.${owner}_id AND p.t > r.t - ${LONGEST_US} AND p.t <= r.t`;
  return `CROSS JOIN LATERAL (SELECT ${columns.join(", ")} FROM payment p WHERE ${where}) AS ${owner}_windows`;
}

const SELECT = {
  name: "windows",
  text: `SELECT user_windows.*, merchant_windows.*
    FROM unnest($1::int[], $2::int[], $3::bigint[]) WITH ORDINALITY AS r (user_id, merchant_id, t, n)
    ${lateral("user")} ${lateral("merchant")} ORDER BY r.n`,
  rowMode: "array",
};

export async function startSqlPeer(data_dir: string): Promise<Peer> {
  const settings = { shared_buffers: "512MB", synchronous_commit: "on", max_wal_size: "4GB", jit: "off" };
  const engine = await startPostgres({ data_dir, port: 0, settings });
  const pool = new pg.Pool({ connectionString: engine.url, max: LANES });
  let stopping = false;
  // A server that is told to stop may still say so to a connection that was just told to end.
  const onError = (error: Error): void => {
    if (!stopping) throw error;
  };
  pool.on("connect", (client) => void client.on("error", onError));
  // The pool passes on what its idle connections were told.
  pool.on("error", onError);
  await pool.query("DROP TABLE IF EXISTS payment");
  await pool.query(TABLE);
  let counting = false;
  return {
    name: "sql",
    version: engine.version,
    settings: "one table, covering indexes (actor, time), prepared batched INSERT and SELECT, synchronous_commit on",
    lanes: LANES,
    batches: [16, 64, 256],
    async windows(b, out) {
      const client = await pool.connect();
      try {
        await client.query({ ...INSERT, values: [b.id, b.user, b.merchant, b.time_us, b.amount] });
        if (!counting) return;
        const { rows } = await client.query<number[]>({
          ...SELECT,
          values: [b.user, b.merchant, b.time_us],
        } as pg.QueryArrayConfig);
        rows.forEach((row, i) => {
          for (let k = 0; k < PEER_COLUMNS; k++) out[i * PEER_COLUMNS + k] = row[k];
        });
      } finally {
        client.release();
      }
    },
    // The preload only inserts; from here on every batch is counted.
    async loaded() {
      await pool.query("VACUUM (ANALYZE) payment");
      counting = true;
    },
    async stop() {
      stopping = true;
      await pool.end();
      await engine.stop();
    },
  };
}
