/**
 * Wires one node: journals over NATS, actors, model, rules, identity, gateway. This is the composition root: the only
 * place where adapters meet ports. Engines (the nats-server) are started by whoever calls.
 */
import { randomFillSync, randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FEATURES_VERSION, FraudDecider, type Scoring } from "../../actors/decision/decider.ts";
import { Policy, TEST_CARD_TOKENS, TestCards } from "../../actors/decision/policy.ts";
import { FraudActors, LATE_TOLERANCE_US, SNAPSHOT_LAYOUT } from "../../actors/decision/shard_actors.ts";
import { FEATURE_COUNT } from "../../actors/features/registry.ts";
import { TreeExplainer } from "../../actors/inference/explanation.ts";
import { InferenceActor } from "../../actors/inference/inference_actor.ts";
import { compileRuleSet } from "../../actors/rules/compile.ts";
import { type Gateway, startGateway } from "../../gateway/gateway.ts";
import { type Identity, openIdentity } from "../../gateway/identity/identity.ts";
import { openOperators } from "../../gateway/identity/operators.ts";
import type { Logger } from "../../gateway/log.ts";
import { RuntimeStats } from "../../gateway/metrics/runtime_stats.ts";
import { BLOCK_ROWS } from "../../proto/columns.ts";
import { FORMAT_NEWEST } from "../../proto/frame/frame_header.ts";
import { SectionSealer } from "../../proto/frame/sealer.ts";
import { type Tenant, tenantIndex } from "../../proto/tenant.ts";
import type { ClusterOptions } from "../../runtime/cluster/cluster.ts";
import type { Owner } from "../../runtime/journal/takeover.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import { measureFsyncRate } from "../../runtime/nats/fsync_probe.ts";
import { JetStreamJournalStore } from "../../runtime/nats/jetstream_journal.ts";
import { KvLeaseStore } from "../../runtime/nats/kv_lease.ts";
import { NatsTransport } from "../../runtime/nats/nats_transport.ts";
import { PublicStreams } from "../../runtime/nats/public_streams.ts";
import { RuntimeNode } from "../../runtime/node.ts";
import type { SnapshotStore } from "../../runtime/ports.ts";
import type { NodeRole } from "../../runtime/wire/announcement.ts";
import { REGISTRY_FOLDER } from "../models/files.ts";
import { openModel } from "../models/open_model.ts";
import { OPERATORS_FILE } from "./admin_key.ts";
import { clusterDecisions } from "./cluster_decisions.ts";
import { NodeTexts } from "./decision_texts.ts";
import { requireSecretsOf } from "./journal_secrets.ts";
import { keepText } from "./kept_file.ts";
import { KeptWeight } from "./kept_weight.ts";
import { NoJournals } from "./no_journals.ts";
import { type NodeLinks, openLinks } from "./node_links.ts";
import { NodeOperations } from "./node_operations.ts";
import { PassiveFiles } from "./passive_files.ts";
import { QuarantineFile } from "./quarantine_file.ts";
import { SnapshotFiles } from "./snapshot_files.ts";
import { registerStateMetrics } from "./state_metrics.ts";
import { StatsObserver } from "./stats_observer.ts";
import { StoredDecisions } from "./stored_decisions.ts";
import { systemClock, systemTimers } from "./system_clock.ts";

export const DEFAULT_RULES = new URL("../../actors/rules/default_rules.json", import.meta.url);
export { DEFAULT_MODEL } from "../models/shipped.ts";

/** Archive of rule sets, in the node's folder and beside tenants.json. */
const RULE_SETS = "rule-sets";

/** At 50,000 decisions a second what is admitted waits a quarter of a second at most. */
const MAILBOX_BLOCKS = 6;

/** Users in memory unless told otherwise: three to four gigabytes. */
export const ACTIVE_USERS_MAX = 4_000_000;

