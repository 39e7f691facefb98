/** What the tests and the bench of wire frames share: blocks of random and of typical rows, and damage to frames. */
import assert from "node:assert/strict";
import {
  ATTRIBUTE_SLOTS,
  BLOCK_ROWS,
  type KeyColumn,
  LOCATION_NONE,
  packCountry,
  packCurrency,
  RAW_FIELDS,
  RAW_MESSAGE,
  RowBlock,
} from "../../proto/columns.ts";
import { ByteWriter } from "../kernel/bytes.ts";
import { WireDamaged, writeHead } from "./wire_head.ts";

type Column = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float32Array | Float64Array;

/** Columns that an answer carries; all others but `batch` and `rawStart` came in. */
export const ANSWERED: readonly string[] = [
  "error",
  "errorField",
  "score",
  "outcome",
  "degraded",
  "flags",
  "rules",
  "reasonFeature",
  "reasonWeight",
  "version",
  "paymentTimeUs",
  "labelAction",
  "standing",
];

const EMPTY_SINK = { done: () => {} };
const TEXT_BYTES = 4096;

/** Random words of 32 bits, the same for the same seed. */
export function randomOf(seed: number): () => number {
  let state = (seed | 0) ^ 0x5bd1e995 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** The typed arrays of a block by name, `stagesUs` excepted; a key column is two. */
export function columnsOf(b: RowBlock): [string, Column][] {
  const found: [string, Column][] = [];
  for (const [name, column] of Object.entries(b)) {
    if (ArrayBuffer.isView(column) && name !== "stagesUs") found.push([name, column as Column]);
    else if (column !== null && typeof column === "object" && "hi" in column) {
      found.push([`${name}.hi`, (column as KeyColumn).hi], [`${name}.lo`, (column as KeyColumn).lo]);
    }
  }
  return found;
}

/** A column's bytes, so that every NaN is itself. */
export function bytesOf(column: Column, from = 0, end = BLOCK_ROWS): Buffer {
  const width = column.byteLength / BLOCK_ROWS;
  return Buffer.from(column.buffer, column.byteOffset + from * width, (end - from) * width);
}

/** Fills every column of every row with random bits, many of them zero or all ones. */
export function dirty(b: RowBlock, seed: number): RowBlock {
  const random = randomOf(seed);
  const fill = (bytes: Buffer): void => {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    for (let i = 0; i < words.length; i++) words[i] = random() % 3 === 0 ? random() : random() % 2 === 0 ? 0 : -1;
  };
  for (const [, column] of columnsOf(b)) fill(bytesOf(column));
  for (let i = 0; i < b.stagesUs.length; i++) b.stagesUs[i] = random();
  return b;
}

/** A block whose first n rows hold random values of what may come in, with edges; of tenants 0..2. */
export function randomRows(n: number, seed: number): RowBlock {
  const b = dirty(new RowBlock(), seed);
  const random = randomOf(~seed);
  const pick = <T>(...of: T[]): T => of[random() % of.length];
  for (let r = 0; r < n; r++) {
    b.tenant[r] = random() % 3;
    b.kind[r] = random() % 4;
    b.shard[r] = random() % 64;
    b.currency[r] = random() % 26 ** 3;
    b.country[r] = random() % (1 + 26 ** 2);
    b.retracted[r] = random() % 2;
    b.eventTimeUs[r] = pick(0, 1.7e15 + random(), 2 ** 53 - 1, -1);
    b.amountMinor[r] = pick(0, random(), 1e11, 2 ** 53 - 1);
    b.amountBase[r] = pick(b.amountMinor[r], 0, random(), Number.NaN);
    if (random() % 3 === 0) b.latitudeE6[r] = LOCATION_NONE;
    if (random() % 3 === 0) b.longitudeE6[r] = LOCATION_NONE;
    for (let k = 0; k < ATTRIBUTE_SLOTS; k++) {
      b.attributes[r * ATTRIBUTE_SLOTS + k] = pick(Number.NaN, Number.NaN, 0, 1.5, -Number.MAX_VALUE, random());
    }
    if (random() % 3 === 0) b.attributes.fill(Number.NaN, r * ATTRIBUTE_SLOTS, (r + 1) * ATTRIBUTE_SLOTS);
    const isWide = random() % 8 === 0;
    for (let k = 0; k < RAW_FIELDS; k++) {
      const length = k === RAW_MESSAGE ? pick(0, random() % 600) : pick(0, random() % 40, isWide ? 300 : 255);
      b.rawLength[r * RAW_FIELDS + k] = length;
      b.rawStart[r * RAW_FIELDS + k] = random() % (TEXT_BYTES - length);
    }
  }
  const text = () => Uint8Array.from({ length: TEXT_BYTES }, () => random());
  const half = n >> 1;
  if (half > 0) b.addBatch(text(), 0, half, EMPTY_SINK);
  b.addBatch(text(), half, n - half, EMPTY_SINK);
  return b;
}

/** A block with n payments as they usually are, in messages of 64: card, device, address, payee and place. */
export function typicalRows(n: number): RowBlock {
  const b = new RowBlock();
  const random = randomOf(7);
  for (let start = 0; start < n; start += 64) {
    const count = Math.min(64, n - start);
    let text = "";
    for (let r = start; r < start + count; r++) {
      typicalRow(b, r, random);
      const texts = [
        `tx-${String(r).padStart(12, "0")}`,
        `user-${random() % 1_000_000}`,
        `merchant-${random() % 50_000}`,
        `tok_${random() % 900_000_001}`,
        `device-${random() % 300_000}`,
        `10.${r % 256}.${random() % 256}.7`,
        `DE89370400440532${random() % 10_000}`,
      ];
      for (const [k, t] of texts.entries()) {
        b.rawStart[r * RAW_FIELDS + k] = text.length + 2;
        b.rawLength[r * RAW_FIELDS + k] = t.length;
        text += `..${t}`;
      }
    }
    b.addBatch(Buffer.from(text), start, count, EMPTY_SINK);
  }
  return b;
}

function typicalRow(b: RowBlock, r: number, random: () => number): void {
  for (const column of [b.user, b.id, b.merchant, b.card, b.device, b.ip, b.payee]) {
    column.hi[r] = random();
    column.lo[r] = random();
  }
  b.tenant[r] = 0;
  b.shard[r] = b.user.hi[r] % 8;
  b.eventTimeUs[r] = 1.768e15 + r * 100;
  b.amountMinor[r] = random() % 500_000;
  b.amountBase[r] = r % 3 === 0 ? Math.round(b.amountMinor[r] * 0.92) : b.amountMinor[r];
  b.currency[r] = packCurrency(r % 3 === 0 ? "USD" : "EUR");
  b.country[r] = packCountry("DE");
  b.channel[r] = 1;
  b.category[r] = 2;
  b.code[r] = 2;
  b.latitudeE6[r] = 52_500_000;
  b.longitudeE6[r] = 13_400_000;
  b.attributes.fill(Number.NaN, r * ATTRIBUTE_SLOTS, (r + 1) * ATTRIBUTE_SLOTS);
}

/** Bytes of the raw texts of rows [0, n). */
export function textBytes(b: RowBlock, n: number): number {
  return b.rawLength.subarray(0, n * RAW_FIELDS).reduce((sum, length) => sum + length, 0);
}

/** The bytes of a head and of what `body` writes behind it. */
export function frameOf(kind: number, body: (w: ByteWriter) => void): Uint8Array {
  const w = new ByteWriter();
  writeHead(w, kind, "node");
  body(w);
  return w.copy();
}

/** Random answers in rows [start, start + count), of versions 0..3. */
export function randomAnswers(b: RowBlock, start: number, count: number, seed: number): void {
  const random = randomOf(seed);
  for (let r = start; r < start + count; r++) {
    b.version[r] = random() % 4;
    b.paymentTimeUs[r] = random() % 2 === 0 ? 0 : 1.7e15 + random();
  }
}

/** The frame as a view within other bytes, at an odd offset: nobody may count on alignment or on what lies around. */
export function placed(frame: Uint8Array): Uint8Array {
  const around = new Uint8Array(frame.length + 16).fill(0xff);
  around.set(frame, 3);
  return around.subarray(3, 3 + frame.length);
}

/**
 * Asserts that `read` refuses every cut and lengthened form of a frame (unless later code may add to it), and that
 * changed bits and random bytes give WireDamaged or another reading, never another error.
 */
export function checkDamage(
  frame: Uint8Array,
  seed: number,
  read: (bytes: Uint8Array) => void,
  isOpenEnded = false,
): void {
  const random = randomOf(seed);
  const survives = (bytes: Uint8Array): void => {
    try {
      read(placed(bytes));
    } catch (e) {
      if (!(e instanceof WireDamaged)) throw e;
    }
  };
  const noise = (length: number): Uint8Array => Uint8Array.from({ length }, () => random());
  read(placed(frame));
  for (let i = 0; i < 12; i++) {
    const cut = random() % frame.length;
    assert.throws(() => read(placed(frame.subarray(0, cut))), WireDamaged, `cut at ${cut} of ${frame.length}`);
  }
  assert.throws(() => read(placed(frame.subarray(0, frame.length - 1))), WireDamaged, "the last byte is gone");
  const longer = Buffer.concat([frame, noise(1 + (random() % 9))]);
  if (isOpenEnded) read(placed(longer));
  else assert.throws(() => read(placed(longer)), WireDamaged, "bytes behind the end");
  for (let i = 0; i < 24; i++) {
    const flipped = frame.slice();
    // Every other time near the front, where the counts are.
    const at = random() % Math.min(frame.length, i % 2 === 0 ? 64 : frame.length);
    flipped[at] ^= 1 << (random() % 8);
    survives(flipped);
  }
  const headEnd = 7 + frame[6];
  for (let i = 0; i < 6; i++) {
    survives(noise(random() % 200));
    survives(Buffer.concat([frame.subarray(0, headEnd), noise(random() % 400)]));
    survives(Buffer.concat([frame.subarray(0, headEnd), new Uint8Array(random() % 40).fill(0xff)]));
  }
}
