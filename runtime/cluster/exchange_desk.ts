/**
 * The exchange between nodes: asks the owners of entities elsewhere for a tick's columns, one frame a node, and answers
 * those who ask. Who misses the budget once is asked only now and then, without waiting, until it answers.
 */
import { BLOCK_ROWS, DEGRADED_ENTITY, ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import type { MatrixShape } from "../../proto/frame/rows_writer.ts";
import type { ByteReader } from "../kernel/bytes.ts";
import type { Clock, Timers, Transport } from "../ports.ts";
import { Poisoned } from "../quarantine.ts";
import type { Shard } from "../shard.ts";
import { columnsAt, columnsCount, columnsRecorded, type RemoteEntities, unknownColumns } from "../stage.ts";
import type { Tick } from "../tick.ts";
import {
  COLUMNS_ANSWERED,
  COLUMNS_NOT_SERVED,
  COLUMNS_UNKNOWN,
  EXCHANGE_DEVICE,
  EXCHANGE_DEVICE_EVENT,
  EXCHANGE_MERCHANT,
  ExchangeRows,
  type ExchangeSource,
  readColumns,
  readColumnsRequest,
  readExchange,
  writeColumns,
  writeExchange,
} from "../wire/exchange.ts";
import type { Routes } from "./route_view.ts";

/** How long a tick waits for columns of other nodes, milliseconds. */
const BUDGET_MS = 20;
/** Pause between two questions to a node that missed its budget, milliseconds. */
const PROBE_MS = 100;

export interface ExchangeOptions {
  readonly node: string;
  readonly shards: readonly Shard[];
  readonly shape: MatrixShape;
  readonly transport: Transport;
  readonly routes: Routes;
  readonly clock: Clock;
  readonly timers: Timers;
  /** The newest journal format that every node reads. */
  readonly readsFormat: () => number;
  /** An actor of a shard here failed on a row of another node. */
  readonly onFailed: (shard: Shard, error: Poisoned) => void;
}

interface Peer {
  /** It missed a budget and did not answer since. */
  missed: boolean;
  probedUs: number;
}

/** The nodes that a tick still waits for. */
interface Waiting {
  open: number;
  readonly done: () => void;
}

interface Question {
  readonly node: string;
  readonly tick: Tick;
  readonly rows: ExchangeRows;
  /** Null: nobody waits for the answer, which shows that the node answers again. */
  waiting: Waiting | null;
}

export class ExchangeDesk implements RemoteEntities {
  readonly #o: ExchangeOptions;
  readonly #peers = new Map<string, Peer>();
  /** Questions of the tick that is staged now, by node. */
  readonly #asking = new Map<string, ExchangeRows>();
  readonly #questions = new Map<number, Question>();
  readonly #spare: ExchangeRows[] = [];
  readonly #sourceIndex: Int16Array;
  #request: number;
  /** Scratch of answers. */
  readonly #asked = new ExchangeRows();
  readonly #block = new RowBlock();
  readonly #matrix: Float32Array;
  readonly #flags = new Uint8Array(2 * BLOCK_ROWS);
  readonly #columns: Float32Array;
  readonly #stride: number;
  /** Rows that were asked elsewhere, and those of them nobody answered in time, since start. */
  rowsAsked = 0;
  rowsMissed = 0;

  constructor(o: ExchangeOptions) {
    this.#o = o;
    // Answers to a namesake that ran before must not be taken for answers to this one.
    this.#request = Math.floor(o.clock.wallUs());
    this.#sourceIndex = new Int16Array(o.shards.length);
    this.#matrix = new Float32Array(o.shape.columns);
    this.#stride = Math.max(o.shape.merchant_columns, o.shape.device_columns);
    this.#columns = new Float32Array(2 * BLOCK_ROWS * this.#stride);
  }

  ask(tick: Tick, what: number, target: number, r: number, own: Shard): void {
    const node = this.#o.routes.node(target);
    if (node === null || node === this.#o.node) {
      this.#unknown(tick, what, r);
      return;
    }
    let rows = this.#asking.get(node);
    if (rows === undefined) {
      rows = this.#spare.pop() ?? new ExchangeRows();
      this.#asking.set(node, rows);
    }
    const b = tick.block;
    const key = what === EXCHANGE_MERCHANT ? b.merchant : b.device;
    const j = rows.add();
    rows.row[j] = r;
    rows.target[j] = target;
    rows.source[j] = own.id;
    rows.what[j] = what;
    rows.hi[j] = key.hi[r];
    rows.lo[j] = key.lo[r];
    rows.userHi[j] = b.user.hi[r];
    rows.userLo[j] = b.user.lo[r];
    rows.timeUs[j] = b.eventTimeUs[r];
    rows.amount[j] = b.amountBase[r];
  }

  forget(own: Shard): void {
    for (const rows of this.#asking.values()) rows.drop(own.id);
  }

  /** Sends the questions of the tick that was just staged. True: `done` is called once, when no answer is missing. */
  send(tick: Tick, done: () => void): boolean {
    if (this.#asking.size === 0) return false;
    const sources = this.#sources(tick);
    const waiting: Waiting = { open: 0, done };
    const requests: number[] = [];
    for (const [node, rows] of this.#asking) {
      if (rows.n === 0) {
        this.#giveBack(rows);
        continue;
      }
      for (let i = 0; i < rows.n; i++) rows.source[i] = this.#sourceIndex[rows.source[i]];
      if (this.#question(tick, node, rows, sources, waiting)) requests.push(this.#request);
    }
    this.#asking.clear();
    if (waiting.open === 0) return false;
    this.#o.timers.after(BUDGET_MS, () => this.#giveUp(requests));
    return true;
  }

  /** The tick's frames, whose rows are asked about. */
  #sources(tick: Tick): ExchangeSource[] {
    const sources: ExchangeSource[] = [];
    for (const s of this.#o.shards) {
      if (tick.frames[s.id] === 0) continue;
      this.#sourceIndex[s.id] = sources.length;
      sources.push({ shard: s.id, epoch: s.epoch, takeover: s.takeover, frame: tick.frames[s.id] });
    }
    return sources;
  }

  /** One node's rows; true when the tick has to wait for it. */
  #question(
    tick: Tick,
    node: string,
    rows: ExchangeRows,
    sources: readonly ExchangeSource[],
    waiting: Waiting,
  ): boolean {
    const peer = this.#peer(node);
    const now = this.#o.clock.monotonicUs();
    const isProbe = peer.missed;
    this.rowsAsked += rows.n;
    let isSent = false;
    if (!isProbe || now - peer.probedUs >= PROBE_MS * 1000) {
      peer.probedUs = now;
      const bytes = writeExchange(this.#o.node, ++this.#request, sources, rows);
      isSent = this.#o.transport.send(node, bytes);
    }
    if (!isSent || isProbe) this.#unknownAll(tick, rows);
    if (!isSent) {
      this.#giveBack(rows);
      return false;
    }
    const waits = !isProbe && needsAnswer(rows);
    if (waits) waiting.open++;
    this.#questions.set(this.#request, { node, tick, rows, waiting: waits ? waiting : null });
    // A question nobody waits for is forgotten when the next one is asked, or answered.
    if (!waits) this.#forgetOlder(node, this.#request);
    return waits;
  }

  #forgetOlder(node: string, request: number): void {
    for (const [number, q] of this.#questions) {
      if (number >= request || q.node !== node || q.waiting !== null) continue;
      this.#questions.delete(number);
      this.#giveBack(q.rows);
    }
  }

  #giveUp(requests: readonly number[]): void {
    for (const request of requests) {
      const q = this.#questions.get(request);
      if (q === undefined || q.waiting === null) continue;
      this.#peer(q.node).missed = true;
      this.#unknownAll(q.tick, q.rows);
      const { waiting } = q;
      // It stays known: its answer, however late, shows that the node is there.
      q.waiting = null;
      this.#forgetOlder(q.node, request);
      if (--waiting.open === 0) waiting.done();
    }
  }

  /** Takes the answer of a node. Throws WireDamaged. */
  onColumns(reader: ByteReader, from: string): void {
    const request = readColumnsRequest(reader);
    const q = this.#questions.get(request);
    if (q === undefined || q.node !== from) return;
    const { tick, rows, waiting } = q;
    const { shape } = this.#o;
    const flags = this.#flags;
    readColumns(reader, rows.what, rows.n, shape.merchant_columns, shape.device_columns, flags, this.#columns);
    this.#questions.delete(request);
    this.#peer(from).missed = false;
    if (waiting === null) {
      this.#giveBack(rows);
      return;
    }
    for (let i = 0; i < rows.n; i++) {
      if (flags[i] === COLUMNS_ANSWERED) this.#put(tick, rows, i);
      else this.#unknown(tick, rows.what[i], rows.row[i]);
    }
    this.#giveBack(rows);
    if (--waiting.open === 0) waiting.done();
  }

  #put(tick: Tick, rows: ExchangeRows, i: number): void {
    const { shape } = this.#o;
    const what = rows.what[i];
    if (what === EXCHANGE_DEVICE_EVENT) return;
    const at = rows.row[i] * shape.columns + columnsAt(shape, what);
    const n = columnsCount(shape, what);
    const recorded = columnsRecorded(shape, what, tick.format);
    const from = i * this.#stride;
    for (let c = 0; c < n; c++) tick.matrix.values[at + c] = c < recorded ? this.#columns[from + c] : Number.NaN;
  }

  #unknown(tick: Tick, what: number, r: number): void {
    this.rowsMissed++;
    if (what !== EXCHANGE_DEVICE_EVENT) unknownColumns(tick.block, r, tick.matrix.values, this.#o.shape, what);
  }

  #unknownAll(tick: Tick, rows: ExchangeRows): void {
    for (let i = 0; i < rows.n; i++) this.#unknown(tick, rows.what[i], rows.row[i]);
  }

  #giveBack(rows: ExchangeRows): void {
    rows.clear();
    this.#spare.push(rows);
  }

  #peer(node: string): Peer {
    let peer = this.#peers.get(node);
    if (peer === undefined) {
      peer = { missed: false, probedUs: Number.NEGATIVE_INFINITY };
      this.#peers.set(node, peer);
    }
    return peer;
  }

  /** Answers another node's question. Throws WireDamaged. */
  onExchange(reader: ByteReader, from: string): void {
    const rows = this.#asked;
    rows.clear();
    const { request, sources } = readExchange(reader, from, rows);
    const may = this.#mayAnswer(sources, rows);
    for (let i = 0; i < rows.n; i++) {
      const target = this.#o.shards[rows.target[i]];
      const admitted = target !== undefined && may[rows.source[i] * this.#o.shards.length + target.id];
      const isAnswered = admitted === 1 && target.serving;
      this.#flags[i] = isAnswered ? this.#answer(target, rows, i, sources[rows.source[i]]) : COLUMNS_NOT_SERVED;
    }
    // As many as every node of the cluster expects: one of older code takes no others.
    const format = this.#o.readsFormat();
    const merchants = columnsRecorded(this.#o.shape, EXCHANGE_MERCHANT, format);
    const devices = columnsRecorded(this.#o.shape, EXCHANGE_DEVICE, format);
    const columns = this.#columns;
    const bytes = writeColumns(this.#o.node, request, rows, this.#flags, columns, this.#stride, merchants, devices);
    this.#o.transport.send(from, bytes);
  }

  /** 1 for each (source, target) whose rows are answered: in the source's newest epoch, a frame once, in order. */
  #mayAnswer(sources: readonly ExchangeSource[], rows: ExchangeRows): Uint8Array {
    const { shards } = this.#o;
    const may = new Uint8Array(sources.length * shards.length);
    const asked = new Uint8Array(sources.length * shards.length);
    for (let i = 0; i < rows.n; i++) asked[rows.source[i] * shards.length + rows.target[i]] = 1;
    sources.forEach((source, k) => {
      // A node that speaks for what is no shard, or for one of this node's own, is told nothing.
      const own = shards[source.shard];
      if (own === undefined || own.serving) return;
      for (const target of shards) {
        const at = k * shards.length + target.id;
        if (asked[at] === 0 || !target.serving) continue;
        const isNewest = target.admits(source.shard, source.epoch, source.takeover);
        may[at] = isNewest && target.answersFrame(source.shard, source.frame) ? 1 : 0;
      }
    });
    return may;
  }

  /** An actor that fails on the row ends its shard here; the row is decided without it. */
  #answer(target: Shard, rows: ExchangeRows, i: number, source: ExchangeSource): number {
    try {
      return this.#columnsOf(target, rows, i, source);
    } catch (error) {
      this.#o.onFailed(target, new Poisoned(null, error));
      return COLUMNS_UNKNOWN;
    }
  }

  #columnsOf(target: Shard, rows: ExchangeRows, i: number, source: ExchangeSource): number {
    const b = this.#block;
    const { shape } = this.#o;
    const what = rows.what[i];
    const key = what === EXCHANGE_MERCHANT ? b.merchant : b.device;
    key.hi[0] = rows.hi[i];
    key.lo[0] = rows.lo[i];
    b.user.hi[0] = rows.userHi[i];
    b.user.lo[0] = rows.userLo[i];
    b.kind[0] = ROW_PAYMENT;
    b.eventTimeUs[0] = rows.timeUs[i];
    b.amountBase[0] = rows.amount[i];
    b.degraded[0] = 0;
    if (what === EXCHANGE_DEVICE_EVENT) {
      target.actors.pendDevice(b, 0, source.shard, source.frame);
      return COLUMNS_ANSWERED;
    }
    if (what === EXCHANGE_MERCHANT) target.actors.pendMerchant(b, 0, this.#matrix, source.shard, source.frame);
    else target.actors.readDevice(b, 0, this.#matrix);
    if ((b.degraded[0] & DEGRADED_ENTITY) !== 0) return COLUMNS_UNKNOWN;
    const at = columnsAt(shape, what);
    const n = columnsCount(shape, what);
    for (let c = 0; c < n; c++) this.#columns[i * this.#stride + c] = this.#matrix[at + c];
    return COLUMNS_ANSWERED;
  }
}

function needsAnswer(rows: ExchangeRows): boolean {
  for (let i = 0; i < rows.n; i++) if (rows.what[i] !== EXCHANGE_DEVICE_EVENT) return true;
  return false;
}
