import assert from "node:assert/strict";
import { test } from "node:test";
import { Population } from "../load/population.ts";
import { eventSpanUs, planOf } from "./plan.ts";

test("the whole bench fits into three years of event time, a quick one into less", () => {
  const years_us = 3 * 365 * 86_400e6;
  assert.ok(eventSpanUs(planOf(false, undefined)) < years_us);
  assert.ok(eventSpanUs(planOf(true, undefined)) < eventSpanUs(planOf(false, 1)));
  const { historyStepUs } = new Population(planOf(false, undefined).users, 2, 1);
  assert.equal(planOf(false, undefined).event_step_us, historyStepUs);
  assert.equal(planOf(true, 2).runs, 2);
});
