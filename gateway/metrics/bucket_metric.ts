/** Owns the bridge from BucketCounts to a Prometheus histogram: the counts are read at scrape time, never observed. */
import type { Metric, Registry } from "prom-client";
import type { BucketCounts } from "./runtime_stats.ts";

interface Sample {
  readonly metricName: string;
  readonly labels: Record<string, string | number>;
  readonly value: number;
}

/** Registers a histogram that shows `buckets` as they are when asked. */
export function registerBuckets(registry: Registry, name: string, help: string, buckets: BucketCounts): void {
  const metric = {
    name,
    help,
    type: "histogram",
    aggregator: "sum",
    labelNames: [],
    reset(): void {},
    async get() {
      return { name, help, type: "histogram", aggregator: "sum", values: samplesOf(name, buckets) };
    },
  };
  // prom-client reads a registered metric by this shape only; its Metric type also lists what it never calls.
  registry.registerMetric(metric as unknown as Metric);
}

function samplesOf(name: string, buckets: BucketCounts): Sample[] {
  const samples: Sample[] = [];
  let total = 0;
  for (let i = 0; i < buckets.bounds.length; i++) {
    total += buckets.counts[i];
    samples.push({ metricName: `${name}_bucket`, labels: { le: buckets.bounds[i] }, value: total });
  }
  total += buckets.counts[buckets.bounds.length];
  samples.push({ metricName: `${name}_bucket`, labels: { le: "+Inf" }, value: total });
  samples.push({ metricName: `${name}_sum`, labels: {}, value: buckets.sum });
  samples.push({ metricName: `${name}_count`, labels: {}, value: total });
  return samples;
}
