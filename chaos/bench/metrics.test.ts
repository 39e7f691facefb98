import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics } from "./metrics.ts";

const TEXT = `# HELP a_total What it is
# TYPE a_total counter
a_total{stage="queue"} 1.5
a_total{stage="rules",shard="1"} 2
a_total{stage="rules",shard="2"} 4e3
plain 7
strange{x="a\\"} 9,b"} 3
`;

test("samples are found by name and labels", () => {
  const metrics = new Metrics(TEXT);
  assert.equal(metrics.sum("plain"), 7);
  assert.equal(metrics.sum("a_total"), 4003.5);
  assert.equal(metrics.sum("a_total", { stage: "rules" }), 4002);
  assert.equal(metrics.sum("strange", { x: 'a\\"} 9,b' }), 3);
  assert.ok(Number.isNaN(metrics.sum("none")));
  assert.deepEqual(metrics.by("a_total", "stage"), { queue: 1.5, rules: 4002 });
});