export interface FraudNodeOptions {
  /** Folder for secrets, snapshots, rule archive. */
  readonly data_dir: string;
  /** `nats://host:port`, or several with commas. */
  readonly nats_url: string;
  /** File of the logins of a node's role; absent: servers that ask for none. */
  readonly nats_credentials?: string;
  /** PEM file of the authority that vouches for the servers; absent: no TLS. */
  readonly nats_tls_ca?: string;
  /** Servers that keep each journal, and the public streams when they are made; default 1. */
  readonly nats_replicas?: number;
  readonly tenants_path: string;
  readonly grpc_port: number;
  readonly rest_port: number;
  readonly shards: number;
  readonly log: Logger;
  /**
   * Folder of the model; null decides by rules alone (every decision degraded: model). Absent: the champion of the
   * registry beside the tenants or, without one, the shipped model.
   */
  readonly model_dir?: string | null;
  /** File of keys that the model may be signed with, beside the registry's and those of shipped models. */
  readonly trusted_keys?: string;
  readonly rules_path?: string | URL;
  readonly snapshot_interval_ms: number;
  /** A store that all nodes share; default this node's own, in `data_dir`. */
  readonly snapshots?: SnapshotStore;
  /** Consume fraud.transaction.events. */
  readonly public_streams: boolean;
  readonly otlp_url?: string;
  readonly inference_budget_ms?: number;
  /** Events one table of a shard may hold. */
  readonly events_max?: number;
  /** Users in memory, shared out among the shards; quiet ones beyond it wait in files. Default ACTIVE_USERS_MAX. */
  readonly active_users_max?: number;
  /** Blocks of 2,048 rows the mailbox may hold, those under way included; default MAILBOX_BLOCKS. */
  readonly mailbox_blocks_max?: number;
  readonly late_tolerance_us?: number;
  readonly cuda?: boolean;
  /** One of several nodes over the same journals, which share the shards out; absent: this node owns all of them. */
  readonly cluster?: ClusterPart;
  /** This node's name, for good; default one that is drawn at the first start. */
  readonly node_name?: string;
  /** Keys of all tenants, the same on all nodes; default secrets.json in `data_dir`. */
  readonly secrets_path?: string;
  /** Claim the shards without waiting for the leases of a node that holds them. */
  readonly take_over?: boolean;
  /** Newest format of journals that it writes; default the newest that is known. */
  readonly journal_format?: number;
  /** Told when a shard stopped for good: the process should end. */
  readonly onShardStopped?: (detail: Record<string, unknown>) => void;
}

/** What makes a node one of several. */
export interface ClusterPart {
  /** Until an operator sets another one. */
  readonly weight: number;
  /** Secret of its nodes. */
  readonly key: string;
  readonly role: NodeRole;
}

export interface FraudNode {
  readonly runtime: RuntimeNode;
  readonly gateway: Gateway;
  readonly identity: Identity;
  readonly stats: RuntimeStats;
  readonly observer: StatsObserver;
  readonly fsync_per_s: number;
  close(): Promise<void>;
}

function testCards(tenants: readonly Tenant[]): TestCards {
  const cards = new TestCards(tenants.length);
  for (const t of tenants) {
    if (!t.magic_cards) continue;
    cards.enable(
      t.index,
      TEST_CARD_TOKENS.map((token) => {
        keyedHashText(token, t.hash_key[0], t.hash_key[1]);
        return [H.hi, H.lo] as const;
      }),
    );
  }
  return cards;
}

async function openScoring(o: FraudNodeOptions): Promise<Scoring | null> {
  if (o.model_dir === null) return null;
  const { model, signer, stage, dir } = await openModel({
    registry_dir: join(dirname(o.tenants_path), REGISTRY_FOLDER),
    ...(o.model_dir === undefined ? {} : { model_dir: o.model_dir }),
    ...(o.trusted_keys === undefined ? {} : { trusted_keys: [o.trusted_keys] }),
  });
  o.log.info({ model: model.card.name, dir, stage, signed_by: signer.name }, "model verified");
  const inference = await InferenceActor.start({
    model,
    capacity: BLOCK_ROWS,
    buffers: 5,
    budget_ms: o.inference_budget_ms ?? 100,
    clock: systemClock,
    timer: {
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
    },
    onError: (message) => o.log.error({ message }, "inference failed"),
  });
  return { inference, explainer: new TreeExplainer(model.explain, FEATURE_COUNT), model: model.card.name };
}

/** Texts of rule sets: from this node's archive, and from that of all nodes, beside what else they share. */
function ruleTexts(o: FraudNodeOptions): NodeTexts {
  const shared = join(dirname(o.tenants_path), RULE_SETS);
  return new NodeTexts(join(o.data_dir, RULE_SETS), shared, (e) =>
    o.log.warn({ message: e.message }, "rule set not kept where other nodes find it"),
  );
}

export async function startFraudNode(o: FraudNodeOptions): Promise<FraudNode> {
  // What was opened is closed in the opposite order, also when a later step fails.
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const c of closers.splice(0).reverse()) await c();
  };
  try {
    return { ...(await open(o, closers)), close };
  } catch (e) {
    await close();
    throw e;
  }
}

