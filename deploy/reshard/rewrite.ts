/**
 * New journals from old ones: every committed row goes to the shard that its user has among the new ones, in about the
 * order in which the rows were decided. A row keeps all that was decided and recorded; the entity columns that it was
 * decided with are recorded with it, as if the entities lived elsewhere, so a replay recomputes the user's part only
 * and has the same matrix. The rows that entities of other shards need are put into the inboxes of frames behind.
 */
import { FEATURES_VERSION, FraudDecider, MATRIX_SHAPE } from "../../actors/decision/decider.ts";
import { Policy, TestCards } from "../../actors/decision/policy.ts";
import { FraudActors } from "../../actors/decision/shard_actors.ts";
import { compileRuleSet } from "../../actors/rules/compile.ts";
import { BLOCK_ROWS, ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import {
  FORMAT_NEWEST,
  type FrameHeader,
  HEADER_BYTES,
  KIND_ROWS,
  MAX_FRAME_BYTES,
} from "../../proto/frame/frame_header.ts";
import { type FrameFacts, InboxRows, matrixChecksum } from "../../proto/frame/rows_layout.ts";
import type { RowsFacts } from "../../proto/frame/rows_reader.ts";
import { RowsWriter } from "../../proto/frame/rows_writer.ts";
import { type FillRandom, SectionSealer } from "../../proto/frame/sealer.ts";
import { type Tenant, tenantIndex } from "../../proto/tenant.ts";
import { addDeviceRow, addMerchantRow, deviceShard, merchantShard } from "../../runtime/inbox.ts";
import type { Sleep } from "../../runtime/journal/checked.ts";
import type { Owner } from "../../runtime/journal/takeover.ts";
import type { Journal } from "../../runtime/ports.ts";
import { FrameFolder } from "../../runtime/recovery.ts";
import { Shard } from "../../runtime/shard.ts";
import { FrameRows } from "../node/frame_rows.ts";
import { EPOCH, JournalWriter } from "./journal_writer.ts";
import { mergeFrames } from "./merged_frames.ts";
import { RowSum } from "./row_sum.ts";
import { type StateSums, stateSums } from "./state_sum.ts";

/** Inbox rows that a frame with rows takes along; more go into a frame of their own. */
const INBOX_ALONG = 256;
const INBOX_ROWS_MAX = 2048;
const COMPACT_ROWS = 8192;
const NO_ROWS = new RowBlock();
const NO_NUMBERS = new Uint16Array(0);
/** Of a frame without rows. */
const NO_FACTS: FrameFacts = { model_version: "", rule_set_version: "", rates_version: "", features_version: "" };

export interface JournalsParts {
  readonly tenants: readonly Tenant[];
  readonly journals: readonly Journal[];
  /** As of the nodes that wrote them. */
  readonly late_tolerance_us: number;
  readonly rules: unknown;
  readonly sleep: Sleep;
  readonly onRows: (rows: number) => void;
}

/** What a set of journals holds. */
export interface JournalsFacts {
  readonly rows: RowSum;
  readonly frames: number;
  readonly state: StateSums;
}

/** Told of each rows frame behind its fold: its rows as recorded, and the whole matrix. */
export type OnRows = (at: {
  readonly shard: number;
  readonly header: FrameHeader;
  readonly facts: RowsFacts;
  readonly rows: FrameRows;
  readonly matrix: Float32Array;
  readonly actors: FraudActors;
}) => void | Promise<void>;

/**
 * Reads journals wholly: each frame is verified and folded, its matrix recomputed and compared. The sums are over all
 * that was committed: what entities did not fold yet is folded in the end. Rejects with JournalDamaged.
 */
export async function readAll(p: JournalsParts, onRows: OnRows): Promise<JournalsFacts> {
  const n = p.journals.length;
  const ruleSet = compileRuleSet(p.rules);
  const cards = new TestCards(p.tenants.length);
  const decider = new FraudDecider(null, ruleSet, new Policy(ruleSet), cards, () => {});
  const indexOf = tenantIndex(p.tenants);
  const sum = new RowSum();
  let frames = 0;
  const sources = p.journals.map((journal, id) => {
    const actors = new FraudActors({ late_tolerance_us: p.late_tolerance_us, events_max: 2 ** 31 });
    const shard = new Shard(id, n, journal, actors);
    const folder = new FrameFolder(shard, n, decider, FEATURES_VERSION, indexOf);
    let matrix = new Float32Array(0);
    folder.onFolded = (_, m) => {
      matrix = m as Float32Array<ArrayBuffer>;
    };
    const waiting = Array.from({ length: n }, () => new InboxRows());
    return { actors, shard, folder, rows: new FrameRows(p.tenants, journal.id), waiting, matrix: () => matrix };
  });
  await mergeFrames(
    p.journals,
    async (source, header, bytes) => {
      frames++;
      const { actors, folder, rows, matrix } = sources[source];
      await folder.fold(header, bytes);
      if (header.kind !== KIND_ROWS) return;
      const facts = rows.read(header, bytes);
      const { block } = rows;
      for (let r = 0; r < block.n; r++) sum.add(block, r, rows.tenantId(r), facts, rows.raw[r]);
      for (const target of sources) {
        if (target.shard.id === source) continue;
        const { waiting, shard } = target;
        concern(waiting[source], block, shard.id, n, source, header.frameNumber);
        dropFolded(waiting[source], shard.watermarks[source], COMPACT_ROWS);
      }
      await onRows({ shard: source, header, facts, rows, matrix: matrix(), actors });
      p.onRows(sum.count);
    },
    p.sleep,
  );
  for (const { shard, waiting } of sources) {
    for (const [source, rows] of waiting.entries()) {
      dropFolded(rows, shard.watermarks[source], 0);
      shard.foldRows(rows, 0, rows.n);
    }
  }
  return { rows: sum, frames, state: stateSums(sources.map((s) => s.actors)) };
}

/** Adds the rows of a frame that concern entities of `target`. */
function concern(into: InboxRows, b: RowBlock, target: number, shards: number, source: number, frame: number): void {
  for (let r = 0; r < b.n; r++) {
    if (merchantShard(b, r, shards) === target) addMerchantRow(into, b, r, source, frame);
    if (deviceShard(b, r, shards) === target) addDeviceRow(into, b, r, source, frame);
  }
}

function dropFolded(rows: InboxRows, watermark: number, from_rows: number): void {
  if (rows.n <= from_rows) return;
  let folded = 0;
  while (folded < rows.n && rows.frame[folded] <= watermark) folded++;
  if (folded > 0) rows.dropFront(folded);
}

export interface RewriteOptions extends JournalsParts {
  readonly to: readonly Journal[];
  readonly owner: Owner;
  readonly fillRandom: FillRandom;
  /** Most that a new frame may take; default what a frame may take at all. */
  readonly frame_bytes_max?: number;
}

/** Writes the rows of `journals` to the empty journals `to`. Rejects with JournalDamaged, ReshardError. */
export async function rewrite(o: RewriteOptions): Promise<JournalsFacts> {
  const targets = o.to.map((journal, id) => new Target(id, o, new JournalWriter(journal, o.owner)));
  let begun = false;
  const facts = await readAll(o, async ({ header, facts, rows, matrix }) => {
    if (!begun) for (const t of targets) await t.writer.begin(header.frameTimeUs);
    begun = true;
    rows.layRaw();
    for (const t of targets) await t.take(rows.block, matrix, facts, header.frameTimeUs, targets);
  });
  for (const t of targets) {
    if (!begun) await t.writer.begin(0);
    await t.finish();
  }
  return facts;
}

/** One new journal while it is written. */
class Target {
  readonly id: number;
  readonly writer: JournalWriter;
  readonly #shards: number;
  readonly #bytesMax: number;
  readonly #rows: RowsWriter;
  readonly #inbox = new InboxRows();
  readonly #numbers = new Uint16Array(BLOCK_ROWS);
  #frameTimeUs = 0;

  constructor(id: number, o: RewriteOptions, writer: JournalWriter) {
    this.id = id;
    this.writer = writer;
    this.#shards = o.to.length;
    this.#bytesMax = o.frame_bytes_max ?? MAX_FRAME_BYTES;
    const sealer = new SectionSealer(o.tenants, writer.journal.id, o.to.length > 1, o.fillRandom);
    this.#rows = new RowsWriter(MATRIX_SHAPE, sealer, BLOCK_ROWS);
  }

  /** Writes the rows that are of this shard now, and tells the others what concerns their entities. */
  async take(
    b: RowBlock,
    matrix: Float32Array,
    facts: RowsFacts,
    frameTimeUs: number,
    targets: readonly Target[],
  ): Promise<void> {
    this.#frameTimeUs = frameTimeUs;
    let n = 0;
    for (let r = 0; r < b.n; r++) {
      if (b.user.hi[r] % this.#shards !== this.id) continue;
      this.#numbers[n++] = r;
      const recorded = b.kind[r] === ROW_PAYMENT ? 1 : 0;
      this.#rows.remoteMerchant[r] = recorded;
      this.#rows.remoteDevice[r] = recorded;
    }
    if (n > 0) await this.#write(b, this.#numbers.subarray(0, n), matrix, facts, targets);
  }

  async #write(
    b: RowBlock,
    rows: Uint16Array,
    matrix: Float32Array,
    facts: RowsFacts,
    targets: readonly Target[],
  ): Promise<void> {
    while (this.#inbox.n > INBOX_ALONG) await this.#inboxOnly(facts);
    const bits = new Uint32Array(matrix.buffer, matrix.byteOffset, matrix.length);
    const c = MATRIX_SHAPE.columns;
    let checksum = 0;
    for (const r of rows) if (b.kind[r] === ROW_PAYMENT) checksum = matrixChecksum(bits, r * c, r * c + c, checksum);
    const frame = this.writer.next;
    const place = { shard: this.id, epoch: EPOCH, frame, format: FORMAT_NEWEST };
    const n = rows.length;
    const bytes = this.#rows.write(b, rows, n, matrix, bits, checksum, facts, this.#inbox, place, HEADER_BYTES);
    if (bytes.length > this.#bytesMax && n > 1) {
      // The recorded columns take more than the old frame had to hold.
      await this.#write(b, rows.slice(0, n >> 1), matrix, facts, targets);
      return this.#write(b, rows.slice(n >> 1), matrix, facts, targets);
    }
    this.#inbox.n = 0;
    for (const target of targets) {
      if (target === this) continue;
      for (const r of rows) {
        if (merchantShard(b, r, this.#shards) === target.id) addMerchantRow(target.#inbox, b, r, this.id, frame);
        if (deviceShard(b, r, this.#shards) === target.id) addDeviceRow(target.#inbox, b, r, this.id, frame);
      }
    }
    await this.writer.rows(bytes, n, this.#frameTimeUs, FORMAT_NEWEST);
  }

  /** A frame of inbox rows alone: whole frames of their sources, as a shard folds them. */
  async #inboxOnly(facts: FrameFacts): Promise<void> {
    const all = this.#inbox;
    let end = 0;
    while (end < all.n && end < INBOX_ROWS_MAX) {
      const from = end++;
      while (end < all.n && all.source[end] === all.source[from] && all.frame[end] === all.frame[from]) end++;
    }
    const some = new InboxRows();
    for (let i = 0; i < end; i++) some.copyRow(all, i);
    all.dropFront(end);
    const place = { shard: this.id, epoch: EPOCH, frame: this.writer.next, format: FORMAT_NEWEST };
    const none = new Float32Array(0);
    const bits = new Uint32Array(0);
    const bytes = this.#rows.write(NO_ROWS, NO_NUMBERS, 0, none, bits, 0, facts, some, place, HEADER_BYTES);
    await this.writer.rows(bytes, 0, this.#frameTimeUs, FORMAT_NEWEST);
  }

  async finish(): Promise<void> {
    while (this.#inbox.n > 0) await this.#inboxOnly(NO_FACTS);
    await this.writer.end();
  }
}
