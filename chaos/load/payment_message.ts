/**
 * One AnalyzeStreamRequest of 64 payments, encoded ahead with its gRPC prefix: ids, users, merchants, places and event
 * times have fixed widths and are patched in place before each send; amounts, channels and categories stay.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import type { Prng } from "../../deploy/demo/prng.ts";
import {
  AnalyzeStreamRequestSchema,
  type Payment,
  PaymentSchema,
  PaymentStatus,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";

/** Payments of a message. */
export const MESSAGE_ROWS = 64;
/** gRPC's: one byte of flags and four of length. */
const GRPC_PREFIX_BYTES = 5;
/** Batch ids lie in 2^28..2^35 - 1: their varints have five bytes. */
const BATCH_ID_FIRST = 2 ** 28;
const BATCH_ID_LAST = 2 ** 35 - 1;
/** Any time of eight varint bytes: 2^49..2^56 - 1 microseconds, the years 1987 to 4253. */
const TEMPLATE_TIME_US = 2n ** 50n;

// Places that are patched, a row each: positions in the message, -1 for none.
const AT_ID = 0;
const AT_USER = 1;
const AT_MERCHANT = 2;
const AT_TIME = 3;
const AT_CARD = 4;
const AT_DEVICE = 5;
const AT_COUNTRY = 6;
const AT_LOCATION = 7;
const PLACES = 8;

const ID_PREFIX_LENGTH = 24;
const USER_PREFIX = "usr_8mQ2xKpT04vL";
const MERCHANT_PREFIX = "acct_1032D82eZvK";
const CARD_PREFIX = "tok_1PgC7zLkdIwHu7ix";
const DEVICE_PREFIX = "dev_b7f2a0c94e1d6835f0aa";
/** A location's two doubles with their tags. */
const LOCATION_BYTES = 18;
const HEX = Buffer.from("0123456789abcdef");
const CATEGORIES = ["5411", "5812", "5541", "5999", "4121", "5732", "5691", "7995", "4829", "5814"] as const;

/** Where users live: a user's country and place are always the same. */
const CITIES = [
  ["US", 40.71, -74.0],
  ["US", 34.05, -118.24],
  ["GB", 51.51, -0.13],
  ["DE", 52.52, 13.4],
  ["FR", 48.86, 2.35],
  ["ES", 40.42, -3.7],
  ["IT", 41.9, 12.5],
  ["NL", 52.37, 4.9],
  ["PL", 52.23, 21.01],
  ["SE", 59.33, 18.07],
  ["BR", -23.55, -46.63],
  ["IN", 19.08, 72.88],
  ["JP", 35.68, 139.69],
  ["AU", -33.87, 151.21],
  ["CA", 43.65, -79.38],
  ["MX", 19.43, -99.13],
] as const;
const COUNTRIES = Buffer.from(CITIES.map((c) => c[0]).join(""));
const LOCATIONS = locations();

function locations(): Buffer {
  const all = Buffer.alloc(CITIES.length * LOCATION_BYTES);
  CITIES.forEach(([, latitude, longitude], i) => {
    const at = i * LOCATION_BYTES;
    all[at] = 0x09;
    all.writeDoubleLE(latitude, at + 1);
    all[at + 9] = 0x11;
    all.writeDoubleLE(longitude, at + 10);
  });
  return all;
}

/** A run's transaction ids: a UUID whose last twelve digits are the counter. */
export function transactionId(prefix: string, counter: number): string {
  return prefix + counter.toString(16).padStart(12, "0");
}

/** Text form of a user, as the messages carry it. */
export function userId(user: number): string {
  return USER_PREFIX + user.toString(16).padStart(8, "0");
}

export function merchantId(merchant: number): string {
  return MERCHANT_PREFIX + merchant.toString(16).padStart(8, "0");
}

