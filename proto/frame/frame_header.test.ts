import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import {
  checkFormat,
  FORMAT_NEWEST,
  FORMAT_OLDEST,
  FrameError,
  type FrameExpectation,
  type FrameFields,
  formatOf,
  HEADER_BYTES,
  KIND_ROWS,
  MAX_FRAME_BYTES,
  NO_CHECKSUM,
  readHeader,
  sealFrame,
  verifyFrame,
} from "./frame_header.ts";

const ID = "00112233445566778899aabbccddeeff";

function fields(over: Partial<FrameFields> = {}): FrameFields {
  return {
    kind: KIND_ROWS,
    journalId: ID,
    shard: 3,
    epoch: 7,
    frameNumber: 9,
    frameTimeUs: 1_700_000_000_000_123,
    rowCount: 2,
    previousChecksum: NO_CHECKSUM,
    ...over,
  };
}

function frame(body: Uint8Array, over: Partial<FrameFields> = {}, format = FORMAT_NEWEST): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  bytes.set(body, HEADER_BYTES);
  sealFrame(bytes, fields(over), format);
  return bytes;
}

const expected: FrameExpectation = {
  journalId: ID,
  shard: 3,
  frameNumber: 9,
  previousChecksum: NO_CHECKSUM,
  minEpoch: 7,
};

function fault(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof FrameError) return error.fault;
    throw error;
  }
  return "none";
}

test("a sealed frame reads back as it was written", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: 0, max: 0xffff }),
      fc.integer({ min: 1, max: 0xffffffff }),
      fc.integer({ min: 1, max: 2 ** 48 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.integer({ min: FORMAT_OLDEST, max: FORMAT_NEWEST }),
      (body, shard, epoch, frameNumber, previousChecksum, format) => {
        const written = fields({ shard, epoch, frameNumber, previousChecksum });
        const bytes = frame(body, written, format);
        const header = verifyFrame(bytes, { journalId: ID, shard, frameNumber, previousChecksum, minEpoch: epoch });
        const { version, bodyLength, checksum, ...rest } = header;
        assert.equal(version, format);
        assert.equal(formatOf(bytes), format);
        assert.equal(bodyLength, body.length);
        assert.equal(checksum.length, 16);
        assert.deepEqual(
          { ...rest, previousChecksum: [...rest.previousChecksum] },
          {
            ...written,
            previousChecksum: [...previousChecksum],
          },
        );
        assert.deepEqual(bytes.subarray(HEADER_BYTES), body);
      },
    ),
  );
});

test("the checksum is what the docstring says", () => {
  const bytes = frame(new Uint8Array([1, 2, 3]));
  const covered = Buffer.concat([bytes.subarray(0, 72), bytes.subarray(HEADER_BYTES)]);
  assert.deepEqual([...readHeader(bytes).checksum], [...createHash("sha256").update(covered).digest().subarray(0, 16)]);
});

test("any single changed bit is detected", () => {
  const clean = frame(new Uint8Array(40).fill(5));
  for (let at = 0; at < clean.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const bytes = clean.slice();
      bytes[at] ^= 1 << bit;
      assert.notEqual(
        fault(() => verifyFrame(bytes, expected)),
        "none",
        `byte ${at} bit ${bit}`,
      );
    }
  }
});

test("errors name what is wrong", () => {
  const body = new Uint8Array(8);
  const bytes = frame(body);
  const cases: [string, () => unknown][] = [
    ["size", () => readHeader(bytes.subarray(0, 20))],
    ["length", () => readHeader(bytes.subarray(0, bytes.length - 1))],
    ["magic", () => readHeader(new Uint8Array(100))],
    ["version", () => checkFormat(0)],
    ["version", () => sealFrame(frame(body), fields(), FORMAT_NEWEST + 1)],
    // Damage is not taken for a newer format: the checksum covers it.
    ["checksum", () => verifyFrame(new Uint8Array(bytes).fill(9, 4, 5), expected)],
    ["kind", () => readHeader(new Uint8Array(bytes).fill(9, 6, 7))],
    ["checksum", () => verifyFrame(new Uint8Array(bytes).fill(9, HEADER_BYTES), expected)],
    ["journal", () => verifyFrame(frame(body, { journalId: ID.replace("00", "01") }), expected)],
    ["shard", () => verifyFrame(frame(body, { shard: 4 }), expected)],
    ["number", () => verifyFrame(frame(body, { frameNumber: 10 }), expected)],
    ["epoch", () => verifyFrame(frame(body, { epoch: 6 }), expected)],
    ["previous_checksum", () => verifyFrame(frame(body, { previousChecksum: new Uint8Array(16).fill(1) }), expected)],
    ["size", () => sealFrame(new Uint8Array(MAX_FRAME_BYTES + 1), fields(), 1)],
    ["epoch", () => frame(body, { epoch: 0 })],
    ["number", () => frame(body, { frameNumber: 0.5 })],
    ["journal", () => frame(body, { journalId: "xyz" })],
  ];
  for (const [name, run] of cases) assert.equal(fault(run), name);
});

test("a frame of a newer format is verified like any other, and its body is not for this code", () => {
  const bytes = frame(new Uint8Array(8));
  new DataView(bytes.buffer).setUint16(4, FORMAT_NEWEST + 1, true);
  // Newer code may have kinds of its own, too.
  bytes[6] = 77;
  const covered = Buffer.concat([bytes.subarray(0, 72), bytes.subarray(HEADER_BYTES)]);
  bytes.set(createHash("sha256").update(covered).digest().subarray(0, 16), 72);
  const { version, epoch, frameNumber } = verifyFrame(bytes, expected);
  assert.deepEqual([version, epoch, frameNumber], [FORMAT_NEWEST + 1, 7, 9]);
  assert.throws(() => checkFormat(version), /^FrameError: frame version: format 4, this code reads 1 to 3: newer code/);
});
