/**
 * Searches for stored decisions in the shards of a whole cluster: the owner of each shard looks in its own, and "there
 * is none" is said only when every owner asked has said so. Cold path.
 */
import type { Clock, Timers, Transport } from "../ports.ts";
import { type FindAnswer, type FindRequest, type FindResult, writeFind, writeFound } from "../wire/find.ts";
import type { Routes } from "./route_view.ts";

/** A keyed 64-bit hash as two unsigned words. */
type KeyPair = readonly [hi: number, lo: number];

/** Time that an owner has for its answer, milliseconds. */
const SILENCE_MS = 2000;
/** Searches for other nodes under way at once; what comes beyond is unavailable. */
const SEARCHES_MAX = 256;
const NO_BYTES = new Uint8Array(0);

/** Whether there is a decision cannot be told now: an owner is unknown, does not serve, or is silent. Ask again. */
export class FindUnavailable extends Error {
  override name = "FindUnavailable";
}

export interface FinderOptions {
  /** Name of this node. */
  readonly node: string;
  readonly shards: number;
  readonly transport: Transport;
  readonly routes: Pick<Routes, "node">;
  /** Whether this node serves the shard now. */
  readonly serves: (shard: number) => boolean;
  readonly clock: Clock;
  readonly timers: Timers;
  /**
   * Searches shards that this node serves: the stored decision's bytes, or null when there is none. Rejects when it
   * cannot tell, also when this node is the owner no more.
   */
  readonly findHere: (
    tenant: string,
    id: KeyPair,
    user: KeyPair | null,
    shards: number[],
  ) => Promise<Uint8Array | null>;
}

/** One call of find(): how many owners have not answered, and whether one could not. */
interface Search {
  open: number;
  blind: string | null;
  readonly resolve: (bytes: Uint8Array | null) => void;
  readonly reject: (error: FindUnavailable) => void;
}

export class Finder {
  readonly #o: FinderOptions;
  /** What other nodes were asked, by request. */
  readonly #asked = new Map<number, { readonly node: string; readonly search: Search }>();
  #nextRequest: number;
  /** Searches for other nodes under way here. */
  #searching = 0;

  constructor(o: FinderOptions) {
    this.#o = o;
    // Answers to a namesake that ran before must not be taken for answers to this one.
    this.#nextRequest = Math.floor(o.clock.wallUs());
  }

  /**
   * The bytes of the tenant's stored decision with this id, null when there is none. Without a user all shards are
   * searched. Rejects with FindUnavailable.
   */
  find(tenant: string, id: KeyPair, user: KeyPair | null): Promise<Uint8Array | null> {
    const all = Array.from({ length: this.#o.shards }, (_, shard) => shard);
    const owners = this.#owners(user === null ? all : [user[0] % this.#o.shards]);
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
    const search: Search = { open: owners.size, blind: null, resolve, reject };
    for (const [node, shards] of owners) {
      if (node === null) answer(search, "unavailable", NO_BYTES, `nobody is known to serve shard ${shards.join(", ")}`);
      else if (node === this.#o.node) this.#searchHere(search, tenant, id, user, shards);
      else this.#ask(search, node, tenant, id, user, shards);
    }
    return promise;
  }

  /** Answers another node's WIRE_FIND. */
  take(request: FindRequest): void {
    const { node, transport } = this.#o;
    const tell = (result: FindResult, bytes: Uint8Array = NO_BYTES): void => {
      transport.send(request.from, writeFound({ from: node, request: request.request, result, bytes }));
    };
    const { tenant, idHi, idLo, userHi, userLo, shards } = request;
    if (shards.length === 0 || this.#searching >= SEARCHES_MAX) {
      tell("unavailable");
      return;
    }
    this.#searching++;
    const user: KeyPair | null = (userHi | userLo) === 0 ? null : [userHi, userLo];
    this.#findHere(tenant, [idHi, idLo], user, [...shards]).then(
      (bytes) => {
        this.#searching--;
        if (bytes === null) tell("none");
        else tell("found", bytes);
      },
      () => {
        this.#searching--;
        tell("unavailable");
      },
    );
  }

  /** Another node's answer, a WIRE_FOUND. */
  onFound(found: FindAnswer): void {
    const asked = this.#asked.get(found.request);
    if (asked === undefined || asked.node !== found.from) return;
    this.#asked.delete(found.request);
    answer(asked.search, found.result, found.bytes, `node ${found.from} cannot tell`);
  }

  /** The shards by the node to ask; null: nobody is known. */
  #owners(shards: readonly number[]): Map<string | null, number[]> {
    const { serves, routes, node } = this.#o;
    return Map.groupBy(shards, (shard) => (serves(shard) ? node : routes.node(shard)));
  }

  async #findHere(tenant: string, id: KeyPair, user: KeyPair | null, shards: number[]): Promise<Uint8Array | null> {
    const strange = shards.find((shard) => shard >= this.#o.shards || !this.#o.serves(shard));
    if (strange !== undefined) throw new FindUnavailable(`shard ${strange} is not served here`);
    return this.#o.findHere(tenant, id, user, shards);
  }

  #searchHere(search: Search, tenant: string, id: KeyPair, user: KeyPair | null, shards: number[]): void {
    this.#findHere(tenant, id, user, shards).then(
      (bytes) => answer(search, bytes === null ? "none" : "found", bytes ?? NO_BYTES, ""),
      (error: Error) => answer(search, "unavailable", NO_BYTES, error.message),
    );
  }

  #ask(search: Search, node: string, tenant: string, id: KeyPair, user: KeyPair | null, shards: number[]): void {
    const request = this.#nextRequest++;
    const [idHi, idLo] = id;
    const [userHi, userLo] = user ?? [0, 0];
    const bytes = writeFind({ from: this.#o.node, request, tenant, idHi, idLo, userHi, userLo, shards });
    if (!this.#o.transport.send(node, bytes)) {
      answer(search, "unavailable", NO_BYTES, `node ${node} cannot be reached`);
      return;
    }
    this.#asked.set(request, { node, search });
    this.#o.timers.after(SILENCE_MS, () => {
      if (this.#asked.delete(request)) answer(search, "unavailable", NO_BYTES, `node ${node} is silent`);
    });
  }
}

/** One owner's answer: what is found stands, whatever the others say; "none" needs all of them. */
function answer(search: Search, result: FindResult, bytes: Uint8Array, why: string): void {
  search.open--;
  if (result === "found") search.resolve(bytes);
  else if (result === "unavailable") search.blind ??= why;
  if (search.open > 0) return;
  // Settling again what was found does nothing.
  if (search.blind === null) search.resolve(null);
  else search.reject(new FindUnavailable(search.blind));
}