/** A payment with the constants of its row: `row` draws decide its kind, its amount and its category. */
function templatePayment(prefix: string, currency: string, rng: Prng): Payment {
  const kind = rng.float();
  const card = kind < 0.45;
  const mobile = kind >= 0.8;
  const amount = Math.max(50, Math.round(rng.lognormal(2800, 1.1)));
  return create(PaymentSchema, {
    transactionId: transactionId(prefix, 0),
    userId: userId(0),
    merchantId: merchantId(0),
    amountMinor: BigInt(amount),
    currency,
    eventTimeUs: TEMPLATE_TIME_US,
    cardToken: `${CARD_PREFIX}${"0".repeat(8)}`,
    ...(card
      ? {}
      : { deviceId: `${DEVICE_PREFIX}${"0".repeat(8)}`, ip: `93.184.${rng.whole(10, 255)}.${rng.whole(10, 255)}` }),
    country: CITIES[0][0],
    location: { latitude: CITIES[0][1], longitude: CITIES[0][2] },
    channel: card ? "card_present" : mobile ? "mobile" : "ecommerce",
    merchantCategory: rng.pick(CATEGORIES),
    status: rng.chance(0.985) ? PaymentStatus.AUTHORISED : PaymentStatus.DECLINED,
  });
}

export interface MessageOptions {
  /** First ID_PREFIX_LENGTH characters of every id. */
  readonly id_prefix: string;
  readonly currency: string;
  /** Payments of the past: folded, not decided. */
  readonly history: boolean;
}

export class PaymentMessage {
  /** The gRPC prefix and the message: what is written to the stream. */
  readonly bytes: Buffer;
  readonly #places: Int32Array;
  readonly #batchAt: number;

  private constructor(bytes: Buffer, places: Int32Array, batchAt: number) {
    this.bytes = bytes;
    this.#places = places;
    this.#batchAt = batchAt;
  }

  /** Throws RangeError for a prefix of another length: the places that are patched follow from it. */
  static create(o: MessageOptions, rng: Prng): PaymentMessage {
    if (o.id_prefix.length !== ID_PREFIX_LENGTH) throw new RangeError(`id_prefix: ${o.id_prefix.length} characters`);
    const payments = Array.from({ length: MESSAGE_ROWS }, () => templatePayment(o.id_prefix, o.currency, rng));
    const request = create(AnalyzeStreamRequestSchema, {
      batchId: BigInt(BATCH_ID_FIRST),
      payments,
      history: o.history,
    });
    const body = toBinary(AnalyzeStreamRequestSchema, request);
    const bytes = Buffer.alloc(GRPC_PREFIX_BYTES + body.length);
    bytes.writeUInt32BE(body.length, 1);
    bytes.set(body, GRPC_PREFIX_BYTES);
    return new PaymentMessage(bytes, findPlaces(bytes), GRPC_PREFIX_BYTES + 1);
  }

