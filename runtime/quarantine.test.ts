/** A row that an actor fails on costs its shard what the tick has of it, and nobody else anything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ERROR_NOT_OWNER, ROW_EVENT, RowBlock } from "../proto/columns.ts";
import { FORMAT_NEWEST } from "../proto/frame/frame_header.ts";
import { ErrorCode } from "../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { PassiveRecordLost } from "./kernel/windows/passive_log.ts";
import type { Journal, QuarantinedRow } from "./ports.ts";
import { ACCEPTED, type Decider, type ShardActors } from "./program.ts";
import { Poisoned, Quarantine } from "./quarantine.ts";
import { Shard } from "./shard.ts";
import { type RemoteEntities, stage } from "./stage.ts";
import { SimWorld } from "./testkit/sim_world.ts";
import { Tick } from "./tick.ts";

const SHARDS = 3;
const ROWS = 9;
const MATRIX = { values: new Float32Array(64), bits: new Uint32Array(64) };
const SHAPE = { columns: 4, merchant_at: 0, merchant_columns: 2, device_at: 2, device_columns: 2 };
const DECIDER = { paymentColumns: () => {}, shape: SHAPE } as unknown as Decider;

/** Row r belongs to shard r % 3 and has its merchant there, no device, and the id r. */
function blockOf(): RowBlock {
  const b = new RowBlock();
  for (let r = 0; r < ROWS; r++) {
    b.shard[r] = r % SHARDS;
    b.user.hi[r] = r;
    b.user.lo[r] = 7;
    b.id.lo[r] = r;
    b.merchant.hi[r] = r % SHARDS;
    b.merchant.lo[r] = 1;
    b.eventTimeUs[r] = r;
    b.error[r] = 0;
  }
  b.addBatch(new Uint8Array(0), 0, ROWS, { done: () => {} });
  return b;
}

function shardsWith(over: (id: number) => Partial<ShardActors>): Shard[] {
  return Array.from({ length: SHARDS }, (_, id) => {
    const actors: Partial<ShardActors> = {
      accept: () => ACCEPTED,
      readAhead: () => {},
      foldMerchant: () => false,
      pendMerchant: () => {},
      readDevice: () => false,
      abandon: () => {},
      findFrame: () => 0,
      ...over(id),
    };
    const shard = new Shard(id, SHARDS, {} as Journal, actors as ShardActors);
    shard.serving = true;
    shard.accepting = true;
    shard.answering = true;
    return shard;
  });
}

function staged(b: RowBlock, shards: Shard[], q: Quarantine, remote: RemoteEntities | null = null): Tick {
  const tick = new Tick(SHARDS, MATRIX, remote);
  tick.start(b, MATRIX, FORMAT_NEWEST, 0);
  stage(tick, shards, DECIDER, q);
  return tick;
}

const fresh = (): Quarantine => new Quarantine(null, new SimWorld(1));
const errors = (b: RowBlock): number[] => Array.from(b.error.subarray(0, ROWS));
const failOn =
  (row: number): ShardActors["accept"] =>
  (_b, r) => {
    if (r === row) throw new Error("poison");
    return ACCEPTED;
  };

test("its shard forms no frame and takes no row behind it; the other shards' rows are staged", () => {
  const b = blockOf();
  const q = fresh();
  const shards = shardsWith((id) => (id === 1 ? { accept: failOn(4) } : {}));
  const tick = staged(b, shards, q);
  const no = ErrorCode.UNAVAILABLE;
  assert.deepEqual(errors(b), [0, no, 0, 0, no, 0, 0, no, 0]);
  assert.deepEqual([...tick.frames], [1, 0, 1]);
  assert.deepEqual([tick.framesOpen, shards[1].nextFrame], [2, 1], "no number is used up");
  assert.deepEqual(
    tick.failures.map((f) => [f.shard.id, f.error instanceof Poisoned, (f.error as Poisoned).row?.idLo]),
    [[1, true, 4]],
  );
  assert.deepEqual([shards[1].accepting, shards[1].answering, shards[0].accepting], [false, false, true]);
});

test("in a cluster its rows are asked again, and nobody is asked about them any more", () => {
  const b = blockOf();
  const forgotten: number[] = [];
  const remote: RemoteEntities = { ask: () => {}, forget: (own) => void forgotten.push(own.id) };
  staged(
    b,
    shardsWith((id) => (id === 2 ? { accept: failOn(5) } : {})),
    fresh(),
    remote,
  );
  const no = ERROR_NOT_OWNER;
  assert.deepEqual(errors(b), [0, 0, no, 0, 0, no, 0, 0, no]);
  assert.deepEqual(forgotten, [2]);
});

test("a merchant of another shard that fails on it takes its own shard down too", () => {
  const b = blockOf();
  b.merchant.hi[3] = 1;
  const pendMerchant = (): void => {
    throw new Error("poison");
  };
  const tick = staged(
    b,
    shardsWith((id) => (id === 1 ? { pendMerchant } : {})),
    fresh(),
  );
  assert.deepEqual(
    tick.failures.map((f) => [f.shard.id, (f.error as Poisoned).row?.idLo ?? null]),
    [
      [0, 3],
      [1, null],
    ],
  );
  assert.deepEqual([...tick.frames], [0, 0, 1]);
});

