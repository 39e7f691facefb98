import assert from "node:assert/strict";
import { test } from "node:test";
import { syncFacts } from "./sync_trace.ts";

const BLOCK = "/d/jetstream/$G/streams/FG_J0/msgs/1.blk";
const hex = (bytes: Buffer) => bytes.toString("hex").replace(/../g, "\\x$&");

function record(at: number, sequence: number): string {
  const bytes = Buffer.alloc(40);
  bytes.writeUInt32LE(40, 0);
  bytes.writeBigUInt64LE(BigInt(sequence), 4);
  return `${at.toFixed(6)} pwrite64(12<${hex(Buffer.from(BLOCK))}>, "${hex(bytes)}", 40, 0) = 40 <0.000100>`;
}
function ack(at: number, ...sequences: number[]): string {
  const text = sequences.map((s) => `MSG _INBOX.x 1 20\r\n{"stream":"FG_J0", "seq":${s}}\r\n`).join("");
  const parts = `[{iov_base="${hex(Buffer.from(text))}", iov_len=99}], 1`;
  return `${at.toFixed(6)} writev(9<${hex(Buffer.from("socket:[77]"))}>, ${parts}) = 99 <0.000010>`;
}
const sync = (at: number, path = BLOCK) => `${at.toFixed(6)} fsync(12<${hex(Buffer.from(path))}>) = 0 <0.000200>`;

test("an acknowledgement behind the sync of its own record is in order, also two in one write", () => {
  const lines = [record(1, 7), sync(1.001), record(1.002, 8), sync(1.003), ack(1.004, 7, 8)];
  assert.deepEqual(syncFacts(lines, "FG_J0"), { acknowledged: 2, early: 0, syncs: 2 });
});

test("one without a sync between is early: none, before the write, under way, of another file, failed", () => {
  for (const between of [
    [],
    [sync(0.5)],
    [sync(1.0039)],
    [sync(1.001, "/d/jetstream/$G/streams/FG_J1/msgs/1.blk")],
    [sync(1.001).replace("= 0", "= -1 EIO (Input/output error)")],
  ]) {
    const found = syncFacts([record(1, 7), ...between, ack(1.004, 7)], "FG_J0");
    assert.deepEqual([found.acknowledged, found.early], [1, 1], between.join());
  }
});
