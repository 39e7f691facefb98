/**
 * What makes a node one of several: it hears the others and is heard, sends rows to the owners of their shards and
 * takes rows for its own, asks and answers for entities, and says which of its shards another node should own.
 */
import type { RowBlock } from "../../proto/columns.ts";
import type { MatrixShape } from "../../proto/frame/rows_writer.ts";
import type { OnGap } from "../inbox.ts";
import type { Mailbox } from "../mailbox.ts";
import type { Clock, QuarantinedRow, Timers, Transport } from "../ports.ts";
import type { Versions } from "../program.ts";
import type { Poisoned } from "../quarantine.ts";
import type { Shard } from "../shard.ts";
import type { Tick } from "../tick.ts";
import type { Exchange } from "../tick_loop.ts";
import {
  type Announcement,
  type NodeRole,
  readAnnouncement,
  readHandOver,
  writeHandOver,
} from "../wire/announcement.ts";
import { readFind, readFound } from "../wire/find.ts";
import { readQuarantined, writeQuarantined } from "../wire/quarantined.ts";
import * as Wire from "../wire/wire_head.ts";
import { Deliveries } from "./deliveries.ts";
import { ExchangeDesk } from "./exchange_desk.ts";
import { Finder } from "./finder.ts";
import { type Described, Membership } from "./membership.ts";
import { rank } from "./placement.ts";
import { Router } from "./router.ts";
import { RowService } from "./row_service.ts";

/** What a node is told to be one of several. */
export interface ClusterOptions {
  readonly transport: Transport;
  /** Share of the shards it should own, against the other nodes' weights. */
  readonly weight: number;
  /** A gateway owns and follows no shard. Default: all. */
  readonly role?: NodeRole;
  /** Blocks of 2,048 rows that wait here for answers of owners. */
  readonly router_blocks_max: number;
  readonly tenantId: (index: number) => string;
}

export interface ClusterParts {
  readonly options: ClusterOptions;
  readonly node: string;
  readonly boot: string;
  readonly shards: readonly Shard[];
  readonly mailbox: Mailbox;
  readonly shape: MatrixShape;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly tenantIndex: (id: string) => number;
  readonly versionNames: (index: number) => Versions;
  readonly versionIndex: (model: string, ruleSet: string) => number;
  readonly describe: () => Described;
  readonly onGap: OnGap;
  readonly wake: () => void;
  /** Nodes, routes or followers changed. */
  readonly changed: () => void;
  /** An actor of a shard here failed on a row of another node. */
  readonly onActorsFailed: (shard: Shard, error: Poisoned) => void;
  /** Another node quarantined a row. */
  readonly onQuarantined: (row: QuarantinedRow) => void;
  /** A node found a shard's journal damaged. */
  readonly onDamage: (shard: number, node: string) => void;
  /** The owner released a shard for this node. */
  readonly onHandOver: (shard: number) => void;
}

/** Totals since start of what a node of several does with others. */
export interface ClusterCounts {
  /** Frames of other nodes that could not be read. */
  readonly frames_damaged: number;
  /** Announcements of nodes beyond the limit. */
  readonly announcements_refused: number;
  /** As a gateway: rows asked for again without an answer, rows an owner refused, answers too late, rows shed. */
  readonly rows_asked_again: number;
  readonly rows_refused: number;
  readonly answers_late: number;
  readonly rows_shed: number;
  /** As an owner: rows of shards served elsewhere, requests refused for want of room, requests that came twice. */
  readonly rows_not_owned: number;
  readonly requests_refused: number;
  readonly requests_repeated: number;
  /** Rows whose entities live elsewhere, and those of them that nobody answered in time. */
  readonly entity_rows_asked: number;
  readonly entity_rows_missed: number;
}

/** Reads a stored decision of one of the shards, all of which this node serves. */
export type FindHere = (
  tenant: string,
  id: readonly [hi: number, lo: number],
  user: readonly [hi: number, lo: number] | null,
  shards: readonly number[],
) => Promise<Uint8Array | null>;

export class Cluster implements Exchange {
  readonly membership: Membership;
  readonly router: Router;
  readonly finder: Finder;
  /** Set by whoever can read stored decisions; until then none are found. */
  findHere: FindHere = () => Promise.reject(new Error("this node reads no decisions yet"));
  readonly #p: ClusterParts;
  readonly #rows: RowService;
  readonly #desk: ExchangeDesk;
  readonly #deliveries: Deliveries;
  /** Frames of other nodes that could not be read. */
  damaged = 0;

