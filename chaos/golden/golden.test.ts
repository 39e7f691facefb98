/** What older code wrote is read as it was meant: the golden journals of every format, replayed by today's code. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  FORMAT_NEWEST,
  FORMAT_OLDEST,
  formatOf,
  KIND_RELEASE,
  KIND_ROWS,
  kindOf,
} from "../../proto/frame/frame_header.ts";
import { JournalDamaged } from "../../runtime/ports.ts";
import { goldenProgram } from "../simulate/program.ts";
import { readExpected, readGolden, replayed } from "./golden_journal.ts";

const program = await goldenProgram();

for (let format = FORMAT_OLDEST; format <= FORMAT_NEWEST; format++) {
  test(`the golden journals of format ${format} give the state and the decisions they gave once`, async () => {
    const journals = readGolden(format);
    const records = journals.flatMap((j) => j.records);
    const rows = records.filter((r) => kindOf(r) === KIND_ROWS);
    assert.ok(rows.length > 20 && rows.every((r) => formatOf(r) === format), "they are of that format");
    assert.ok(
      records.some((r) => kindOf(r) === KIND_RELEASE),
      "a shard was released",
    );
    const outcome = await replayed(journals, program);
    const expected = readExpected(format);
    assert.deepEqual(outcome.rows, expected.rows);
    assert.deepEqual(outcome.inbox, expected.inbox);
    assert.deepEqual(outcome.digests, expected.digests);
    assert.equal(outcome.compared, expected.compared);
  });
}

test("a changed byte of a golden journal is damage", async () => {
  const journals = readGolden(FORMAT_NEWEST);
  journals[0].records[9][100] ^= 1;
  await assert.rejects(replayed(journals, program), JournalDamaged);
});
