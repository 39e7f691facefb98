/**
 * A light walk over answers: which rows were decided and how, which failed and with which code. No message object, no
 * text: registers that stand until the next walk.
 */

/** Codes of ErrorCode fit in here. */
const CODES = 32;
/** DecisionState: not a decision. */
const PROVISIONAL = 2;
const LATE = Buffer.from("late_event");

/** How one row was answered. */
export const ROW_DECIDED = 1;
/** An error that says: this payment was not taken. */
export const ROW_REFUSED = 2;
/** Provisional, or an error with outcome_unknown: it may stand in the journal. */
export const ROW_UNKNOWN = 3;

/** What the last walk found; counts add up until `clear`. */
export class ResponseWalker {
  /** The response's batch id; -1 when it had none. */
  batch_id = -1;
  /** Rows of the last response, and how many of them were decided. */
  rows = 0;
  decided = 0;
  /** ROW_* of each row of the last response. */
  readonly row = new Uint8Array(1024);
  /** Since clear(): by ErrorCode, by Outcome. */
  readonly errors = new Float64Array(CODES);
  readonly outcomes = new Float64Array(8);
  provisional = 0;
  degraded = 0;
  repeated = 0;
  /** Decided beyond the late tolerance: in no window. */
  late = 0;
  #at = 0;

  clear(): void {
    this.errors.fill(0);
    this.outcomes.fill(0);
    this.provisional = 0;
    this.degraded = 0;
    this.repeated = 0;
    this.late = 0;
  }

  /** AnalyzeStreamResponse in [start, end). Throws when it is broken. */
  stream(b: Uint8Array, start: number, end: number): void {
    this.#walk(b, start, end, 2);
  }

  /** BulkAnalyzeResponse: the results are field 1. */
  bulk(b: Uint8Array, start: number, end: number): void {
    this.#walk(b, start, end, 1);
  }

  /** AnalyzeResponse: one decision. */
  unary(b: Uint8Array, start: number, end: number): void {
    this.rows = 0;
    this.decided = 0;
    this.batch_id = -1;
    this.#result(b, start, end);
  }

  #walk(b: Uint8Array, start: number, end: number, results: number): void {
    this.rows = 0;
    this.decided = 0;
    this.batch_id = -1;
    this.#at = start;
    while (this.#at < end) {
      const tag = b[this.#at++];
      if (tag === ((results << 3) | 2)) {
        const length = this.#varint(b);
        const from = this.#at;
        this.#result(b, from, from + length);
        this.#at = from + length;
      } else if (tag === 8 && results === 2) this.batch_id = this.#varint(b);
      else this.#skip(b, tag);
    }
    if (this.#at !== end) throw new Error(`a broken response: it ends at ${this.#at}, not ${end}`);
  }

  #result(b: Uint8Array, start: number, end: number): void {
    this.#at = start;
    let how = ROW_UNKNOWN;
    while (this.#at < end) {
      const tag = b[this.#at++];
      if (tag !== 0x0a && tag !== 0x12) {
        this.#skip(b, tag);
        continue;
      }
      const length = this.#varint(b);
      const inner = this.#at;
      how = tag === 0x0a ? this.#decision(b, inner + length) : this.#error(b, inner + length);
      this.#at = inner + length;
    }
    this.row[this.rows++] = how;
    if (how === ROW_DECIDED) this.decided++;
  }

  #decision(b: Uint8Array, end: number): number {
    let state = 0;
    let outcome = 0;
    while (this.#at < end) {
      const tag = b[this.#at++];
      if (tag === 0x10) outcome = b[this.#at++];
      else if (tag === 0x40) state = b[this.#at++];
      else if (tag === 0x50) this.repeated += b[this.#at++];
      else if (tag === 0x1d) this.#at += 4;
      else {
        if (tag === 0x3a) this.degraded++;
        else if (tag === 0x22 && this.#isLate(b)) this.late++;
        this.#skip(b, tag);
      }
    }
    if (state === PROVISIONAL) {
      this.provisional++;
      return ROW_UNKNOWN;
    }
    this.outcomes[outcome & 7]++;
    return ROW_DECIDED;
  }

  /** The reason at hand has the code `late_event`: its first field, of ten letters. */
  #isLate(b: Uint8Array): boolean {
    // The reason's length has one byte, or two when its text is long.
    const at = b[this.#at] < 128 ? this.#at + 1 : this.#at + 2;
    if (b[at] !== 0x0a || b[at + 1] !== LATE.length) return false;
    for (let i = 0; i < LATE.length; i++) if (b[at + 2 + i] !== LATE[i]) return false;
    return true;
  }

  #error(b: Uint8Array, end: number): number {
    let code = 0;
    let unknown = false;
    while (this.#at < end) {
      const tag = b[this.#at++];
      if (tag === 0x08) code = this.#varint(b);
      else if (tag === 0x28) unknown = b[this.#at++] !== 0;
      else this.#skip(b, tag);
    }
    this.errors[code % CODES]++;
    return unknown ? ROW_UNKNOWN : ROW_REFUSED;
  }

  #varint(b: Uint8Array): number {
    let byte = b[this.#at++];
    if (byte < 128) return byte;
    let value = byte & 127;
    for (let scale = 128; byte >= 128; scale *= 128) {
      if (scale > 2 ** 49 || this.#at >= b.length) throw new Error(`a broken varint at ${this.#at}`);
      byte = b[this.#at++];
      value += (byte & 127) * scale;
    }
    return value;
  }

  #skip(b: Uint8Array, first: number): void {
    let tag = first;
    if (tag >= 128) {
      this.#at--;
      tag = this.#varint(b);
    }
    const type = tag & 7;
    if (type === 0) this.#varint(b);
    else if (type === 1) this.#at += 8;
    else if (type === 2) {
      const length = this.#varint(b);
      this.#at += length;
    } else if (type === 5) this.#at += 4;
    else throw new Error(`wire type ${type} at ${this.#at}`);
  }
}
