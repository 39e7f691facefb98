import assert from "node:assert/strict";
import { test } from "node:test";
import { eventSpanUs, planOf } from "./plan.ts";

test("the whole bench fits into a year of event time, a quick one into less", () => {
  const year_us = 365 * 86_400e6;
  assert.ok(eventSpanUs(planOf(false, undefined)) < year_us);
  assert.ok(eventSpanUs(planOf(true, undefined)) < eventSpanUs(planOf(false, 1)));
  assert.equal(planOf(true, 2).runs, 2);
});