async function open(o: FraudNodeOptions, closers: (() => Promise<void>)[]): Promise<Omit<FraudNode, "close">> {
  await mkdir(o.data_dir, { recursive: true });
  o.log.info({ pid: process.pid, shards: o.shards, cluster: o.cluster !== undefined }, "starting");
  checkShards(o.data_dir, o.shards);
  const secrets_path = o.secrets_path ?? join(o.data_dir, "secrets.json");
  const identity = openIdentity({ tenants_path: o.tenants_path, secrets_path });
  const role = o.cluster?.role ?? "all";
  const links = await openLinks(o, role, (message) => o.log.error({ message }, "nats-server refused"));
  closers.push(() => links.close());
  const { nats_replicas: num_replicas = 1 } = o;
  const { journals } = links;
  const fsync_per_s = journals === null ? Number.POSITIVE_INFINITY : await measureFsyncRate(journals, { num_replicas });
  const scoring = await openScoring(o);
  if (scoring !== null) closers.push(() => scoring.inference.close());
  const ruleSet = compileRuleSet(JSON.parse(readFileSync(o.rules_path ?? DEFAULT_RULES, "utf8")));
  const texts = ruleTexts(o);
  texts.keep(ruleSet);
  const cards = testCards(identity.tenants);
  const decider = new FraudDecider(scoring, ruleSet, new Policy(ruleSet), cards, (i, v) => texts.add(i, v));
  const stats = new RuntimeStats();
  if (scoring !== null) stats.models = [{ model_type: "xgboost", version: scoring.model }];
  const observer = new StatsObserver(stats);
  const sealer = (journalId: string) => new SectionSealer(identity.tenants, journalId, o.shards > 1, randomFillSync);
  const weight = new KeptWeight(o.data_dir, o.cluster?.weight ?? 100);
  // The name is kept, so that a restart finds its own lease.
  const owner = { node: nodeName(o), bootId: randomUUID() };
  const passive = new PassiveFiles(join(o.data_dir, "passive"), (e) =>
    o.log.error({ name: e.name, message: e.message }, "passive users stay in memory: their file cannot be written"),
  );
  closers.push(async () => passive.close());
  const parts = { identity, links, fsync_per_s, decider, observer, sealer, owner, weight, passive };
  const runtime = await openRuntime(o, parts);
  // Kept when the journals have agreed: a wrong number must not stand in the way of the right one.
  kept(o.data_dir, "shards", `${o.shards}`);
  closers.push(() => runtime.close(5000));
  watchMailbox(runtime, stats);
  const stored = new StoredDecisions(runtime, texts, identity.tenants, systemTimers);
  const { cluster } = runtime;
  const decisions = cluster === null ? stored : clusterDecisions(cluster, stored, identity.tenants);
  const operations = new NodeOperations({ node: owner.node, boot: owner.bootId, role, runtime, weight });
  const operators = openOperators(join(dirname(o.tenants_path), OPERATORS_FILE));
  const payments = role !== "shard";
  const streams = o.public_streams && payments ? await PublicStreams.open(links.traffic, { num_replicas }) : null;
  const gateway = await startGateway({
    intake: runtime.intake,
    decisions,
    clock: systemClock,
    timers: systemTimers,
    identity,
    texts,
    stats,
    readiness: () => ({ ready: runtime.ready, reason: runtime.reason }),
    log: o.log,
    grpc_port: o.grpc_port,
    rest_port: o.rest_port,
    admin: { operations, operators },
    payments,
    more_metrics: (registry) => registerStateMetrics(registry, runtime, observer),
    ...(streams === null ? {} : { streams }),
    ...(o.otlp_url === undefined ? {} : { tracing: { otlp_url: o.otlp_url, service_name: "fraudguard", every: 100 } }),
  });
  closers.push(() => gateway.close());
  return { runtime, gateway, identity, stats, observer, fsync_per_s };
}

interface RuntimeParts {
  readonly passive: PassiveFiles;
  readonly identity: Identity;
  readonly links: NodeLinks;
  readonly fsync_per_s: number;
  readonly decider: FraudDecider;
  readonly observer: StatsObserver;
  readonly sealer: (journalId: string) => SectionSealer;
  readonly owner: Owner;
  readonly weight: KeptWeight;
}

