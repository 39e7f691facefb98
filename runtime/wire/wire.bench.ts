/**
 * What rows cost on their way to an owner and back: nanoseconds of this thread's processor time a row, and bytes.
 * usage: node runtime/wire/wire.bench.ts [--json] [--rows N] [--help]
 */
import { parseArgs } from "node:util";
import { BLOCK_ROWS, REASON_SLOTS, RowBlock } from "../../proto/columns.ts";
import { readAnswers, readAnswersHead, writeAnswers } from "./answers.ts";
import { readRows, readRowsHead, rowsFitting, writeRows } from "./rows.ts";
import { textBytes, typicalRows } from "./testkit.ts";
import { readHead } from "./wire_head.ts";

const HELP = `usage: node runtime/wire/wire.bench.ts [--json] [--rows N]
ns of processor time and bytes for each row of a frame of N rows (default 1024), typical payments, a third explained;
takes about 10 s`;
const ROUNDS = 8;
const ROWS_A_ROUND = 1_000_000;
const VERSION = { model: "xgboost_fraud_v1_2", rule_set: "5f2c1a9e" };

/** Nanoseconds of this thread's processor time a row, the best round. */
function measure(rows: number, run: () => void): number {
  const turns = Math.ceil(ROWS_A_ROUND / rows);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.threadCpuUsage();
    for (let i = 0; i < turns; i++) run();
    const used = process.threadCpuUsage(before);
    best = Math.min(best, ((used.user + used.system) * 1000) / (turns * rows));
  }
  return Math.round(best);
}

function answer(b: RowBlock, n: number): void {
  for (let r = 0; r < n; r++) {
    b.score[r] = r / n;
    b.outcome[r] = 1 + (r % 3);
    if (r % 3 !== 0) continue;
    b.rules.lo[r] = 0x21;
    for (let k = 0; k < REASON_SLOTS; k++) {
      b.reasonFeature[r * REASON_SLOTS + k] = 5 + k;
      b.reasonWeight[r * REASON_SLOTS + k] = 1 / (k + 2);
    }
  }
}

function bench(n: number): Record<string, number> {
  const b = typicalRows(n);
  const into = new RowBlock();
  const rows = Uint16Array.from({ length: n }, (_, r) => r);
  if (rowsFitting(b, rows, 0, n) !== n) throw new Error(`${n} rows do not fit into a frame`);
  const fitting_ns = measure(n, () => rowsFitting(b, rows, 0, n));
  let frame: Uint8Array = new Uint8Array(0);
  const write_rows_ns = measure(n, () => {
    frame = writeRows(b, rows, n, "node-a", 1, () => "tenant");
  });
  const read_rows_ns = measure(n, () => {
    const { reader, from } = readHead(frame);
    readRows(reader, readRowsHead(reader, from), into, 0, () => 0);
  });
  answer(into, n);
  let answers: Uint8Array = new Uint8Array(0);
  const write_answers_ns = measure(n, () => {
    answers = writeAnswers(into, 0, n, "node-b", 1, () => VERSION);
  });
  const read_answers_ns = measure(n, () => {
    const { reader, from } = readHead(answers);
    readAnswers(reader, readAnswersHead(reader, from), b, rows, n, () => 0);
  });
  return {
    rows: n,
    fitting_ns,
    write_rows_ns,
    read_rows_ns,
    write_answers_ns,
    read_answers_ns,
    together_ns: write_rows_ns + read_rows_ns + write_answers_ns + read_answers_ns,
    row_bytes: Math.round(frame.length / n),
    text_bytes: Math.round(textBytes(b, n) / n),
    answer_bytes: Math.round(answers.length / n),
  };
}

function main(): void {
  const { values } = parseArgs({
    options: {
      json: { type: "boolean" },
      rows: { type: "string", default: "1024" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help === true) {
    console.log(HELP);
    return;
  }
  const n = Number(values.rows);
  if (!(Number.isInteger(n) && n >= 1 && n <= BLOCK_ROWS)) throw new RangeError(`--rows: 1..${BLOCK_ROWS}`);
  const result = bench(n);
  if (values.json === true) console.log(JSON.stringify(result));
  else console.table(result);
}

main();
