/**
 * Answers on their way from the owner of shards back to the gateway: what is answered, as columns, or that no row was
 * taken because the mailbox is full.
 *
 *   request varint | refused u8 | retry after u16, milliseconds | rows u16; a refusal ends here
 *   stages five u32, microseconds | versions u16, then model and rule set of each as texts
 *   columns, one after another, in row order: presence u8, outcome u8, degraded u8, flags u8 | score, float32 bits |
 *     those of the presence bits, where a row has them
 *
 * An allowed payment takes 8 bytes, one with rules and reasons 31. Both directions are hot: no object, closure or
 * string a row.
 */
import { BLOCK_ROWS, REASON_SLOTS, type RowBlock } from "../../proto/columns.ts";
import { type ByteReader, ByteWriter } from "../kernel/bytes.ts";
import {
  decoding,
  finished,
  HEAD_BYTES,
  readBoolean,
  readEnd,
  readText,
  VARINT_BYTES,
  WIRE_ANSWERS,
  WireDamaged,
  writeHead,
  writeText,
} from "./wire_head.ts";

const HAS_RULES = 1;
/** Features and weights that drove the score. */
const HAS_REASONS = 2;
/** Error u8 and its field u8. */
const HAS_ERROR = 4;
/** What an outcome row is told: label u8, standing u16, time of its payment f64. */
const HAS_OUTCOME = 8;
/** Place of the version in the dictionary u16; the first without. */
const HAS_VERSION = 16;
const PRESENCE_END = 32;

/** What each presence bit costs, from bit 0 on, bytes. */
const BIT_BYTES = [8, 5 * REASON_SLOTS, 2, 11, 2];
const OPTIONAL_BYTES = new Uint8Array(PRESENCE_END).map((_, p) =>
  BIT_BYTES.reduce((sum, bytes, bit) => sum + (((p >> bit) & 1) === 0 ? 0 : bytes), 0),
);
const FIXED_BYTES = 8;
const STAGES = 5;
/** Head, request, counts and stages. */
const FRAME_BYTES = HEAD_BYTES + VARINT_BYTES + 7 + 4 * STAGES;
/** Two names with their lengths. */
const VERSION_BYTES = 512;
const RETRY_MAX_MS = 0xffff;

// Scratch of the frame under way.
const presence = new Uint8Array(BLOCK_ROWS);
const position = new Uint16Array(BLOCK_ROWS);
/** Place of each version of this node in the frame's dictionary. */
const positions = new Map<number, number>();

/** Names of a version, as the node's table of versions has them. */
export interface VersionNames {
  readonly model: string;
  readonly rule_set: string;
}

export interface AnswersHead {
  readonly from: string;
  /** The asker's number of the request that is answered. */
  readonly request: number;
  /** Answers that follow, 0 for a refusal. */
  readonly rows: number;
  /** No row was taken: the mailbox is full. */
  readonly refused: boolean;
  /** When to ask again, of a refusal; 0 otherwise. */
  readonly retry_after_ms: number;
}

/**
 * A frame with what is answered for rows [start, start + count) of the block, in the order they were asked.
 * @param request the asker's number, below 2^53
 * @param versionNames names of an index of the `version` column
 * @throws RangeError when count is not 1..BLOCK_ROWS, or the names of more versions than a frame holds
 */
export function writeAnswers(
  b: RowBlock,
  start: number,
  count: number,
  from: string,
  request: number,
  versionNames: (index: number) => VersionNames,
): Uint8Array {
  if (!(count >= 1 && start >= 0 && start + count <= BLOCK_ROWS)) throw new RangeError(`rows ${start} + ${count}`);
  const weights = bitsOf(b.reasonWeight);
  findVersions(b, start, count);
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    const p = presenceOf(b, weights, start + i, position[i]);
    presence[i] = p;
    bytes += FIXED_BYTES + OPTIONAL_BYTES[p];
  }
  const w = new ByteWriter(FRAME_BYTES + positions.size * VERSION_BYTES + bytes);
  writeStart(w, from, request, 0, count, false);
  for (let i = 0; i < STAGES; i++) w.u32(b.stagesUs[i]);
  w.u16(positions.size);
  for (const index of positions.keys()) {
    const { model, rule_set } = versionNames(index);
    writeText(w, model);
    writeText(w, rule_set);
  }
  const fixed = w.take(bytes);
  writeFixed(w.numbers, fixed, b, start, count);
  const end = writeOptional(w.numbers, fixed + count * FIXED_BYTES, b, weights, start, count);
  if (end !== w.length) throw new Error(`the answers took ${end - w.length} bytes more than reckoned`);
  return finished(w);
}

