/** Days by format: dates, numbers of days, rows and steps, and what a wrong one is answered with. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadMapping } from "../datasets/mapping.ts";
import { DayArguments } from "./day_arguments.ts";

const DAY_US = 86_400e6;
const ZERO_US = Date.UTC(2020, 0, 1) * 1000;
const of = async (format: string) => new DayArguments(await loadMapping(format));

test("both ends of a day are included, in the unit of the format", async () => {
  const [dates, days, rows] = [await of("handbook"), await of("ucsd2009"), await of("s-ffsd")];
  assert.equal(dates.startUs("from", "2018-08-08"), Date.UTC(2018, 7, 8) * 1000);
  assert.equal(dates.endUs("to", "2018-08-14"), Date.UTC(2018, 7, 15) * 1000);
  assert.deepEqual(
    [days.startUs("from", "62"), days.endUs("to", "77")],
    [ZERO_US + 62 * DAY_US, ZERO_US + 78 * DAY_US],
  );
  assert.equal(rows.startUs("from", "46728"), ZERO_US + 46_728 * 302_400_000);
  assert.equal(rows.endUs("to", "46728"), ZERO_US + 46_729 * 302_400_000);
});

test("steps count in their own graph; all of them without an argument", async () => {
  const steps = await of("amlsim");
  const year_us = 365 * DAY_US;
  assert.equal(steps.startUs("from", undefined, 1), ZERO_US + year_us);
  assert.equal(steps.endUs("to", undefined, 1), ZERO_US + 2 * year_us);
  assert.equal(steps.startUs("train-from", "1"), ZERO_US + DAY_US / 6);
  assert.equal(steps.endUs("to", "149", 1), ZERO_US + year_us + (150 * DAY_US) / 6);
});

test("another kind of day is refused with an example of the right one", async () => {
  const cases: [string, string | undefined, RegExp][] = [
    ["handbook", "62", /--from takes a day, e.g. 2018-08-08/],
    ["handbook", undefined, /--from takes a day, e.g. 2018-08-08/],
    [
      "ucsd2009",
      "2020-03-01",
      /--from takes the number of a day with --format ucsd2009, 0 to \d+, e.g. --from 62; given/,
    ],
    ["ucsd2009", undefined, /e.g. --from 62$/],
    ["ucsd2009", "-1", /given was -1/],
    ["ucsd2009", "6.5", /given was 6.5/],
    ["s-ffsd", "2020-03-01", /number of a row with --format s-ffsd, .* e.g. --from 46728/],
    ["amlsim", "2190", /number of a step with --format amlsim, 0 to 2189, e.g. --from 1/],
  ];
  for (const [format, text, message] of cases) {
    const days = await of(format);
    assert.throws(() => days.startUs("from", text), { name: "WrongArgument", message }, `${format} ${text}`);
  }
});

test("a delay in rows is for rows, and one of the two is given", async () => {
  const rows = await of("s-ffsd");
  assert.equal(rows.labelDelayDays(undefined, undefined), 7);
  assert.equal(rows.labelDelayDays(undefined, "2000"), 7);
  assert.equal(rows.labelDelayDays(undefined, "1000"), 3.5);
  assert.equal(rows.labelDelayDays("14", undefined), 14);
  assert.throws(() => rows.labelDelayDays("7", "2000"), { name: "WrongArgument", message: /give one of/ });
  assert.throws(() => rows.labelDelayDays(undefined, "1.5"), { name: "WrongArgument" });
  const days = await of("ucsd2009");
  assert.throws(() => days.labelDelayDays(undefined, "2000"), { name: "WrongArgument", message: /ucsd2009 does not/ });
});
