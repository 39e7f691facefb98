/**
 * Owns the traces: for one batch in every `every`, the spans fraud_analysis > feature_extraction, ml_inference and
 * rule_evaluation, made after the fact from the tick's stage times. Without an OTLP endpoint nothing is loaded at all.
 */
import type { Span, Tracer } from "@opentelemetry/api";

export interface TracingOptions {
  /** OTLP over HTTP with protobuf, e.g. http://127.0.0.1:4318/v1/traces. */
  readonly otlp_url: string;
  readonly service_name: string;
  /** One batch in this many is traced; 1 traces all. */
  readonly every: number;
}

export interface BatchTracer {
  /** True for the batches to trace: a counter, so it costs nothing and needs no randomness. */
  sampled(): boolean;
  /** `stages_us`: queue, features, inference, rules, journal; `end_us` wall time of the answer. */
  trace(stages_us: ArrayLike<number>, end_us: number, tenant: string, rows: number): void;
  close(): Promise<void>;
}

/** The tracing of a node that has no OTLP endpoint. */
export const NO_TRACING: BatchTracer = {
  sampled: () => false,
  trace() {},
  async close() {},
};

export async function openTracing(options: TracingOptions | null): Promise<BatchTracer> {
  if (options === null) return NO_TRACING;
  const [api, sdk, exporter, resources] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/exporter-trace-otlp-proto"),
    import("@opentelemetry/resources"),
  ]);
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({ "service.name": options.service_name }),
    sampler: new sdk.AlwaysOnSampler(),
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: new exporter.OTLPTraceExporter({ url: options.otlp_url }),
        maxQueueSize: 4096,
        maxExportBatchSize: 512,
      }),
    ],
  });
  return new StageTracer(api, provider.getTracer("fraudguard"), Math.max(1, Math.floor(options.every)), async () => {
    await provider.forceFlush();
    await provider.shutdown();
  });
}

class StageTracer implements BatchTracer {
  readonly #tracer: Tracer;
  readonly #every: number;
  readonly #stop: () => Promise<void>;
  #left: number;
  readonly #api: typeof import("@opentelemetry/api");

  constructor(api: typeof import("@opentelemetry/api"), tracer: Tracer, every: number, stop: () => Promise<void>) {
    this.#api = api;
    this.#tracer = tracer;
    this.#every = every;
    this.#left = every;
    this.#stop = stop;
  }

  sampled(): boolean {
    if (--this.#left > 0) return false;
    this.#left = this.#every;
    return true;
  }

  trace(stages_us: ArrayLike<number>, end_us: number, tenant: string, rows: number): void {
    const api = this.#api;
    let at_us = end_us;
    for (let i = 0; i < stages_us.length; i++) at_us -= stages_us[i];
    const root: Span = this.#tracer.startSpan("fraud_analysis", {
      startTime: hrTime(at_us),
      attributes: { "fraud.tenant": tenant, "fraud.rows": rows, "fraud.queue_us": stages_us[0] },
    });
    const under = api.trace.setSpan(api.ROOT_CONTEXT, root);
    at_us += stages_us[0];
    for (let i = 0; i < CHILDREN.length; i++) {
      const span = this.#tracer.startSpan(CHILDREN[i], { startTime: hrTime(at_us) }, under);
      at_us += stages_us[i + 1];
      span.end(hrTime(at_us));
    }
    root.end(hrTime(end_us));
  }

  close(): Promise<void> {
    return this.#stop();
  }
}

const CHILDREN = ["feature_extraction", "ml_inference", "rule_evaluation"];

/** Microseconds since 1970 as OpenTelemetry's [seconds, nanoseconds]. */
function hrTime(us: number): [number, number] {
  const seconds = Math.floor(us / 1e6);
  return [seconds, Math.round((us - seconds * 1e6) * 1000)];
}