  constructor(p: ClusterParts) {
    this.#p = p;
    const { node, shards, clock, timers, mailbox } = p;
    const { transport, weight, role = "all", tenantId, router_blocks_max: blocks_max } = p.options;
    const serves = (shard: number): boolean => shards[shard]?.accepting === true;
    const { boot, describe } = p;
    const changed = (): void => {
      this.router.routesChanged();
      p.changed();
    };
    const count = shards.length;
    this.membership = new Membership({
      node,
      boot,
      weight,
      role,
      shards: count,
      clock,
      timers,
      transport,
      describe,
      changed,
    });
    const { routes } = this.membership;
    this.#rows = new RowService({
      node,
      shards: count,
      mailbox,
      serves,
      transport,
      tenantIndex: p.tenantIndex,
      versionNames: p.versionNames,
      answerLocally: (bytes) => this.#onFrame(bytes),
    });
    this.router = new Router({
      node,
      shards: count,
      blocks_max,
      transport,
      routes,
      local: this.#rows,
      clock,
      timers,
      tenantId,
      versionIndex: p.versionIndex,
    });
    this.finder = new Finder({
      node,
      shards: count,
      transport,
      routes,
      serves,
      clock,
      timers,
      findHere: (...question) => this.findHere(...question),
    });
    const onFailed = p.onActorsFailed;
    const readsFormat = (): number => this.membership.readsFormat;
    const asking = { node, shards, shape: p.shape, transport, routes, clock, timers, readsFormat, onFailed };
    this.#desk = new ExchangeDesk(asking);
    const { onGap, wake } = p;
    this.#deliveries = new Deliveries({ node, shards, transport, routes, timers, onGap, wake });
    transport.listen((bytes) => this.#onFrame(bytes));
  }

  /** Begins to announce this node, which has listened for a while. Throws when another process has its name. */
  join(): void {
    if (this.membership.doubles > 0) {
      throw new Error(`another process runs as node ${this.#p.node}: end it, or give this one another name`);
    }
    this.membership.start();
  }

  /** From now on rows for shards of this node are refused, and asked elsewhere at once. */
  refuseRows(): void {
    this.#rows.close();
  }

  close(): void {
    this.membership.stop();
    this.#deliveries.close();
    this.router.close();
    this.#p.options.transport.close();
  }

  /** Place of this node in a shard's ranking, 0 for the first; Infinity: it must not own it. */
  rankHere(shard: number): number {
    const place = rank(shard, this.membership.nodes()).indexOf(this.#p.node);
    return place < 0 ? Number.POSITIVE_INFINITY : place;
  }

  /** Another node that should own a shard of this one; null when this one should, or nobody else can. */
  betterOwner(shard: number): string | null {
    const [first] = rank(shard, this.membership.nodes());
    return first === undefined || first === this.#p.node ? null : first;
  }

  /** The better owner of a shard of this node that is ready to take it; null without one. */
  nextOwner(shard: number): string | null {
    const first = this.betterOwner(shard);
    return first !== null && this.membership.follows(first, shard) ? first : null;
  }

  tellHandOver(to: string, shard: number, epoch: number): void {
    this.#p.options.transport.send(to, writeHandOver({ from: this.#p.node, shard, epoch }));
    this.membership.announceNow();
  }

  /** Whoever owns the row's shard next knows it then; who does not hear of it finds out by itself. */
  tellQuarantined(row: QuarantinedRow): void {
    this.#p.options.transport.broadcast(writeQuarantined(this.#p.node, row));
  }

  ask(tick: Tick, what: number, target: number, r: number, own: Shard): void {
    this.#desk.ask(tick, what, target, r, own);
  }

  forget(own: Shard): void {
    this.#desk.forget(own);
  }

  send(tick: Tick, done: () => void): boolean {
    return this.#desk.send(tick, done);
  }

  committed(b: RowBlock, rows: Uint16Array, n: number, own: Shard, frame: number): void {
    this.#deliveries.committed(b, rows, n, own, frame);
  }

  /** Requests of gateways that have no answer yet. */
  get requestsUnderWay(): number {
    return this.#rows.underWay;
  }

  /** What happened between nodes since start. */
  counts(): ClusterCounts {
    const [desk, service, { router, membership }] = [this.#desk, this.#rows, this];
    return {
      frames_damaged: this.damaged + router.damaged + service.damaged,
      announcements_refused: membership.refused,
      rows_asked_again: router.askedAgain,
      rows_refused: router.refused,
      rows_not_owned: service.notOwned,
      answers_late: router.late,
      rows_shed: router.shed,
      requests_refused: service.refused,
      requests_repeated: service.repeated,
      entity_rows_asked: desk.rowsAsked,
      entity_rows_missed: desk.rowsMissed,
    };
  }

  #heard(a: Announcement): void {
    // Word of damage that was played back may be of a journal that is mended by now.
    if (!this.membership.heard(a)) return;
    for (const shard of a.damaged) this.#p.onDamage(shard, a.from);
  }

  #onFrame(bytes: Uint8Array): void {
    try {
      this.#dispatch(bytes);
    } catch (e) {
      // Whoever sent it asks again, or is of another version; nothing of it was taken.
      if (e instanceof Wire.WireDamaged) this.damaged++;
      // An invariant does not hold: that ends the process, whatever the transport does with errors.
      else
        this.#p.timers.soon(() => {
          throw e;
        });
    }
  }

  #dispatch(bytes: Uint8Array): void {
    const head = Wire.readHead(bytes);
    const { kind, format, from, reader } = head;
    switch (kind) {
      case Wire.WIRE_ANNOUNCEMENT:
        this.#heard(readAnnouncement(reader, from, format));
        break;
      case Wire.WIRE_ROWS:
        this.#rows.take(bytes, head);
        break;
      case Wire.WIRE_ANSWERS:
        this.router.onFrame(head);
        break;
      case Wire.WIRE_EXCHANGE:
        this.#desk.onExchange(reader, from);
        break;
      case Wire.WIRE_COLUMNS:
        this.#desk.onColumns(reader, from);
        break;
      case Wire.WIRE_DELIVERY:
        this.#deliveries.onDelivery(reader, from);
        break;
      case Wire.WIRE_FIND:
        this.finder.take(readFind(reader, from));
        break;
      case Wire.WIRE_FOUND:
        this.finder.onFound(readFound(reader, from));
        break;
      case Wire.WIRE_HAND_OVER:
        this.#p.onHandOver(readHandOver(reader, from).shard);
        break;
      case Wire.WIRE_QUARANTINED:
        this.#p.onQuarantined(readQuarantined(reader));
        break;
      default:
        this.damaged++;
    }
  }
}