/** A fact kept in the data folder since its first start. */
function kept(data_dir: string, name: string, first: string): string {
  const file = join(data_dir, name);
  keepText(file, `${first}\n`);
  return readFileSync(file, "utf8").trim();
}

/** With another number of shards users would be looked for in journals that do not hold them. */
function checkShards(data_dir: string, shards: number): void {
  const file = join(data_dir, "shards");
  const first = existsSync(file) ? readFileSync(file, "utf8").trim() : `${shards}`;
  if (first !== `${shards}`) throw new Error(`there are ${first} shards (${file}), not ${shards}: see npm run reshard`);
}

/** Blocks of 2,048 rows whose answers a gateway waits for: 50 MB, and two seconds at 30,000 payments a second. */
const ROUTER_BLOCKS = 32;

function clusterParts({ key, role }: ClusterPart, o: FraudNodeOptions, p: RuntimeParts): ClusterOptions {
  return {
    role,
    weight: p.weight.announced,
    transport: new NatsTransport(p.links.traffic, p.owner.node, key, (e) =>
      o.log.error({ name: e.name, message: e.message }, "frame failed"),
    ),
    router_blocks_max: ROUTER_BLOCKS,
    tenantId: (index: number) => p.identity.tenants[index].id,
  };
}

function nodeName(o: FraudNodeOptions): string {
  const node = kept(o.data_dir, "node-id", o.node_name ?? `node-${randomUUID().slice(0, 8)}`);
  if (o.node_name !== undefined && node !== o.node_name) {
    throw new Error(`the data folder is that of node ${node}, not of ${o.node_name}`);
  }
  return node;
}

async function openRuntime(o: FraudNodeOptions, p: RuntimeParts): Promise<RuntimeNode> {
  const { journals } = p.links;
  const active_users_max = o.active_users_max ?? ACTIVE_USERS_MAX;
  const num_replicas = o.nats_replicas ?? 1;
  const store = journals === null ? null : new JetStreamJournalStore(journals, { shards: o.shards, num_replicas });
  if (store !== null) await requireSecretsOf(store, o.shards, p.identity.tenants);
  return RuntimeNode.start({
    owner: p.owner,
    leases: o.take_over === true || journals === null ? null : new KvLeaseStore(journals, { num_replicas }),
    shards: o.shards,
    journals: store ?? new NoJournals(),
    quarantined: new QuarantineFile(join(o.data_dir, "quarantine.json")),
    snapshots: o.snapshots ?? new SnapshotFiles(join(o.data_dir, "snapshots")),
    actors: (shard) =>
      new FraudActors({
        late_tolerance_us: o.late_tolerance_us ?? LATE_TOLERANCE_US,
        events_max: o.events_max ?? 64_000_000,
        passivation: { store: p.passive.open(shard), users_max: Math.ceil(active_users_max / o.shards) },
      }),
    decider: p.decider,
    sealer: p.sealer,
    clock: systemClock,
    timers: systemTimers,
    observer: p.observer,
    tenantIndex: tenantIndex(p.identity.tenants),
    mailbox_blocks_max: o.mailbox_blocks_max ?? MAILBOX_BLOCKS,
    // Appends stay under half of what the disk can make durable, over all shards.
    tick_age_us_min: Math.min(20_000, (2e6 * o.shards) / p.fsync_per_s),
    snapshot_interval_ms: o.snapshot_interval_ms,
    features_version: FEATURES_VERSION,
    rates_version: p.identity.tenants[0]?.rates_version ?? "",
    journal_format: o.journal_format ?? FORMAT_NEWEST,
    snapshot_layout: `${SNAPSHOT_LAYOUT}`,
    cluster: o.cluster === undefined ? null : clusterParts(o.cluster, o, p),
    report: (event, detail) => {
      if (event === "shard_stopped") {
        o.log.fatal(detail, event);
        // One of several nodes has other shards to serve; what it needs is a person.
        if (o.cluster === undefined) o.onShardStopped?.(detail);
      } else if (event === "shard_poisoned") o.log.error(detail, event);
      else o.log.info(detail, event);
    },
  });
}

/** Copies the mailbox's counters into the stats whenever they are read, by a coarse timer. */
function watchMailbox(runtime: RuntimeNode, stats: RuntimeStats): void {
  stats.mailbox_rows_max = runtime.mailbox.rowsMax;
  const timer = setInterval(() => {
    stats.mailbox_rows = runtime.mailbox.depth;
    stats.shed_rows = runtime.mailbox.shed;
  }, 250);
  timer.unref();
}
