/** Tests of answer frames: each answer is read back bit for bit into its row; damage is only WireDamaged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { REASON_SLOTS, RowBlock } from "../../proto/columns.ts";
import { readAnswers, readAnswersHead, writeAnswers, writeRefusal } from "./answers.ts";
import {
  ANSWERED,
  bytesOf,
  checkDamage,
  columnsOf,
  dirty,
  frameOf,
  placed,
  randomAnswers,
  randomOf,
} from "./testkit.ts";
import { readHead, WIRE_ANSWERS, WireDamaged } from "./wire_head.ts";

const names = (index: number) => ({ model: index === 0 ? "" : `model-${index}`, rule_set: `rules-${index % 2}` });
/** Another node numbers its versions its own way. */
const versionIndex = (model: string, ruleSet: string): number => {
  const index = [0, 1, 2, 3].find((i) => names(i).model === model && names(i).rule_set === ruleSet);
  if (index === undefined) return 60_000;
  return 40 + index;
};
const counts = fc.record({
  n: fc.integer({ min: 1, max: 60 }),
  start: fc.integer({ min: 0, max: 100 }),
  seed: fc.nat(),
});

/** Rows of the block that asked, in some order. */
function askers(n: number, seed: number): Uint16Array {
  const random = randomOf(seed);
  const rows = new Set<number>();
  while (rows.size < n) rows.add(random() % 200);
  return Uint16Array.from(rows);
}

function answered(start: number, n: number, seed: number): RowBlock {
  const b = dirty(new RowBlock(), seed);
  randomAnswers(b, start, n, seed);
  return b;
}

test("answers are read back bit for bit into the rows that asked, and no other row is touched", () => {
  fc.assert(
    fc.property(counts, ({ n, start, seed }) => {
      const b = answered(start, n, seed);
      const frame = placed(writeAnswers(b, start, n, "owner", seed, names));
      const { kind, from, reader } = readHead(frame);
      const head = readAnswersHead(reader, from);
      assert.equal(kind, WIRE_ANSWERS);
      assert.deepEqual(head, { from: "owner", request: seed, rows: n, refused: false, retry_after_ms: 0 });
      const into = dirty(new RowBlock(), seed + 1);
      const before = columnsOf(into).map(([, column]) => Buffer.from(bytesOf(column)));
      const rows = askers(n, seed);
      readAnswers(reader, head, into, rows, n, versionIndex);
      assert.deepEqual(into.stagesUs, b.stagesUs);
      const source = new Map(columnsOf(b));
      for (const [c, [name, column]] of columnsOf(into).entries()) {
        const expected = before[c];
        const [plain] = name.split(".");
        if (ANSWERED.includes(plain)) {
          const width = expected.length / column.length;
          const slots = name.startsWith("reason") ? REASON_SLOTS : 1;
          for (const [i, r] of rows.entries()) {
            const said = source.get(name) ?? assert.fail(name);
            expected.set(bytesOf(said, start + i, start + i + 1), r * width * slots);
            if (name === "version") expected.writeUInt16LE(40 + b.version[start + i], r * width);
          }
        }
        assert.ok(bytesOf(column).equals(expected), name);
      }
    }),
    { numRuns: 60 },
  );
});

test("damaged answers give WireDamaged or other answers", () => {
  const into = new RowBlock();
  fc.assert(
    fc.property(counts, ({ n, start, seed }) => {
      const frame = writeAnswers(answered(start, n, seed), start, n, "owner", seed, names);
      const rows = askers(n, seed);
      checkDamage(frame, seed, (bytes) => {
        const { reader } = readHead(bytes);
        const head = readAnswersHead(reader, "x");
        // A refusal holds nothing else: only damage makes answers into one.
        if (head.refused) return;
        readAnswers(reader, head, into, rows, n, versionIndex);
        for (const r of rows) assert.ok(into.version[r] >= 40, "a version that was not named");
      });
    }),
    { numRuns: 60 },
  );
});

test("a refusal is read back, and has no answers", () => {
  for (const [said, read] of [
    [0, 0],
    [250, 250],
    [19.2, 20],
    [1e9, 65_535],
    [-3, 0],
  ]) {
    const frame = writeRefusal("owner", 77, said);
    const { reader, from } = readHead(frame);
    const head = readAnswersHead(reader, from);
    assert.deepEqual(head, { from: "owner", request: 77, rows: 0, refused: true, retry_after_ms: read });
    const none = new Uint16Array(0);
    assert.throws(() => readAnswers(reader, head, new RowBlock(), none, 0, versionIndex), WireDamaged);
    checkDamage(frame, 5, (bytes) => void readAnswersHead(readHead(bytes).reader, "x"));
  }
});

test("a head that says two things is refused", () => {
  const head = (refused: number, retry_after_ms: number, rows: number): unknown => {
    const frame = frameOf(WIRE_ANSWERS, (w) => {
      w.u8(9);
      w.u8(refused);
      w.u16(retry_after_ms);
      w.u16(rows);
    });
    return readAnswersHead(readHead(frame).reader, "x");
  };
  assert.deepEqual(head(0, 0, 2048), { from: "x", request: 9, rows: 2048, refused: false, retry_after_ms: 0 });
  assert.deepEqual(head(1, 5, 0), { from: "x", request: 9, rows: 0, refused: true, retry_after_ms: 5 });
  for (const [refused, retry_after_ms, rows] of [
    [0, 0, 0],
    [1, 5, 1],
    [0, 5, 1],
    [0, 0, 2049],
    [2, 5, 0],
  ]) {
    assert.throws(() => head(refused, retry_after_ms, rows), WireDamaged, `${refused} ${retry_after_ms} ${rows}`);
  }
});

test("answers to another number of rows are refused, and bring no version", () => {
  const frame = writeAnswers(answered(0, 5, 1), 0, 5, "owner", 1, names);
  const { reader, from } = readHead(frame);
  const head = readAnswersHead(reader, from);
  const never = (): number => assert.fail("a version was made");
  assert.throws(() => readAnswers(reader, head, new RowBlock(), Uint16Array.of(1, 2), 2, never), WireDamaged);
  for (const [start, count] of [
    [0, 0],
    [2040, 9],
  ]) {
    assert.throws(() => writeAnswers(new RowBlock(), start, count, "owner", 1, names), RangeError);
  }
});

test("a payment time that no actor has is refused", () => {
  const b = answered(0, 3, 1);
  b.paymentTimeUs[1] = Number.NaN;
  const { reader, from } = readHead(writeAnswers(b, 0, 3, "owner", 1, names));
  const head = readAnswersHead(reader, from);
  const rows = Uint16Array.of(0, 1, 2);
  assert.throws(() => readAnswers(reader, head, new RowBlock(), rows, 3, versionIndex), WireDamaged);
});

test("an allowed payment's answer costs 8 bytes, an explained one 31", () => {
  const n = 512;
  const b = new RowBlock();
  const size = () => writeAnswers(b, 0, n, "owner", 1, names).length;
  const head = size() - 8 * n;
  assert.ok(head > 0 && head < 64, `${head} bytes for the head`);
  b.rules.lo.fill(1);
  b.reasonFeature.fill(3);
  assert.equal(size(), 31 * n + head);
});
