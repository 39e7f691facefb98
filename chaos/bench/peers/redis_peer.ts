/**
 * What a team would otherwise write, in Redis: a sorted set of payments for each user and merchant. The fastest exact
 * form found: one Lua call a batch that keeps running counts and sums and takes out only what has left each window,
 * instead of reading a window for each sum. Count and sum only; no late payments, no retries of the same id.
 */
import { Redis } from "ioredis";
import { WINDOWS_US } from "../../../actors/features/registry.ts";
import { startRedis } from "../../../deploy/engines/redis.ts";
import type { Peer } from "./peer.ts";
import { PEER_COLUMNS } from "./peer_scorer.ts";
import type { PeerBatch } from "./peer_workload.ts";

const ROW_BYTES = 32;

/**
 * ARGV[1]: rows of f64 time, f64 amount, u32 id, u32 user, u32 merchant, u32 0. State of an actor: f64 next, count, sum
 * for each window, where `next` is the time of the oldest payment in it. Returns counts and sums as f64.
 */
const SCRIPT = `
local W = {${WINDOWS_US.join(",")}}
local N = ${WINDOWS_US.length}
local F = '<' .. string.rep('d', N * 3)
local unpack_, pack_, call = struct.unpack, struct.pack, redis.call
local rows, out, at = ARGV[1], {}, 1
local function actor(z, h, t, amount, member)
  local s
  local raw = call('GET', h)
  if raw then s = {unpack_(F, raw)} else s = {} for k = 1, N do s[k*3-2] = t s[k*3-1] = 0 s[k*3] = 0 end end
  call('ZADD', z, t, member)
  for k = 1, N do
    local i = k * 3
    local cut = t - W[k]
    if s[i-1] == 0 then s[i-2] = t end
    s[i-1] = s[i-1] + 1
    s[i] = s[i] + amount
    if s[i-2] <= cut then
      local gone = call('ZRANGEBYSCORE', z, s[i-2], cut)
      for g = 1, #gone do s[i] = s[i] - unpack_('<d', gone[g]) end
      s[i-1] = s[i-1] - #gone
      local after = '(' .. string.format('%.0f', cut)
      s[i-2] = tonumber(call('ZRANGEBYSCORE', z, after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
      if k == N then call('ZREMRANGEBYSCORE', z, '-inf', cut) end
    end
    out[#out+1] = pack_('<dd', s[i-1], s[i])
  end
  call('SET', h, pack_(F, unpack(s, 1, N * 3)))
end
for r = 0, #rows / ${ROW_BYTES} - 1 do
  local t, amount, id, user, merchant = unpack_('<ddIII', rows, r * ${ROW_BYTES} + 1)
  local member = pack_('<dI', amount, id)
  actor('zu' .. user, 'su' .. user, t, amount, member)
  actor('zm' .. merchant, 'sm' .. merchant, t, amount, member)
end
return table.concat(out)
`;

export async function startRedisPeer(data_dir: string): Promise<Peer> {
  const engine = await startRedis({ data_dir, port: 0, persist: true });
  const client = new Redis(engine.url, { maxRetriesPerRequest: null });
  const sha = (await client.script("LOAD", SCRIPT)) as string;
  return {
    name: "redis",
    version: engine.version,
    settings:
      "sorted sets, one Lua call a batch (running sums), appendonly yes, appendfsync everysec, ioredis pipelining",
    lanes: 4,
    batches: [16, 64, 256],
    async windows(batch, out) {
      const answer = (await client.callBuffer("EVALSHA", sha, 0, rowsOf(batch))) as Buffer;
      const numbers = batch.n * PEER_COLUMNS;
      if (answer.length !== numbers * 8) throw new Error(`${answer.length} bytes for ${batch.n} payments`);
      for (let i = 0; i < numbers; i++) out[i] = answer.readDoubleLE(i * 8);
    },
    async loaded() {},
    async stop() {
      client.disconnect();
      await engine.stop();
    },
  };
}

function rowsOf(b: PeerBatch): Buffer {
  const rows = Buffer.alloc(b.n * ROW_BYTES);
  for (let i = 0, at = 0; i < b.n; i++, at += ROW_BYTES) {
    rows.writeDoubleLE(b.time_us[i], at);
    rows.writeDoubleLE(b.amount[i], at + 8);
    rows.writeUInt32LE(b.id[i], at + 16);
    rows.writeUInt32LE(b.user[i], at + 20);
    rows.writeUInt32LE(b.merchant[i], at + 24);
  }
  return rows;
}