  /** The same message in memory of its own, for when all others are on their way. */
  clone(): PaymentMessage {
    return new PaymentMessage(Buffer.from(this.bytes), this.#places, this.#batchAt);
  }

  /** `batch` 0 .. 2^35 - 2^28 - 1: its batch id is 2^28 more. */
  setBatch(batch: number): void {
    let rest = BATCH_ID_FIRST + batch;
    if (rest > BATCH_ID_LAST) throw new RangeError(`batch ${batch} has a longer varint`);
    for (let i = 0; i < 4; i++) {
      this.bytes[this.#batchAt + i] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.bytes[this.#batchAt + 4] = rest;
  }

  /** Makes row `row` (0..63) another payment. `counter` is the number in its id, below 2^32. */
  setRow(row: number, counter: number, user: number, merchant: number, time_us: number): void {
    const b = this.bytes;
    const p = this.#places;
    const at = row * PLACES;
    putHex(b, p[at + AT_ID], counter);
    putHex(b, p[at + AT_USER], user);
    putHex(b, p[at + AT_MERCHANT], merchant);
    putTime(b, p[at + AT_TIME], time_us);
    putHex(b, p[at + AT_CARD], user);
    const device = p[at + AT_DEVICE];
    if (device >= 0) putHex(b, device, user);
    const city = Math.imul(user, 0x9e3779b1) >>> 28;
    const country = p[at + AT_COUNTRY];
    b[country] = COUNTRIES[city * 2];
    b[country + 1] = COUNTRIES[city * 2 + 1];
    const location = p[at + AT_LOCATION];
    for (let i = 0, from = city * LOCATION_BYTES; i < LOCATION_BYTES; i++) b[location + i] = LOCATIONS[from + i];
  }

  /** One payment of the message as it stands, without tag and length: for unary and bulk calls. */
  payment(row: number): Buffer {
    const start = this.#places[MESSAGE_ROWS * PLACES + row * 2];
    return this.bytes.subarray(start, start + this.#places[MESSAGE_ROWS * PLACES + row * 2 + 1]);
  }
}

/** The batch of a response's batch id. */
export function batchOf(batch_id: number): number {
  return batch_id - BATCH_ID_FIRST;
}

function putHex(b: Buffer, at: number, value: number): void {
  for (let shift = 28, i = at; shift >= 0; shift -= 4) b[i++] = HEX[(value >>> shift) & 15];
}

/** An eight-byte varint: 24 + 28 bits, so that all is whole-number arithmetic of 32 bits. */
function putTime(b: Buffer, at: number, time_us: number): void {
  const high = Math.floor(time_us / 0x10000000);
  const low = time_us - high * 0x10000000;
  b[at] = (low & 0x7f) | 0x80;
  b[at + 1] = ((low >>> 7) & 0x7f) | 0x80;
  b[at + 2] = ((low >>> 14) & 0x7f) | 0x80;
  b[at + 3] = ((low >>> 21) & 0x7f) | 0x80;
  b[at + 4] = (high & 0x7f) | 0x80;
  b[at + 5] = ((high >>> 7) & 0x7f) | 0x80;
  b[at + 6] = ((high >>> 14) & 0x7f) | 0x80;
  b[at + 7] = (high >>> 21) & 0x7f;
}

const PLACE_OF_FIELD: Readonly<Record<number, number>> = {
  1: AT_ID,
  2: AT_USER,
  3: AT_MERCHANT,
  6: AT_TIME,
  7: AT_CARD,
  8: AT_DEVICE,
  10: AT_COUNTRY,
  11: AT_LOCATION,
};
/** Bytes in front of the eight hexadecimal digits that are patched. */
const FIXED_BYTES: Readonly<Record<number, number>> = {
  [AT_ID]: 28,
  [AT_USER]: USER_PREFIX.length,
  [AT_MERCHANT]: MERCHANT_PREFIX.length,
  [AT_CARD]: CARD_PREFIX.length,
  [AT_DEVICE]: DEVICE_PREFIX.length,
};

/** PLACES positions a row, then start and length of each payment. */
function findPlaces(bytes: Buffer): Int32Array {
  const places = new Int32Array(MESSAGE_ROWS * (PLACES + 2)).fill(-1);
  let row = 0;
  eachField(bytes, GRPC_PREFIX_BYTES, bytes.length, (field, start, end) => {
    if (field !== 2) return;
    const base = row * PLACES;
    places[MESSAGE_ROWS * PLACES + row * 2] = start;
    places[MESSAGE_ROWS * PLACES + row * 2 + 1] = end - start;
    eachField(bytes, start, end, (inner, at) => {
      const place = PLACE_OF_FIELD[inner];
      if (place !== undefined) places[base + place] = at + (FIXED_BYTES[place] ?? 0);
    });
    row++;
  });
  return places;
}

/** Calls `see` with the value's bounds for each field of a message that has varints and length-delimited fields. */
function eachField(
  b: Buffer,
  from: number,
  to: number,
  see: (field: number, start: number, end: number) => void,
): void {
  let at = from;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = b[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < to) {
    const tag = varint();
    if ((tag & 7) === 0) {
      const start = at;
      varint();
      see(tag >>> 3, start, at);
    } else if ((tag & 7) === 2) {
      const length = varint();
      see(tag >>> 3, at, at + length);
      at += length;
    } else throw new Error(`wire type ${tag & 7} at ${at}`);
  }
}
