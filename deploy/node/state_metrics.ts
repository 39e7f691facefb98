/** Metrics of the state a node holds and of the stages of its ticks, read when they are scraped. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { RuntimeNode } from "../../runtime/node.ts";
import { registerClusterMetrics } from "./cluster_metrics.ts";
import type { StatsObserver } from "./stats_observer.ts";

const STAGES = ["queue", "features", "inference", "rules", "form", "journal"] as const;

export function registerStateMetrics(registry: Registry, node: RuntimeNode, observer: StatsObserver): void {
  const registers = [registry];
  const actors = new Gauge({
    name: "fraudguard_actors_known",
    help: "Actors held in memory (actors)",
    labelNames: ["kind"],
    registers,
    collect() {
      const sizes = node.shards.map((s) => s.actors.sizes());
      const sum = (of: (s: (typeof sizes)[number]) => number) => sizes.reduce((n, s) => n + of(s), 0);
      actors.set(
        { kind: "user" },
        sum((s) => s.users),
      );
      actors.set(
        { kind: "entity" },
        sum((s) => s.entities),
      );
      events.set(
        { kind: "user" },
        sum((s) => s.events),
      );
      events.set(
        { kind: "entity" },
        sum((s) => s.entityEvents),
      );
      for (const part of Object.keys(sizes[0]?.bytes ?? {}))
        bytes.set(
          { part },
          sum((s) => s.bytes[part]),
        );
    },
  });
  const events = new Gauge({
    name: "fraudguard_events_held",
    help: "Events held in windows (events)",
    labelNames: ["kind"],
    registers,
  });
  const bytes = new Gauge({
    name: "fraudguard_state_bytes",
    help: "Memory allocated for state (bytes)",
    labelNames: ["part"],
    registers,
  });
  registerStages(registers, observer);
  registerClusterMetrics(registry, node);
}

function registerStages(registers: Registry[], observer: StatsObserver): void {
  const add = (name: string, help: string, value: () => number) => {
    const counter = new Counter({
      name,
      help,
      registers,
      collect() {
        counter.reset();
        counter.inc(value());
      },
    });
  };
  const stages = new Counter({
    name: "fraudguard_stage_seconds_total",
    help: "Time that ticks spent in each stage (seconds)",
    labelNames: ["stage"],
    registers,
    collect() {
      stages.reset();
      for (const stage of STAGES) stages.inc({ stage }, observer.totals[`${stage}_us`] / 1e6);
    },
  });
  add("fraudguard_stage_ticks_total", "Ticks run (ticks)", () => observer.totals.ticks);
  add("fraudguard_decided_total", "Payments decided and acknowledged (payments)", () => observer.totals.payments);
}
