/** What the codec's tests and bench share: a tenant, payments, and a slow statement of what a row must hold. */
import assert from "node:assert/strict";
import { isIP } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import type { KeyColumn } from "../../proto/columns.ts";
import {
  ATTRIBUTE_SLOTS,
  LOCATION_NONE,
  packCountry,
  packCurrency,
  RAW_FIELDS,
  RAW_MESSAGE,
  RowBlock,
} from "../../proto/columns.ts";
import type { Payment } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { PaymentSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { H, keyedHashText } from "../../runtime/kernel/keyed_hash.ts";
import { codeOf } from "./payment_decoder.ts";
import type { DecisionTexts } from "./reason_texts.ts";
import { reasonField, reasonHead, versionFields } from "./reason_texts.ts";

export const SHARDS = 8;
/** 2026-01-15T00:00:00Z. */
export const NOW_US = 1_768_435_200_000_000;

const rates = new Float64Array(26 ** 3).fill(Number.NaN);
rates[packCurrency("EUR")] = 1;
rates[packCurrency("USD")] = 0.92;
rates[packCurrency("JPY")] = 0.61;

const declared = [
  { name: "age_days", type: "number", slot: 0 },
  { name: "vip", type: "bool", slot: 3 },
  { name: "note", type: "string", slot: -1 },
  { name: "größe", type: "number", slot: -1 },
  ...Array.from({ length: 80 }, (_, i) => ({ name: `n${i}`, type: "number", slot: -1 }) as const),
] as const;

export const TENANT: Tenant = {
  index: 3,
  id: "tenant-ü",
  hash_key: [0xdeadbeef, 0x81234567],
  seal_key: new Uint8Array(32),
  base_currency: "EUR",
  rates_version: "test",
  rates,
  attributes: new Map(declared.map((a) => [a.name, a])),
  stand_in_outcome: 2,
  deadline_ms: 1000,
  magic_cards: false,
};

export type PaymentInit = Exclude<MessageInitShape<typeof PaymentSchema>, Payment>;

/** A full payment without attributes; `i` makes it differ. */
export function payment(i: number, over: PaymentInit = {}): Payment {
  return create(PaymentSchema, {
    transactionId: `tx-${String(i).padStart(12, "0")}`,
    userId: `user-${(i * 7919) % 1_000_000}`,
    merchantId: `merchant-${i % 50_000}`,
    amountMinor: BigInt(100 + ((i * 37) % 500_000)),
    currency: i % 3 === 0 ? "USD" : "EUR",
    eventTimeUs: BigInt(NOW_US - 1_000_000 + i),
    cardToken: `tok_${(i * 104_729) % 900_000_001}`,
    deviceId: `device-${i % 300_000}`,
    ip: `10.${i % 256}.${(i >> 8) % 256}.7`,
    country: "DE",
    location: { latitude: 52.5 + (i % 100) / 1000, longitude: -13.4 },
    channel: "ecommerce",
    merchantCategory: "5411",
    payeeAccount: `DE89370400440532${i % 10_000}`,
    status: 2,
    ...over,
  });
}

export function paymentBytes(message: Payment): Buffer {
  return Buffer.from(toBinary(PaymentSchema, message));
}

/** A block whose columns are all dirty, as a reused one's are. */
export function dirtyBlock(): RowBlock {
  const block = new RowBlock();
  for (const column of Object.values(block)) {
    if (ArrayBuffer.isView(column)) (column as Uint8Array).fill(123);
    else if (column !== null && typeof column === "object" && "hi" in column) {
      (column as KeyColumn).hi.fill(123);
      (column as KeyColumn).lo.fill(123);
    }
  }
  return block;
}

/** All columns of a row as plain data, to compare two rows. */
export function rowOf(block: RowBlock, row: number): Record<string, number[]> {
  const out: Record<string, number[]> = {};
  const size = block.kind.length;
  for (const [name, column] of Object.entries(block)) {
    if (name === "batch" || name === "stagesUs") continue;
    if (ArrayBuffer.isView(column)) {
      const values = column as Float64Array;
      const width = values.length / size;
      out[name] = Array.from(values.subarray(row * width, (row + 1) * width));
    } else if (column !== null && typeof column === "object" && "hi" in column) {
      out[name] = [(column as KeyColumn).hi[row], (column as KeyColumn).lo[row]];
    }
  }
  return out;
}

function checkKey(column: KeyColumn, row: number, text: string): void {
  if (text === "") H.hi = H.lo = 0;
  else keyedHashText(text, TENANT.hash_key[0], TENANT.hash_key[1]);
  assert.deepEqual([column.hi[row], column.lo[row]], [H.hi, H.lo], text);
}

/** Asserts that an accepted row holds what the message says, by the comments of the proto. */
export function checkRow(block: RowBlock, row: number, bytes: Uint8Array, m: Payment): void {
  const keys = [block.id, block.user, block.merchant, block.card, block.device, block.ip, block.payee];
  const texts = [m.transactionId, m.userId, m.merchantId, m.cardToken, m.deviceId, m.ip, m.payeeAccount];
  for (const [i, column] of keys.entries()) checkKey(column, row, texts[i]);
  const raws = [m.transactionId, m.userId, m.merchantId, m.cardToken, m.deviceId, m.ip, m.payeeAccount];
  for (const [raw, text] of raws.entries()) {
    const at = row * RAW_FIELDS + raw;
    const slice = Buffer.from(bytes.subarray(block.rawStart[at], block.rawStart[at] + block.rawLength[at]));
    assert.equal(slice.toString("utf8"), text);
    assert.ok(slice.length <= (raw === 0 ? 64 : 128));
  }
  assert.ok(m.transactionId !== "" && m.userId !== "" && m.merchantId !== "");
  assert.ok(m.ip === "" || isIP(m.ip) !== 0, m.ip);
  assert.equal(BigInt(block.amountMinor[row]), m.amountMinor);
  assert.ok(m.amountMinor >= 0n && m.amountMinor <= 100_000_000_000n);
  const rate = rates[packCurrency(m.currency)];
  const base = Math.round(Number(m.amountMinor) * rate);
  assert.equal(block.amountBase[row], base);
  assert.equal(block.degraded[row], Number.isNaN(base) ? 4 : 0);
  assert.equal(block.currency[row], packCurrency(m.currency));
  assert.equal(BigInt(block.eventTimeUs[row]), m.eventTimeUs);
  assert.equal(block.country[row], m.country === "" ? 0 : packCountry(m.country));
  assert.equal(block.channel[row], codeOf(m.channel));
  assert.equal(block.category[row], codeOf(m.merchantCategory));
  assert.equal(block.code[row], m.status);
  assert.equal(block.latitudeE6[row], m.location ? Math.round(m.location.latitude * 1e6) + 0 : LOCATION_NONE);
  assert.equal(block.longitudeE6[row], m.location ? Math.round(m.location.longitude * 1e6) + 0 : LOCATION_NONE);
  assert.equal(block.shard[row], block.user.hi[row] % SHARDS);
  assert.equal(block.tenant[row], TENANT.index);
  assert.ok(m.tenantId === "" || m.tenantId === TENANT.id);
  checkAttributes(block, row, m);
}

function checkAttributes(block: RowBlock, row: number, m: Payment): void {
  const slots = new Array<number>(ATTRIBUTE_SLOTS).fill(Number.NaN);
  for (const [name, value] of Object.entries(m.attributes)) {
    const a = TENANT.attributes.get(name);
    assert.ok(a !== undefined, name);
    assert.equal(value.kind.case, `${a.type}Value`);
    if (a.slot >= 0) slots[a.slot] = Number(value.kind.value) + 0;
  }
  const at = row * ATTRIBUTE_SLOTS;
  assert.deepEqual(Array.from(block.attributes.subarray(at, at + ATTRIBUTE_SLOTS)), slots);
  const some = Object.keys(m.attributes).length > 0;
  assert.equal(block.attributesHash.hi[row] !== 0 || block.attributesHash.lo[row] !== 0, some);
  assert.equal(block.rawLength[row * RAW_FIELDS + RAW_MESSAGE] > 0, some);
}

/** Texts of two versions with 64 rules each. */
export function testTexts(): DecisionTexts {
  const versions = [1, 2].map((v) => ({
    fields: versionFields(`xgboost_fraud_v${v}_0`, `5f2c${v}`),
    ruleReasons: Array.from({ length: 64 }, (_, i) => reasonField(`rule_${i}`, `text of rule ${i}, v${v}`, i / 64)),
  }));
  const features = Array.from({ length: 256 }, (_, i) => reasonHead(`model:feature_${i}`, `about feature ${i}`));
  return { version: (index) => versions[index], featureReason: (feature) => features[feature] };
}