/** A frame that says: no row of the request was taken, ask again after `retry_after_ms` (65,535 at most are said). */
export function writeRefusal(from: string, request: number, retry_after_ms: number): Uint8Array {
  const w = new ByteWriter(FRAME_BYTES);
  writeStart(w, from, request, Math.min(RETRY_MAX_MS, Math.max(0, Math.ceil(retry_after_ms))), 0, true);
  return finished(w);
}

function writeStart(
  w: ByteWriter,
  from: string,
  request: number,
  retry_after_ms: number,
  rows: number,
  refused: boolean,
): void {
  writeHead(w, WIRE_ANSWERS, from);
  w.varint(request);
  w.u8(refused ? 1 : 0);
  w.u16(retry_after_ms);
  w.u16(rows);
}

/** Float32 seen as its bits, so that every NaN stays what it is. */
function bitsOf(column: Float32Array): Uint32Array {
  return new Uint32Array(column.buffer, column.byteOffset, column.length);
}

/** Fills `positions` and `position`. */
function findVersions(b: RowBlock, start: number, count: number): void {
  positions.clear();
  let last = -1;
  let place = 0;
  for (let i = 0; i < count; i++) {
    const version = b.version[start + i];
    if (version !== last) {
      place = positions.get(version) ?? positions.size;
      positions.set(version, place);
      last = version;
    }
    position[i] = place;
  }
}

function presenceOf(b: RowBlock, weights: Uint32Array, r: number, place: number): number {
  let p = 0;
  if ((b.rules.hi[r] | b.rules.lo[r]) !== 0) p |= HAS_RULES;
  const features = b.reasonFeature;
  let reasons = 0;
  for (let i = r * REASON_SLOTS, end = i + REASON_SLOTS; i < end; i++) reasons |= features[i] | weights[i];
  if (reasons !== 0) p |= HAS_REASONS;
  if ((b.error[r] | b.errorField[r]) !== 0) p |= HAS_ERROR;
  if ((b.labelAction[r] | b.standing[r]) !== 0 || b.paymentTimeUs[r] !== 0) p |= HAS_OUTCOME;
  if (place !== 0) p |= HAS_VERSION;
  return p;
}

function writeFixed(v: DataView, at: number, b: RowBlock, start: number, count: number): void {
  const scores = bitsOf(b.score);
  let p = at;
  for (let i = 0, r = start; i < count; i++, r++, p += 4) {
    v.setUint8(p, presence[i]);
    v.setUint8(p + 1, b.outcome[r]);
    v.setUint8(p + 2, b.degraded[r]);
    v.setUint8(p + 3, b.flags[r]);
  }
  for (let i = 0, r = start; i < count; i++, r++, p += 4) v.setUint32(p, scores[r], true);
}

/** Writes from offset `at` on and returns where it ends. */
function writeOptional(
  v: DataView,
  at: number,
  b: RowBlock,
  weights: Uint32Array,
  start: number,
  count: number,
): number {
  let p = at;
  for (let i = 0, r = start; i < count; i++, r++) {
    const has = presence[i];
    if ((has & HAS_RULES) !== 0) {
      v.setUint32(p, b.rules.lo[r], true);
      v.setUint32(p + 4, b.rules.hi[r], true);
      p += 8;
    }
    if ((has & HAS_REASONS) !== 0) {
      for (let k = r * REASON_SLOTS, end = k + REASON_SLOTS; k < end; k++, p += 5) {
        v.setUint8(p, b.reasonFeature[k]);
        v.setUint32(p + 1, weights[k], true);
      }
    }
    if ((has & HAS_ERROR) !== 0) {
      v.setUint8(p, b.error[r]);
      v.setUint8(p + 1, b.errorField[r]);
      p += 2;
    }
    if ((has & HAS_OUTCOME) !== 0) {
      v.setUint8(p, b.labelAction[r]);
      v.setUint16(p + 1, b.standing[r], true);
      v.setFloat64(p + 3, b.paymentTimeUs[r], true);
      p += 11;
    }
    if ((has & HAS_VERSION) !== 0) {
      v.setUint16(p, position[i], true);
      p += 2;
    }
  }
  return p;
}

/** Reads what stands before the stages; a refusal wholly. Throws WireDamaged. */
export function readAnswersHead(reader: ByteReader, from: string): AnswersHead {
  return decoding(() => {
    const request = reader.varint();
    const refused = readBoolean(reader);
    const retry_after_ms = reader.u16();
    const rows = reader.u16();
    if (rows > BLOCK_ROWS || (rows === 0) !== refused) {
      throw new WireDamaged(`${refused ? "a refusal with" : "answers of"} ${rows} rows`);
    }
    if (refused) readEnd(reader);
    else if (retry_after_ms !== 0) throw new WireDamaged("answers that say when to ask again");
    return { from, request, rows, refused, retry_after_ms };
  });
}

