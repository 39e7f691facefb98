/**
 * A replay: earlier history recorded without decisions, then the wanted days decided through the real stream in event
 * order, with outcomes reported after their delay, and what the model was worth.
 */
import { type AnalyzeResult, Outcome } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { FraudClient } from "../client/fraud_client.ts";
import { openHistory } from "../datasets/history.ts";
import type { HistoryRow } from "../datasets/history_row.ts";
import type { ColumnMapping } from "../datasets/mapping.ts";
import { averagePrecision, rocAuc } from "../metrics/ranking.ts";
import { count, Progress } from "../progress.ts";
import { HistoryStream } from "./history_stream.ts";
import { Latencies } from "./latencies.ts";

const DAY_US = 86_400e6;

export interface ReplayPlan {
  readonly client: FraudClient;
  readonly data: readonly string[];
  readonly mapping: ColumnMapping;
  /** [from, to) of the days that are decided, microseconds; what lies before is history. */
  readonly from_us: number;
  readonly to_us: number;
  readonly label_delay_days: number;
  readonly signal: AbortSignal;
}

export interface ReplayResult {
  readonly history: number;
  readonly decisions: number;
  readonly decisions_per_s: number;
  readonly outcomes_reported: number;
  readonly by_outcome: Readonly<Record<string, number>>;
  readonly without_score: number;
  readonly frauds: number;
  /** Of the scores of labelled payments; null where a class is absent. */
  readonly roc_auc: number | null;
  readonly average_precision: number | null;
  /** Of a batch of up to 512 payments, at the rate at which the node took them. */
  readonly latency_ms: { readonly p50: number; readonly p95: number; readonly p99: number };
}

class Scores {
  readonly score: number[] = [];
  readonly fraud: number[] = [];
  readonly outcomes = new Float64Array(5);
  readonly latencies = new Latencies();
  without_score = 0;

  add(row: HistoryRow, { result }: AnalyzeResult, latency_ms: number): void {
    if (result.case !== "decision") return;
    this.latencies.add(latency_ms);
    this.outcomes[result.value.outcome]++;
    if (result.value.score === undefined) this.without_score++;
    else if (row.fraud !== undefined) {
      this.score.push(result.value.score);
      this.fraud.push(row.fraud);
    }
  }
}

export async function replay(o: ReplayPlan): Promise<ReplayResult> {
  const scores = new Scores();
  const now_us = () => performance.now() * 1000;
  const show = (label: string, total: number) =>
    new Progress({ label, unit: "rows", total, stream: process.stderr, now_us });
  const options = {
    client: o.client,
    label_delay_us: o.label_delay_days * DAY_US,
    decide_from_us: o.from_us,
    onDecided: (row: HistoryRow, result: AnalyzeResult, ms: number) => scores.add(row, result, ms),
    signal: o.signal,
  };
  const earlier = new HistoryStream(options);
  const before = await openHistory({ paths: o.data, mapping: o.mapping, to_us: o.from_us });
  const recording = show("recording earlier history", before.total);
  await earlier.run(before, o.from_us, recording);
  recording.finish();
  const days = new HistoryStream({ ...options, waiting: earlier.outcomes });
  const wanted = await openHistory({ paths: o.data, mapping: o.mapping, from_us: o.from_us, to_us: o.to_us });
  const deciding = show("deciding", wanted.total);
  await days.run(wanted, o.to_us, deciding);
  deciding.finish();
  return summary(scores, earlier, days);
}

function summary(scores: Scores, earlier: HistoryStream, days: HistoryStream): ReplayResult {
  const [score, fraud] = [Float64Array.from(scores.score), Uint8Array.from(scores.fraud)];
  const value = (n: number) => (Number.isNaN(n) ? null : n);
  const names = ["ALLOW", "CHALLENGE", "REVIEW", "BLOCK"] as const;
  return {
    history: earlier.counts.payments,
    decisions: days.counts.decisions,
    decisions_per_s: Math.round(days.counts.decisions / days.counts.elapsed_s),
    outcomes_reported: days.outcomes.reported,
    by_outcome: Object.fromEntries(names.map((name) => [name, scores.outcomes[Outcome[name]]])),
    without_score: scores.without_score,
    frauds: fraud.reduce((sum, f) => sum + f, 0),
    roc_auc: value(rocAuc(score, fraud)),
    average_precision: value(averagePrecision(score, fraud)),
    latency_ms: { p50: scores.latencies.at(0.5), p95: scores.latencies.at(0.95), p99: scores.latencies.at(0.99) },
  };
}

export function replayReport(r: ReplayResult): string {
  const three = (n: number | null) => (n === null ? "-" : n.toFixed(3));
  const ms = (n: number) => `${n.toFixed(1)} ms`;
  const outcomes = Object.entries(r.by_outcome).map(([name, n]) => `${name} ${count(n)}`);
  const quality = `ROC AUC ${three(r.roc_auc)}, average precision ${three(r.average_precision)}`;
  const { p50, p95, p99 } = r.latency_ms;
  return [
    `recorded   ${count(r.history)} earlier payments`,
    `decided    ${count(r.decisions)} payments at ${count(r.decisions_per_s)}/s`,
    `outcomes   ${outcomes.join("  ")}${r.without_score > 0 ? `  without a score ${count(r.without_score)}` : ""}`,
    `reported   ${count(r.outcomes_reported)} frauds after their delay`,
    `scores     ${count(r.frauds)} frauds, ${quality}`,
    `latency    p50 ${ms(p50)}  p95 ${ms(p95)}  p99 ${ms(p99)} (batches of up to 512, as fast as the node takes them)`,
    "",
  ].join("\n");
}
