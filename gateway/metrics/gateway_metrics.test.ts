import assert from "node:assert/strict";
import { test } from "node:test";
import { createGatewayMetrics } from "./gateway_metrics.ts";
import { BucketCounts, RuntimeStats } from "./runtime_stats.ts";

test("runtime numbers appear as they are, with units in every help", async () => {
  const stats = new RuntimeStats();
  const metrics = createGatewayMetrics(stats);
  stats.mailbox_rows = 7;
  stats.shed_rows = 3;
  stats.tick_rows.add(64);
  stats.tick_rows.add(65);
  stats.journal_ack_s.add(0.0004);
  stats.decisions[4] = 5;
  stats.models = [{ model_type: "xgboost", version: "1.0" }];
  metrics.endpoint("GRPC", "Analyze").answered("OK", 20_000);
  metrics.provisional(2);
  await metrics.registry.metrics();
  stats.models = [{ model_type: "xgboost", version: "1.1" }];
  const text = await metrics.registry.metrics();
  for (const line of [
    "fraud_mailbox_depth_rows 7",
    "fraud_shed_rows_total 3",
    'fraud_tick_size_rows_bucket{le="64"} 1',
    'fraud_tick_size_rows_bucket{le="128"} 2',
    "fraud_tick_size_rows_sum 129",
    'fraud_journal_ack_seconds_bucket{le="0.0005"} 1',
    'fraud_decisions_total{outcome="BLOCK"} 5',
    'active_ml_models{model_type="xgboost",version="1.1"} 1',
    'fraud_requests_total{method="GRPC",endpoint="Analyze",status="OK"} 1',
    'fraud_request_duration_seconds_bucket{le="0.025",method="GRPC",endpoint="Analyze"} 1',
    'fraud_request_duration_seconds_bucket{le="0.01",method="GRPC",endpoint="Analyze"} 0',
    "fraud_provisional_rows_total 2",
  ]) {
    assert.ok(text.split("\n").includes(line), `${line}\n---\n${text}`);
  }
  assert.ok(!text.includes('version="1.0"'));
  for (const help of text.split("\n").filter((l) => l.startsWith("# HELP"))) {
    assert.match(help, /\(([^()]+)\)$/, help);
  }
});

test("scores are counted into tenths like a histogram with those bounds would", () => {
  const stats = new RuntimeStats();
  const slow = new BucketCounts([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]);
  const scores = new Float32Array(20_001);
  for (let i = 0; i <= 20_000; i++) scores[i] = i / 20_000;
  scores[7] = Number.NaN;
  stats.countScores(scores, 0, scores.length);
  for (const s of scores) slow.add(s);
  assert.deepEqual(stats.scores.counts, slow.counts);
  assert.ok(Math.abs(stats.scores.sum - slow.sum) < 1e-6);
});
