/**
 * Time of the codec: decode of a payment with seven identifiers, encode of a decision, 64 to a message. Run with
 * `node gateway/codec/codec.bench.ts [--json]`; takes about three seconds.
 */
import { parseArgs } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { FLAG_REPEATED, REASON_SLOTS, RowBlock } from "../../proto/columns.ts";
import { AnalyzeStreamRequestSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { H, keyedHash } from "../../runtime/kernel/keyed_hash.ts";
import { NOW_US, payment, SHARDS, TENANT, testTexts } from "./codec_fixture.ts";
import { encodeShed, encodeStreamResponse } from "./decision_encoder.ts";
import { decodePayments, Envelope, scanStreamRequest } from "./envelope.ts";

const ROWS = 64;
const MESSAGES = 64;
const WINDOW_NS = 200e6;
const WINDOWS = 5;

/** Median over windows of the nanoseconds of one unit; `units`: how many one call does. */
function measure(units: number, call: (i: number) => void): number {
  const results: number[] = [];
  for (let window = -1; window < WINDOWS; window++) {
    const start = process.hrtime.bigint();
    let elapsed = 0;
    let calls = 0;
    while (elapsed < WINDOW_NS) {
      for (let k = 0; k < 16; k++) call(calls++);
      elapsed = Number(process.hrtime.bigint() - start);
    }
    if (window >= 0) results.push(elapsed / calls / units);
  }
  results.sort((a, b) => a - b);
  return Math.round(results[WINDOWS >> 1] * 10) / 10;
}

function request(message: number): Buffer {
  const payments = Array.from({ length: ROWS }, (_, i) => payment(message * ROWS + i));
  return Buffer.from(
    toBinary(
      AnalyzeStreamRequestSchema,
      create(AnalyzeStreamRequestSchema, { batchId: BigInt(message + 1), payments }),
    ),
  );
}

/** What a shard would have answered: every third row with rules and feature reasons. */
function answer(block: RowBlock): void {
  for (let row = 0; row < ROWS; row++) {
    block.score[row] = row / ROWS;
    block.outcome[row] = 1 + (row % 4);
    block.version[row] = 1;
    block.flags[row] = row % 16 === 0 ? FLAG_REPEATED : 0;
    if (row % 3 !== 0) continue;
    block.rules.lo[row] = 0x21;
    for (let i = 0; i < REASON_SLOTS; i++) {
      block.reasonFeature[row * REASON_SLOTS + i] = 5 + i;
      block.reasonWeight[row * REASON_SLOTS + i] = 1 / (i + 2);
    }
  }
}

function main(): void {
  const { values } = parseArgs({ options: { json: { type: "boolean" }, help: { type: "boolean" } } });
  if (values.help === true) {
    console.log(
      "usage: node gateway/codec/codec.bench.ts [--json]\nns for each payment decoded, decision encoded, hash",
    );
    return;
  }
  const messages = Array.from({ length: MESSAGES }, (_, i) => request(i));
  const envelope = new Envelope();
  const block = new RowBlock();
  const texts = testTexts();
  let taken = 0;
  const decode_ns = measure(ROWS, (i) => {
    const bytes = messages[i % MESSAGES];
    scanStreamRequest(bytes, envelope);
    taken = decodePayments(bytes, envelope, block, 0, TENANT, SHARDS, NOW_US);
  });
  if (taken !== ROWS) throw new Error(`only ${taken} of ${ROWS} payments were taken`);
  const scan_ns = measure(ROWS, (i) => scanStreamRequest(messages[i % MESSAGES], envelope));
  decodePayments(messages[0], envelope, block, 0, TENANT, SHARDS, NOW_US);
  scanStreamRequest(messages[0], envelope);
  decodePayments(messages[0], envelope, block, 0, TENANT, SHARDS, NOW_US);
  block.addBatch(messages[0], 0, ROWS, { done: () => {} });
  answer(block);
  let bytes = 0;
  const encode_ns = measure(ROWS, () => {
    bytes = encodeStreamResponse(block, 0, ROWS, texts, false, 1, 1).length;
  });
  const shed_ns = measure(ROWS, () => encodeShed(messages[0], 1, 1, ROWS, 250));
  const id = Buffer.from("user-123456-abcd");
  let sum = 0;
  const hash_16_bytes_ns = measure(1, () => {
    sum += keyedHash(id, 0, 16, 1, 2) ^ H.lo;
  });
  const result = {
    decode_ns,
    scan_ns,
    encode_ns,
    shed_ns,
    hash_16_bytes_ns,
    request_bytes: Math.round(messages[0].length / ROWS),
    reply_bytes: Math.round(bytes / ROWS),
    checked: sum !== 0,
  };
  if (values.json === true) console.log(JSON.stringify(result));
  else console.table(result);
}

main();