test("rows that others committed are not refused: a shard that cannot fold them ends for good", () => {
  const b = blockOf();
  const foldInbox = (): void => {
    throw new Error("broken");
  };
  const shards = shardsWith((id) => (id === 0 ? { foldInbox } : {}));
  shards[0].inboxQueue.frame[shards[0].inboxQueue.add()] = 1;
  shards[0].inboxQueue.source[0] = 2;
  const tick = staged(b, shards, fresh());
  assert.equal(tick.failures.length, 1);
  const [{ shard, error }] = tick.failures;
  assert.deepEqual([shard.id, error instanceof Poisoned, tick.inbox[0].n], [0, false, 0]);
  assert.match(error.message, /shard 0 cannot fold what other shards committed: broken/);
});

test("what this process lacks is no row's fault: the shard is loaded anew, and no row is remembered", () => {
  for (const cause of [new PassiveRecordLost("EIO"), new RangeError("Array buffer allocation failed")]) {
    const throws = (): never => {
      throw cause;
    };
    const q = fresh();
    const shards = shardsWith((id) => (id === 1 ? { accept: throws } : id === 0 ? { foldInbox: throws } : {}));
    shards[0].inboxQueue.frame[shards[0].inboxQueue.add()] = 1;
    shards[0].inboxQueue.source[0] = 2;
    const tick = staged(blockOf(), shards, q);
    assert.deepEqual(
      tick.failures.map(({ shard, error }) => [shard.id, error instanceof Poisoned && error.row === null]),
      [
        [0, true],
        [1, true],
      ],
    );
    assert.equal(q.size, 0);
  }
  const q = fresh();
  q.blame(blockOf(), 4, new RangeError("Invalid array length"));
  assert.equal(q.size, 1, "a length may come from the row");
});

test("a quarantined row is refused before it meets an actor, unless it was decided all the same", () => {
  const q = fresh();
  staged(
    blockOf(),
    shardsWith(() => ({ accept: failOn(4) })),
    q,
  );
  const met: number[] = [];
  const accept: ShardActors["accept"] = (_b, r) => {
    met.push(r);
    return ACCEPTED;
  };
  const b = blockOf();
  b.kind[1] = ROW_EVENT;
  const calm = staged(
    b,
    shardsWith(() => ({ accept })),
    q,
  );
  assert.deepEqual(errors(b), [0, 0, 0, 0, ErrorCode.INTERNAL, 0, 0, 0, 0]);
  assert.deepEqual([met.includes(4), met.length, calm.failures.length], [false, ROWS - 1, 0]);
  const known = blockOf();
  const tick = staged(
    known,
    shardsWith(() => ({ accept, findFrame: () => 1 })),
    q,
  );
  assert.deepEqual([known.error[4], tick.repeats.map((repeat) => repeat.row)], [0, [4]]);
});

test("the same id of another user, or of another kind, is not the quarantined row", () => {
  const q = fresh();
  const b = blockOf();
  q.blame(b, 4, new Error("poison"));
  assert.equal(q.holds(b, 4), true);
  b.kind[4] = ROW_EVENT;
  assert.equal(q.holds(b, 4), false);
  b.kind[4] = 0;
  b.user.lo[4] = 8;
  assert.equal(q.holds(b, 4), false);
});

test("what is quarantined is kept, bounded, and read again by the next process", () => {
  let kept: readonly QuarantinedRow[] = [];
  let writes = 0;
  const store = {
    read: () => kept,
    write: (rows: readonly QuarantinedRow[]) => {
      kept = rows;
      writes++;
    },
  };
  const world = new SimWorld(1);
  const q = new Quarantine(store, world);
  const b = blockOf();
  for (let i = 0; i < 1001; i++) {
    b.id.hi[0] = i;
    q.blame(b, 0, "a thrown text");
  }
  q.add(kept[5]);
  assert.deepEqual([kept.length, kept[0].idHi, q.size, writes], [1000, 1, 1000, 1001]);
  const next = new Quarantine(store, world);
  assert.equal(next.holds(b, 0), true);
  b.id.hi[0] = 0;
  assert.equal(next.holds(b, 0), false, "the oldest is forgotten");
});

test("rows that cannot be kept are refused all the same, told, and kept with the next one", () => {
  let kept: readonly QuarantinedRow[] = [];
  let isFull = true;
  const store = {
    read: () => [],
    write: (rows: readonly QuarantinedRow[]) => {
      if (isFull) throw new Error("ENOSPC: no space left on device");
      kept = rows;
    },
  };
  const told: [number, string][] = [];
  const q = new Quarantine(store, new SimWorld(1), (rows, e) => told.push([rows, e.message]));
  const b = blockOf();
  const { row } = q.blame(b, 4, new Error("poison"));
  assert.deepEqual([q.holds(b, 4), told], [true, [[1, "ENOSPC: no space left on device"]]]);
  isFull = false;
  q.add(row as QuarantinedRow);
  assert.deepEqual([kept, told.length], [[row], 1], "a row that is known is reason enough to try again");
});
