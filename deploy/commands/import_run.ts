/**
 * An import: files of past payments into the state of a running node, in event order, without decisions. It keeps a
 * checkpoint and sets aside what cannot be used.
 */
import { type AnalyzeResult, DecisionState, ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { type FraudClient, StreamBroken } from "../client/fraud_client.ts";
import type { HistoryRow } from "../datasets/history_row.ts";
import type { Progress } from "../progress.ts";
import { historyPayment } from "./history_payment.ts";
import { type ImportPlace, writeCheckpoint } from "./import_checkpoint.ts";
import type { ImportFile, ImportRow } from "./import_rows.ts";
import { PaymentPump, type Sent } from "./payment_pump.ts";
import type { RejectFile } from "./reject_file.ts";

/** What a payment may lie behind the newest one and still enter its windows, microseconds. */
const LATE_US = 3600e6;
const CHECKPOINT_ROWS = 20_000;

export interface ImportPlan {
  readonly client: FraudClient;
  readonly files: readonly ImportFile[];
  /** Whether the rows' attributes are sent: the tenant has declared them. */
  readonly attributes: boolean;
  readonly checkpoint: string;
  /** sourceOf() the files. */
  readonly source: string;
  readonly rejects: RejectFile;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

interface Tag {
  readonly file: string;
  readonly row: number;
  readonly payment: HistoryRow;
}

/** The node cannot take more now; run the import again, it goes on. */
export class ImportStopped extends Error {
  override name = "ImportStopped";
}

export class ImportRun {
  readonly #o: ImportPlan;
  readonly #place: ImportPlace;
  readonly #pump: PaymentPump<Tag>;
  #unsaved = 0;

  constructor(o: ImportPlan, place: ImportPlace) {
    this.#o = o;
    this.#place = place;
    this.#pump = new PaymentPump({ client: o.client, onResults: (batch, results) => this.#results(batch, results) });
  }

  /** Imports what is left; resolves with the last place. Rejects with ImportStopped when the node is gone. */
  async run(): Promise<ImportPlace> {
    try {
      return await this.#files();
    } catch (error) {
      if (!(error instanceof StreamBroken)) throw error;
      throw new ImportStopped(`the connection broke (${error.message}): run the import again, it goes on`);
    }
  }

  async #files(): Promise<ImportPlace> {
    const { files } = this.#o;
    let before = files.slice(0, this.#place.files).reduce((sum, f) => sum + f.total, 0);
    // After the last file the place is behind it.
    for (; !this.#place.done; before += files[this.#place.files - 1].total) {
      const file = files[this.#place.files];
      await this.#file(file, before);
      this.#place.files++;
      this.#place.rows = 0;
      this.#place.done = this.#place.files === files.length;
      await this.#save();
    }
    return this.#place;
  }

  async #file(file: ImportFile, before: number): Promise<void> {
    let at = 0;
    for await (const rows of file.batches()) {
      const skip = Math.max(0, Math.min(rows.length, this.#place.rows - at));
      at += rows.length;
      if (skip === rows.length) continue;
      this.#o.signal.throwIfAborted();
      for (const row of skip === 0 ? rows : rows.slice(skip)) await this.#row(file.path, row);
      this.#unsaved += rows.length - skip;
      if (this.#unsaved < CHECKPOINT_ROWS) continue;
      await this.#pump.settle();
      this.#place.rows = at;
      await this.#save();
      const rejected = this.#place.rejected > 0 ? `${this.#place.rejected} rejected` : "";
      this.#o.progress.update(before + at, rejected);
    }
    await this.#pump.settle();
    this.#place.rows = at;
  }

  async #row(file: string, row: ImportRow): Promise<void> {
    if (row.payment === undefined) return this.#reject(file, row.row, undefined, row.reason);
    const { payment } = row;
    const place = this.#place;
    if (payment.eventTimeUs < place.newest_us - LATE_US) {
      const reason = "more than an hour older than a row before it: sort the file, or give the files in event order";
      return this.#reject(file, row.row, payment.transactionId, reason);
    }
    place.newest_us = Math.max(place.newest_us, payment.eventTimeUs);
    await this.#pump.add(historyPayment(payment, this.#o.attributes), { file, row: row.row, payment }, true);
  }

  #reject(file: string, row: number, id: string | undefined, reason: string): void {
    this.#place.rejected++;
    this.#o.rejects.add({ file, row, id, reason });
  }

  #results(batch: readonly Sent<Tag>[], results: readonly AnalyzeResult[]): void {
    for (const [i, { tag }] of batch.entries()) {
      const { result } = results[i];
      if (result.case === "decision") {
        // A payment that was decided live already is in the state as well.
        if (result.value.state !== DecisionState.PROVISIONAL) this.#place.recorded++;
        else throw new ImportStopped("the node did not acknowledge in time: run the import again");
        continue;
      }
      const error = result.value;
      const code = error?.code ?? ErrorCode.INTERNAL;
      if (
        code === ErrorCode.UNAVAILABLE ||
        code === ErrorCode.RESOURCE_EXHAUSTED ||
        code === ErrorCode.UNAUTHENTICATED
      ) {
        throw new ImportStopped(`the node took no more (${error?.message}): run the import again, it goes on`);
      }
      const field = error?.field ? `${error.field}: ` : "";
      this.#reject(tag.file, tag.row, tag.payment.transactionId, `${field}${error?.message ?? "no answer"}`);
    }
  }

  async #save(): Promise<void> {
    this.#unsaved = 0;
    this.#o.rejects.sync();
    this.#place.reject_bytes = this.#o.rejects.bytes;
    await writeCheckpoint(this.#o.checkpoint, this.#o.source, this.#place);
  }
}
