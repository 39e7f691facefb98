/** Tests of the picture that is put together from the nodes' answers, and of what people are shown of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type GetStatusResponse,
  GetStatusResponseSchema,
  MoveState,
  NodeRole,
  ShardPart,
  type ShardStatusSchema,
} from "../../proto/gen/fraudguard/v1/admin_pb.ts";
import { drainLeft, movesLeft, shardsText } from "./admin_run.ts";
import { type Asked, clusterStatus } from "./cluster_status.ts";
import { statusReport } from "./status_report.ts";

const { PART_NONE, PART_LOADING, PART_FOLLOWER, PART_OWNER } = ShardPart;

function shard(
  number: number,
  part: ShardPart,
  owner: string,
  epoch: bigint,
  more: MessageInitShape<typeof ShardStatusSchema> = {},
): MessageInitShape<typeof ShardStatusSchema> {
  const journal = { firstSequence: 1n, lastSequence: 50n, sizeBytes: 2048n };
  return { shard: number, part, owner, epoch, frame: 48n, lagFrames: 2n, journal, ...more } as typeof more;
}

type Answer = MessageInitShape<typeof GetStatusResponseSchema>;

function answer(node: string, more: Answer): GetStatusResponse {
  const process = { pid: 7, uptimeS: 3700, residentBytes: 300n << 20n };
  const own = { node, role: NodeRole.ROLE_ALL, weight: 100, ready: true, inCluster: true, process };
  return create(GetStatusResponseSchema, { ...own, ...more } as Answer);
}

const heard = (name: string, silentMs: number, live = true) => ({
  name,
  silentMs,
  live,
  role: NodeRole.ROLE_ALL,
  weight: 100,
});
const answered = (a: GetStatusResponse, name = a.node): Asked => ({ name, grpc: `${a.node}:1`, answer: a, error: "" });
const silent = (name: string): Asked => ({ name, grpc: `${name}:1`, answer: null, error: "UNAVAILABLE: gone" });

test("an owner is who says so in the highest epoch; followers and their lags are told by themselves", () => {
  const a = answer("a", {
    shards: [shard(0, PART_OWNER, "a", 7n, { users: 5n, frame: 50n }), shard(1, PART_NONE, "b", 3n)],
  });
  // It was replaced and does not know it yet.
  const b = answer("b", {
    shards: [shard(0, PART_OWNER, "b", 6n, { users: 4n }), shard(1, PART_OWNER, "b", 3n)],
    moves: [{ shard: 1, to: "a", state: MoveState.MOVE_WAITING }],
  });
  const c = answer("c", {
    shards: [
      shard(0, PART_FOLLOWER, "a", 7n, { journal: { firstSequence: 1n, lastSequence: 51n, sizeBytes: 2100n } }),
      shard(1, PART_LOADING, "b", 3n, { lagFrames: 9n }),
    ],
  });
  const { shards, moves, problems } = clusterStatus([a, b, c].map((x) => answered(x)));
  const [zero, one] = shards;
  assert.deepEqual([zero.owner, zero.epoch, zero.users, zero.frame], ["a", 7, 5, 50]);
  assert.deepEqual([zero.followers, zero.journal?.last_sequence], [[{ node: "c", lag_frames: 2 }], 51]);
  assert.deepEqual([one.owner, one.followers, one.loading], ["b", [], [{ node: "c", lag_frames: 9 }]]);
  assert.deepEqual(moves, [{ shard: 1, from: "b", to: "a", state: "waiting" }]);
  assert.deepEqual(problems, ["shard 1 has no follower up to the tail"]);
});

test("a node that does not answer is shown by what others heard; one that nobody asked is shown too", () => {
  const a = answer("a", {
    heard: [heard("a", 0), heard("b", 4000, false), heard("d", 100)],
    shards: [shard(0, PART_OWNER, "a", 7n), shard(1, PART_FOLLOWER, "d", 3n), shard(2, PART_FOLLOWER, "", 4n)],
  });
  const c = answer("c", {
    heard: [heard("b", 3000, false)],
    shards: [],
    ready: false,
    reason: "shard 2: no node owns it",
  });
  const status = clusterStatus([answered(a), silent("b"), answered(c)]);
  const view = (name: string) => status.nodes.find((n) => n.name === name);
  assert.deepEqual([view("b")?.state, view("b")?.live, view("b")?.silent_ms], ["unreachable", false, 3000]);
  assert.deepEqual([view("d")?.state, view("d")?.live, view("d")?.owned], ["heard", true, [1]]);
  assert.deepEqual(
    status.shards.map((s) => s.owner),
    ["a", "d", null],
  );
  assert.deepEqual(status.problems, [
    "node b does not answer: UNAVAILABLE: gone",
    "node c is not ready: shard 2: no node owns it",
    "d not asked: what they have is not known",
    "shard 2 has no owner",
  ]);
  const text = statusReport(status);
  assert.match(text, /^b +unreachable, silent for 3 s +all +100 +- /m);
  assert.match(text, /^d +not asked, others hear it /m);
  assert.match(text, /^a +ready +all +100 +1 +2 +300 MiB +0\.0 s +1 h 1 min /m);
  assert.match(text, /^! shard 2 has no owner$/m);
});

test("a lone node and one that is drained lack no followers, and damage is told", () => {
  const lone = answer("a", { inCluster: false, shards: [shard(0, PART_OWNER, "a", 1n)] });
  assert.deepEqual(clusterStatus([answered(lone, "")]).problems, []);
  const drained = answer("b", { drained: true, shards: [shard(0, PART_NONE, "a", 1n)] });
  const status = clusterStatus([answered(lone), answered(drained)]);
  assert.deepEqual(status.problems, []);
  assert.match(statusReport(status), /^b +drained /m);
  assert.match(statusReport(status), /all is as it should be/);
  const damaged = answer("a", { shards: [shard(0, PART_OWNER, "a", 1n, { damaged: true })] });
  assert.deepEqual(clusterStatus([answered(damaged)]).problems, ["the journal of shard 0 was found damaged"]);
});

test("a drain is over when the node has nothing, nothing moves, and each shard has an owner", () => {
  const other = answer("a", { shards: [shard(0, PART_OWNER, "a", 2n), shard(1, PART_OWNER, "a", 2n)] });
  const left = (b: Answer, a = other): string => drainLeft("b", clusterStatus([answered(a), answered(answer("b", b))]));
  const none = [shard(0, PART_NONE, "a", 2n), shard(1, PART_NONE, "a", 2n)];
  assert.equal(left({ shards: none }), "");
  assert.equal(left({ shards: [none[0], shard(1, PART_FOLLOWER, "a", 2n)] }), "b still follows shard 1");
  const owns = {
    shards: [none[0], shard(1, PART_OWNER, "b", 3n)],
    moves: [{ shard: 1, to: "a", state: MoveState.MOVE_READY }],
  };
  assert.equal(left(owns), "b still owns shard 1; shard 1 of b goes next to a");
  const released = answer("a", { shards: [shard(0, PART_OWNER, "a", 2n), shard(1, PART_FOLLOWER, "", 3n)] });
  assert.equal(left({ shards: [none[0], shard(1, PART_NONE, "", 3n)] }, released), "shard 1 has no owner");
  assert.equal(drainLeft("b", clusterStatus([answered(other), silent("b")])), "b does not answer");
  assert.equal(movesLeft(clusterStatus([answered(other)])), "");
  assert.deepEqual([shardsText([]), shardsText([2]), shardsText([2, 5])], ["no shards", "shard 2", "shards 2, 5"]);
});
