/**
 * The owner's side of the way of rows: requests of routers (this node's own included) become rows of the mailbox, and
 * when all of a request's rows have results, the answers go back. A row of a shard that this node does not serve is
 * never accepted; its answer says so.
 */
import { type BatchSink, ERROR_NOT_OWNER, type RowBlock } from "../../proto/columns.ts";
import type { Intake, Transport } from "../ports.ts";
import { type VersionNames, writeAnswers, writeRefusal } from "../wire/answers.ts";
import { readRows, readRowsHead } from "../wire/rows.ts";
import { WIRE_ROWS, WireDamaged, type WireHead } from "../wire/wire_head.ts";

export interface RowServiceOptions {
  /** Name of this node. */
  readonly node: string;
  readonly shards: number;
  /** The tick loop's mailbox. */
  readonly mailbox: Pick<Intake, "open" | "submit" | "retryAfterMs">;
  /** Whether this node accepts rows of the shard now; false for one that does not exist. */
  readonly serves: (shard: number) => boolean;
  readonly transport: Transport;
  /** Index of a tenant for the `tenant` column; throws, or is below 0, when it is not known. */
  readonly tenantIndex: (id: string) => number;
  /** Names of an index in the `version` column. */
  readonly versionNames: (index: number) => VersionNames;
  /** Answers to this node's own router. */
  readonly answerLocally: (bytes: Uint8Array) => void;
}

/** Pooled sinks kept. */
const POOL_MAX = 1024;

export class RowService {
  readonly #o: RowServiceOptions;
  readonly #pool: AnswerSink[] = [];
  /** Requests in the mailbox and the ticks: `REQUEST SENDER`. */
  readonly #underWay = new Set<string>();
  #closed = false;
  /** Frames that could not be read; requests that came again while they were under way. */
  damaged = 0;
  repeated = 0;
  /** Requests refused because the mailbox was full, rows refused because their shard is served elsewhere. */
  refused = 0;
  notOwned = 0;

  constructor(o: RowServiceOptions) {
    this.#o = o;
  }

  /** Requests without an answer. */
  get underWay(): number {
    return this.#underWay.size;
  }

  /** From now on all rows are refused, and asked elsewhere at once. */
  close(): void {
    this.#closed = true;
  }

  /** A frame of kind WIRE_ROWS, which is kept until its rows have results. Damaged ones are counted and dropped. */
  take(bytes: Uint8Array, head: WireHead): void {
    if (head.kind !== WIRE_ROWS) throw new Error(`the row service was given a frame of kind ${head.kind}`);
    try {
      this.#take(bytes, head);
    } catch (e) {
      if (!(e instanceof WireDamaged)) throw e;
      this.damaged++;
    }
  }

  #take(bytes: Uint8Array, { reader, from }: WireHead): void {
    const { mailbox, node } = this.#o;
    const head = readRowsHead(reader, from);
    const { rows, request } = head;
    const key = `${request} ${from}`;
    if (this.#underWay.has(key)) {
      this.repeated++;
      return;
    }
    if (this.#closed) {
      // Without a time to wait: the rows are better asked elsewhere.
      this.#send(from, writeRefusal(node, request, 0));
      return;
    }
    const block = mailbox.open(rows, bytes.length);
    if (block === null) {
      this.refused++;
      this.#send(from, writeRefusal(node, request, Math.max(1, mailbox.retryAfterMs())));
      return;
    }
    readRows(reader, head, block, block.n, this.#o.tenantIndex);
    this.#checkShards(block, rows);
    if (this.#strike(block, rows) === rows) {
      // Nothing to decide: they need not wait for a tick, and the block keeps its room.
      this.#answer(block, block.n, rows, from, request);
      return;
    }
    const sink = this.#pool.pop() ?? new AnswerSink(this.#done);
    sink.begin(key, from, request);
    this.#underWay.add(key);
    mailbox.submit(block, rows, bytes, sink);
  }

  /** A node that counts other shards than this one would have users decided twice. Throws WireDamaged. */
  #checkShards(block: RowBlock, rows: number): void {
    const { shards } = this.#o;
    for (let r = block.n; r < block.n + rows; r++) {
      if (block.user.hi[r] % shards !== block.shard[r]) throw new WireDamaged(`row ${r} is of no shard of ${shards}`);
    }
  }

  /** Marks the rows behind block.n that are served elsewhere; returns how many. */
  #strike(block: RowBlock, rows: number): number {
    const { serves } = this.#o;
    let struck = 0;
    for (let r = block.n; r < block.n + rows; r++) {
      if (serves(block.shard[r])) continue;
      block.error[r] = ERROR_NOT_OWNER;
      struck++;
    }
    this.notOwned += struck;
    return struck;
  }

  readonly #done = (sink: AnswerSink, block: RowBlock, start: number, count: number): void => {
    this.#underWay.delete(sink.key);
    const { from, request } = sink;
    if (this.#pool.length < POOL_MAX) this.#pool.push(sink);
    this.#answer(block, start, count, from, request);
  };

  #answer(block: RowBlock, start: number, count: number, to: string, request: number): void {
    this.#send(to, writeAnswers(block, start, count, this.#o.node, request, this.#o.versionNames));
  }

  #send(to: string, bytes: Uint8Array): void {
    if (to === this.#o.node) this.#o.answerLocally(bytes);
    // One that does not go out is as one that is lost: the router asks again.
    else this.#o.transport.send(to, bytes);
  }
}

/** Who asked for a request's rows. */
class AnswerSink implements BatchSink {
  readonly #done: (sink: AnswerSink, block: RowBlock, start: number, count: number) => void;
  key = "";
  from = "";
  request = 0;

  constructor(done: (sink: AnswerSink, block: RowBlock, start: number, count: number) => void) {
    this.#done = done;
  }

  begin(key: string, from: string, request: number): void {
    this.key = key;
    this.from = from;
    this.request = request;
  }

  done(block: RowBlock, start: number, count: number): void {
    this.#done(this, block, start, count);
  }
}