/**
 * Puts answer i into row rows[i] of the block, for all i < n; the block's stages become the answers'.
 * @param reader the frame's, behind readAnswersHead
 * @param versionIndex this node's index of a version, made when there is none
 * @throws WireDamaged, also when there are not n answers; rows[0..n) may then hold anything
 */
export function readAnswers(
  reader: ByteReader,
  head: AnswersHead,
  b: RowBlock,
  rows: Uint16Array,
  n: number,
  versionIndex: (model: string, ruleSet: string) => number,
): void {
  if (head.refused || head.rows !== n) throw new WireDamaged(`answers of ${head.rows} rows, ${n} were asked`);
  decoding(() => {
    const stages = reader.take(4 * STAGES);
    const names = readNames(reader, n);
    const v = reader.numbers;
    const fixed = reader.take(FIXED_BYTES * n);
    let bytes = 0;
    for (let i = 0; i < n; i++) {
      const p = v.getUint8(fixed + 4 * i);
      if (p >= PRESENCE_END) throw new WireDamaged(`presence bits ${p} of answer ${i}`);
      presence[i] = p;
      bytes += OPTIONAL_BYTES[p];
    }
    // From here on all columns are known to lie within the frame.
    const optional = reader.take(bytes);
    readEnd(reader);
    readFixed(v, fixed, b, rows, n);
    readOptional(v, optional, b, rows, n, names.length);
    const versions = names.map(({ model, rule_set }) => versionIndex(model, rule_set));
    for (let i = 0; i < n; i++) b.version[rows[i]] = versions[position[i]];
    for (let i = 0; i < STAGES; i++) b.stagesUs[i] = v.getUint32(stages + 4 * i, true);
  });
}

function readNames(reader: ByteReader, n: number): VersionNames[] {
  const count = reader.u16();
  if (count === 0 || count > n) throw new WireDamaged(`${count} versions of ${n} answers`);
  const names: VersionNames[] = [];
  for (let i = 0; i < count; i++) names.push({ model: readText(reader), rule_set: readText(reader) });
  return names;
}

function readFixed(v: DataView, at: number, b: RowBlock, rows: Uint16Array, n: number): void {
  const scores = bitsOf(b.score);
  let p = at;
  for (let i = 0; i < n; i++, p += 4) {
    const r = rows[i];
    b.outcome[r] = v.getUint8(p + 1);
    b.degraded[r] = v.getUint8(p + 2);
    b.flags[r] = v.getUint8(p + 3);
  }
  for (let i = 0; i < n; i++, p += 4) scores[rows[i]] = v.getUint32(p, true);
}

/** Fills `position` too. */
function readOptional(v: DataView, at: number, b: RowBlock, rows: Uint16Array, n: number, versions: number): void {
  const weights = bitsOf(b.reasonWeight);
  const { rules, reasonFeature } = b;
  let p = at;
  for (let i = 0; i < n; i++) {
    const r = rows[i];
    const has = presence[i];
    const hasRules = (has & HAS_RULES) !== 0;
    rules.lo[r] = hasRules ? v.getUint32(p, true) : 0;
    rules.hi[r] = hasRules ? v.getUint32(p + 4, true) : 0;
    if (hasRules) p += 8;
    const hasReasons = (has & HAS_REASONS) !== 0;
    for (let k = r * REASON_SLOTS, end = k + REASON_SLOTS; k < end; k++) {
      reasonFeature[k] = hasReasons ? v.getUint8(p) : 0;
      weights[k] = hasReasons ? v.getUint32(p + 1, true) : 0;
      if (hasReasons) p += 5;
    }
    const hasError = (has & HAS_ERROR) !== 0;
    b.error[r] = hasError ? v.getUint8(p) : 0;
    b.errorField[r] = hasError ? v.getUint8(p + 1) : 0;
    if (hasError) p += 2;
    const hasOutcome = (has & HAS_OUTCOME) !== 0;
    const time = hasOutcome ? v.getFloat64(p + 3, true) : 0;
    if (!Number.isSafeInteger(time)) throw new WireDamaged(`answer ${i} has payment time ${time}`);
    b.labelAction[r] = hasOutcome ? v.getUint8(p) : 0;
    b.standing[r] = hasOutcome ? v.getUint16(p + 1, true) : 0;
    b.paymentTimeUs[r] = time;
    if (hasOutcome) p += 11;
    const place = (has & HAS_VERSION) !== 0 ? v.getUint16(p, true) : 0;
    if (place >= versions) throw new WireDamaged(`answer ${i} names version ${place} of ${versions}`);
    position[i] = place;
    if ((has & HAS_VERSION) !== 0) p += 2;
  }
}
