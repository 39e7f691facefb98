/**
 * Owns the Prometheus registry of a node: request counts and durations (one observation a request or batch, never a
 * payment) and the runtime's own numbers, read from RuntimeStats at scrape time. Every help text ends with the unit.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { registerBuckets } from "./bucket_metric.ts";
import type { RuntimeStats } from "./runtime_stats.ts";

const DURATION_BUCKETS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const OUTCOMES = ["", "ALLOW", "CHALLENGE", "REVIEW", "BLOCK"];
const DEGRADED = ["model", "entity", "fx"];

/** The counters of one endpoint, resolved once so that a request costs no label lookup. */
export interface EndpointMetrics {
  /** A request was answered. `status`: gRPC code name, HTTP status or `ok`; `duration_us` from arrival to answer. */
  answered(status: string, duration_us: number): void;
}

export interface GatewayMetrics {
  readonly registry: Registry;
  endpoint(method: string, endpoint: string): EndpointMetrics;
  /** Rows answered PROVISIONAL at their deadline. */
  provisional(rows: number): void;
}

export function createGatewayMetrics(stats: RuntimeStats, options: { process_metrics?: boolean } = {}): GatewayMetrics {
  const registry = new Registry();
  const requests = new Counter({
    name: "fraud_requests_total",
    help: "Requests answered, a batch counts once (requests)",
    labelNames: ["method", "endpoint", "status"],
    registers: [registry],
  });
  const durations = new Histogram({
    name: "fraud_request_duration_seconds",
    help: "Time from a request's arrival to its answer, a batch counts once (seconds)",
    labelNames: ["method", "endpoint"],
    buckets: DURATION_BUCKETS_S,
    registers: [registry],
  });
  const provisional = new Counter({
    name: "fraud_provisional_rows_total",
    help: "Payments answered by the stand-in policy at their deadline (payments)",
    registers: [registry],
  });
  registerRuntime(registry, stats);
  if (options.process_metrics === true) collectDefaultMetrics({ register: registry });
  return {
    registry,
    endpoint: (method, endpoint) => endpointMetrics(requests, durations, method, endpoint),
    provisional: (rows) => provisional.inc(rows),
  };
}

function endpointMetrics(
  requests: Counter<"method" | "endpoint" | "status">,
  durations: Histogram<"method" | "endpoint">,
  method: string,
  endpoint: string,
): EndpointMetrics {
  const byStatus = new Map<string, { inc(): void }>();
  const duration = durations.labels(method, endpoint);
  return {
    answered(status, duration_us) {
      let counter = byStatus.get(status);
      if (counter === undefined) {
        counter = requests.labels(method, endpoint, status);
        byStatus.set(status, counter);
      }
      counter.inc();
      duration.observe(duration_us / 1e6);
    },
  };
}

function registerRuntime(registry: Registry, stats: RuntimeStats): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  gauge("fraud_mailbox_depth_rows", "Rows that wait for a tick now (rows)", () => stats.mailbox_rows);
  gauge("fraud_mailbox_limit_rows", "Rows past which new ones are shed (rows)", () => stats.mailbox_rows_max);
  counter("fraud_shed_rows_total", "Rows refused because too many waited (rows)", () => stats.shed_rows);
  counter("fraud_journal_bytes_total", "Bytes appended to the journals (bytes)", () => stats.journal_bytes);
  registerBuckets(registry, "fraud_tick_size_rows", "Rows run in one tick (rows)", stats.tick_rows);
  const ages = "From a tick's first row to its frame's acknowledgement (seconds)";
  registerBuckets(registry, "fraud_frame_age_seconds", ages, stats.frame_age_s);
  const acks = "From sending a frame to its acknowledgement (seconds)";
  registerBuckets(registry, "fraud_journal_ack_seconds", acks, stats.journal_ack_s);
  registerBuckets(registry, "fraud_score_distribution", "Scores of decisions, 0 to 1 (probability)", stats.scores);
  registerLabelled(registry, stats);
}

function registerLabelled(registry: Registry, stats: RuntimeStats): void {
  new Gauge({
    name: "active_ml_models",
    help: "Models this node scores with now (1 for each model)",
    labelNames: ["model_type", "version"],
    registers: [registry],
    collect() {
      this.reset();
      for (const m of stats.models) this.labels(m.model_type, m.version).set(1);
    },
  });
  new Counter({
    name: "fraud_decisions_total",
    help: "Decisions acknowledged by the journal, by outcome (decisions)",
    labelNames: ["outcome"],
    registers: [registry],
    collect() {
      this.reset();
      for (let o = 1; o < OUTCOMES.length; o++) this.labels(OUTCOMES[o]).inc(stats.decisions[o]);
    },
  });
  new Counter({
    name: "fraud_degraded_decisions_total",
    help: "Decisions made without something, by what was missing (decisions)",
    labelNames: ["missing"],
    registers: [registry],
    collect() {
      this.reset();
      for (let i = 0; i < DEGRADED.length; i++) this.labels(DEGRADED[i]).inc(stats.degraded[i]);
    },
  });
}
