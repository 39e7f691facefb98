/**
 * The operators' commands: ask all nodes for their status, tell one of them to change its share of the shards, and wait
 * until the shards are where they should be.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Admin } from "../../proto/gen/fraudguard/v1/admin_pb.ts";
import { AdminCallFailed, AdminClient } from "./admin_client.ts";
import type { Targets } from "./admin_targets.ts";
import { type Asked, type ClusterStatus, clusterStatus, type NodeView } from "./cluster_status.ts";

/** How often the nodes are asked how far they are, milliseconds. */
const LOOK_MS = 500;
/** Looks in a row that must find nothing left: what a node changes takes the others a moment to hear. */
const QUIET_LOOKS = 3;

/** What was asked for is not done, or cannot be. */
export class NotDone extends Error {
  override name = "NotDone";
}

interface Progress {
  /** What is left to do, in plain words; empty when it is done. */
  readonly left: (status: ClusterStatus) => string;
  readonly wait_s: number;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Connections to the nodes of a cluster. */
export class Operator {
  readonly #nodes: readonly { readonly name: string; readonly grpc: string; readonly client: AdminClient }[];

  constructor({ nodes, key }: Targets) {
    this.#nodes = nodes.map(({ name, grpc }) => ({ name, grpc, client: new AdminClient(grpc, key) }));
  }

  close(): void {
    for (const { client } of this.#nodes) client.close();
  }

  /** Asks all at once; one that does not answer is part of the picture. Rejects when none takes the key. */
  async status(): Promise<ClusterStatus> {
    const asked = this.#nodes.map(async ({ name, grpc, client }): Promise<Asked> => {
      try {
        return { name, grpc, answer: await client.call(Admin.method.getStatus, { node: name }), error: "" };
      } catch (e) {
        if (!(e instanceof AdminCallFailed && e.isUnreachable)) throw e;
        return { name, grpc, answer: null, error: e.message };
      }
    });
    const all = await Promise.all(asked);
    if (all.every((a) => a.answer === null)) throw new NotDone(`no node answers: ${all[0].error}`);
    return clusterStatus(all);
  }

  /** The node that answers to this name. Rejects when there is none. */
  async #client(node: string): Promise<AdminClient> {
    const { nodes } = await this.status();
    const found = nodes.find(({ name }) => name === node);
    if (found === undefined) {
      throw new NotDone(`there is no node ${node}: there are ${nodes.map(({ name }) => name).join(", ")}`);
    }
    if (found.state !== "answered") throw new NotDone(`node ${node}: ${found.error}`);
    return this.#nodes.find(({ grpc }) => grpc === found.grpc)?.client as AdminClient;
  }

  /** Shards that the node hands over. */
  async drain(node: string): Promise<readonly number[]> {
    const client = await this.#client(node);
    return (await client.call(Admin.method.drain, { node })).shards;
  }

  /** The weight that the node wants shards by again. */
  async undrain(node: string): Promise<number> {
    const client = await this.#client(node);
    return (await client.call(Admin.method.undrain, { node })).weight;
  }

  async setWeight(node: string, weight: number): Promise<{ weightBefore: number; drained: boolean }> {
    const client = await this.#client(node);
    return client.call(Admin.method.setWeight, { node, weight });
  }

  /** Tells every node that has shards to hand over what others should own. */
  async rebalance(): Promise<void> {
    const { nodes } = await this.status();
    const holders = nodes.filter((n) => n.state === "answered" && n.role !== "gateway");
    await Promise.all(
      holders.map(({ name, grpc }) => {
        const client = this.#nodes.find((n) => n.grpc === grpc)?.client as AdminClient;
        return client.call(Admin.method.rebalance, { node: name });
      }),
    );
  }

  /** Looks until nothing is left to do, telling each change of what is. Rejects with NotDone past the time. */
  async settled({ left, wait_s, say, signal }: Progress): Promise<void> {
    const until = performance.now() + wait_s * 1000;
    let told = "";
    for (let quiet = 0; quiet < QUIET_LOOKS; ) {
      await delay(LOOK_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
      const what = left(await this.status());
      quiet = what === "" ? quiet + 1 : 0;
      if (what !== "" && what !== told) say(what);
      if (what !== "") told = what;
      if (what !== "" && performance.now() > until) {
        throw new NotDone(`not done after ${wait_s} s, it goes on by itself: ${what}`);
      }
    }
  }
}

/** What keeps shards from where they should be. */
export function movesLeft({ moves, shards }: ClusterStatus): string {
  const nobody = shards.filter((s) => s.owner === null).map((s) => `shard ${s.shard} has no owner`);
  const way = { waiting: "waits for", ready: "goes next to", moving: "moves to" } as const;
  return [...nobody, ...moves.map((m) => `shard ${m.shard} of ${m.from} ${way[m.state]} ${m.to}`)].join(", ");
}

/** What a node that is drained still has. */
export function drainLeft(node: string, status: ClusterStatus): string {
  const view = status.nodes.find((n) => n.name === node) as NodeView;
  const parts: string[] = [];
  if (view.state !== "answered") return `${node} does not answer`;
  if (view.owned.length > 0) parts.push(`owns ${shardsText(view.owned)}`);
  if (view.followed.length > 0) parts.push(`follows ${shardsText(view.followed)}`);
  const has = parts.length === 0 ? "" : `${node} still ${parts.join(" and ")}`;
  return [has, movesLeft(status)].filter((t) => t !== "").join("; ");
}

export function shardsText(shards: readonly number[]): string {
  if (shards.length === 0) return "no shards";
  return `${shards.length === 1 ? "shard" : "shards"} ${shards.join(", ")}`;
}
