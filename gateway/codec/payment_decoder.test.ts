import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { LOCATION_NONE, RAW_FIELDS, RAW_MESSAGE, RAW_TRANSACTION, type RowBlock } from "../../proto/columns.ts";
import {
  ErrorCode,
  PaymentSchema,
  RecordEventRequestSchema,
  ReportOutcomeRequestSchema,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { PaymentInit } from "./codec_fixture.ts";
import { checkRow, dirtyBlock, NOW_US, payment, paymentBytes, rowOf, SHARDS, TENANT } from "./codec_fixture.ts";
import { errorField, errorMessage } from "./errors.ts";
import { codeOf, decodeEvent, decodeOutcome, decodePayment } from "./payment_decoder.ts";
import { isCardNumber, isIpText } from "./text_forms.ts";

const block: RowBlock = dirtyBlock();

function decode(bytes: Uint8Array, row = 0): boolean {
  return decodePayment(bytes, 0, bytes.length, block, row, TENANT, SHARDS, NOW_US);
}

/** The refusal of a payment as [code, field name]. */
function refusal(bytes: Uint8Array): [number, string] {
  assert.equal(decode(bytes), false);
  assert.notEqual(block.error[0], 0);
  return [block.error[0], errorField(block.kind[0], block.errorField[0])];
}

const number = (value: number) => ({ kind: { case: "numberValue" as const, value } });
const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });
const bool = (value: boolean) => ({ kind: { case: "boolValue" as const, value } });

test("random valid payments: every column holds what protobuf-es encoded", () => {
  const id = (max: number) => fc.string({ minLength: 1, maxLength: Math.floor(max / 4), unit: "binary" });
  const maybe = <T>(value: fc.Arbitrary<T>, none: T) => fc.oneof(value, fc.constant(none));
  // Digits alone could be a card number by chance.
  const key = id(128).map((t) => `k${t.slice(0, 30)}`);
  const degrees = (max: number) => fc.double({ min: -max, max, noNaN: true });
  const attributes = fc.dictionary(
    fc.constantFrom("age_days", "größe", "n1", "n7"),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(number),
  );
  const arbitrary = fc.record({
    transactionId: id(64),
    userId: id(128),
    merchantId: id(128),
    amountMinor: fc.bigInt(0n, 100_000_000_000n),
    currency: fc.constantFrom("EUR", "USD", "JPY", "CHF", "XCG"),
    eventTimeUs: fc.bigInt(946_684_800_000_000n, BigInt(NOW_US) + 86_400_000_000n),
    cardToken: maybe(key, ""),
    deviceId: maybe(key, ""),
    ip: maybe(fc.oneof(fc.ipV4(), fc.ipV6()), ""),
    country: fc.constantFrom("", "DE", "GB", "XK"),
    channel: maybe(id(32), ""),
    merchantCategory: maybe(id(32), ""),
    payeeAccount: maybe(key, ""),
    status: fc.constantFrom(0, 1, 2, 3) as fc.Arbitrary<0 | 1 | 2 | 3>,
    location: fc.option(fc.record({ latitude: degrees(90), longitude: degrees(180) }), { nil: undefined }),
    attributes,
    tenantId: fc.constantFrom("", TENANT.id),
  });
  fc.assert(
    fc.property(arbitrary, fc.nat(2047), fc.nat(40), (init, row, offset) => {
      const { location, ...rest } = init;
      const message = create(PaymentSchema, location === undefined ? rest : { ...rest, location });
      const plain = paymentBytes(message);
      const bytes = Buffer.concat([Buffer.alloc(offset, 0x0a), plain, Buffer.alloc(9, 0x0a)]);
      const taken = decodePayment(bytes, offset, offset + plain.length, block, row, TENANT, SHARDS, NOW_US);
      assert.ok(taken, errorMessage(0, block.error[row], block.errorField[row]));
      checkRow(block, row, bytes, message);
    }),
    { numRuns: 500 },
  );
});

const long = (n: number): string => "x".repeat(n);
const REFUSED: readonly (readonly [string, PaymentInit, number, string])[] = [
  ["no transaction", { transactionId: "" }, ErrorCode.REQUIRED, "transaction_id"],
  ["long transaction", { transactionId: long(65) }, ErrorCode.INVALID, "transaction_id"],
  ["no user", { userId: "" }, ErrorCode.REQUIRED, "user_id"],
  ["long user", { userId: long(129) }, ErrorCode.INVALID, "user_id"],
  ["no merchant", { merchantId: "" }, ErrorCode.REQUIRED, "merchant_id"],
  ["long merchant", { merchantId: long(200) }, ErrorCode.INVALID, "merchant_id"],
  ["negative amount", { amountMinor: -1n }, ErrorCode.INVALID, "amount_minor"],
  ["most negative amount", { amountMinor: -(2n ** 63n) }, ErrorCode.INVALID, "amount_minor"],
  ["amount past the limit", { amountMinor: 100_000_000_001n }, ErrorCode.INVALID, "amount_minor"],
  ["amount past 2^53", { amountMinor: 2n ** 53n + 1n }, ErrorCode.INVALID, "amount_minor"],
  ["largest amount", { amountMinor: 2n ** 63n - 1n }, ErrorCode.INVALID, "amount_minor"],
  ["no currency", { currency: "" }, ErrorCode.REQUIRED, "currency"],
  ["small letters", { currency: "eur" }, ErrorCode.INVALID, "currency"],
  ["unknown currency", { currency: "QQQ" }, ErrorCode.INVALID, "currency"],
  ["long currency", { currency: "EURO" }, ErrorCode.INVALID, "currency"],
  ["no time", { eventTimeUs: 0n }, ErrorCode.REQUIRED, "event_time_us"],
  ["before 2000", { eventTimeUs: 946_684_799_999_999n }, ErrorCode.INVALID, "event_time_us"],
  ["before 1970", { eventTimeUs: -5n }, ErrorCode.INVALID, "event_time_us"],
  ["too far ahead", { eventTimeUs: BigInt(NOW_US) + 86_400_000_001n }, ErrorCode.INVALID, "event_time_us"],
  ["card number", { cardToken: "4111111111111111" }, ErrorCode.INVALID, "card_token"],
  ["long token", { cardToken: long(129) }, ErrorCode.INVALID, "card_token"],
  ["long device", { deviceId: long(129) }, ErrorCode.INVALID, "device_id"],
  ["no ip", { ip: "localhost" }, ErrorCode.INVALID, "ip"],
  ["half ip", { ip: "10.0.0" }, ErrorCode.INVALID, "ip"],
  ["unknown country", { country: "ZZ" }, ErrorCode.INVALID, "country"],
  ["long country", { country: "DEU" }, ErrorCode.INVALID, "country"],
  ["latitude", { location: { latitude: 90.1, longitude: 0 } }, ErrorCode.INVALID, "location"],
  ["longitude", { location: { latitude: 0, longitude: -181 } }, ErrorCode.INVALID, "location"],
  ["latitude NaN", { location: { latitude: Number.NaN, longitude: 0 } }, ErrorCode.INVALID, "location"],
  ["long channel", { channel: long(33) }, ErrorCode.INVALID, "channel"],
  ["long category", { merchantCategory: long(33) }, ErrorCode.INVALID, "merchant_category"],
  ["long payee", { payeeAccount: long(129) }, ErrorCode.INVALID, "payee_account"],
  ["unknown status", { status: 4 as 3 }, ErrorCode.INVALID, "status"],
  ["negative status", { status: -1 as 3 }, ErrorCode.INVALID, "status"],
  ["undeclared", { attributes: { nope: number(1) } }, ErrorCode.INVALID, "attributes"],
  ["wrong type", { attributes: { age_days: text("1") } }, ErrorCode.INVALID, "attributes"],
  ["not finite", { attributes: { age_days: number(Number.POSITIVE_INFINITY) } }, ErrorCode.INVALID, "attributes"],
  ["long string", { attributes: { note: text(long(257)) } }, ErrorCode.INVALID, "attributes"],
  ["null", { attributes: { note: { kind: { case: "nullValue", value: 0 } } } }, ErrorCode.INVALID, "attributes"],
  ["list", { attributes: { note: { kind: { case: "listValue", value: {} } } } }, ErrorCode.INVALID, "attributes"],
  ["struct", { attributes: { note: { kind: { case: "structValue", value: {} } } } }, ErrorCode.INVALID, "attributes"],
  ["no value", { attributes: { note: {} } }, ErrorCode.INVALID, "attributes"],
  [
    "65 attributes",
    { attributes: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`n${i}`, number(i)])) },
    ErrorCode.INVALID,
    "attributes",
  ],
  ["other tenant", { tenantId: "tenant-u" }, ErrorCode.PERMISSION_DENIED, "tenant_id"],
];

test("each refusal names its field and says what to do", () => {
  for (const [name, init, code, field] of REFUSED) {
    assert.deepEqual(refusal(paymentBytes(payment(1, init))), [code, field], name);
    const message = errorMessage(block.kind[0], code, block.errorField[0]);
    assert.ok(message.startsWith(field) && message.length > field.length + 10, message);
  }
  assert.deepEqual(refusal(paymentBytes(payment(1, { cardToken: "4111111111111111" })))[1], "card_token");
  assert.match(errorMessage(0, ErrorCode.INVALID, 7), /send a token/);
});

test("limits themselves are taken", () => {
  const many = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`n${i}`, number(i)]));
  const message = payment(1, {
    transactionId: long(64),
    userId: long(128),
    merchantId: long(128),
    amountMinor: 100_000_000_000n,
    channel: long(32),
    eventTimeUs: BigInt(NOW_US) + 86_400_000_000n,
    cardToken: "4111111111111112",
    attributes: many,
    tenantId: TENANT.id,
  });
  const bytes = paymentBytes(message);
  assert.ok(decode(bytes), `${block.error[0]} ${block.errorField[0]}`);
  checkRow(block, 0, bytes, message);
  assert.equal(block.rawLength[RAW_MESSAGE], bytes.length);
});

test("texts that are not UTF-8 are refused by name", () => {
  const fields = {
    transactionId: "transaction_id",
    userId: "user_id",
    merchantId: "merchant_id",
    cardToken: "card_token",
    deviceId: "device_id",
    channel: "channel",
    merchantCategory: "merchant_category",
    payeeAccount: "payee_account",
  };
  for (const [key, name] of Object.entries(fields)) {
    const bytes = paymentBytes(payment(1, { [key]: "@@@@@@@@@@@@" }));
    const at = bytes.indexOf("@@@@@@@@@@@@");
    for (const bad of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
      const broken = Buffer.from(bytes);
      broken.set(bad, at + 3);
      assert.deepEqual(refusal(broken), [ErrorCode.NOT_UTF8, name], `${name} ${bad}`);
    }
  }
  const bytes = paymentBytes(payment(1, { attributes: { note: text("@@@@") } }));
  bytes[bytes.indexOf("@@@@")] = 0xff;
  assert.deepEqual(refusal(bytes), [ErrorCode.NOT_UTF8, "attributes"]);
});

test("a payment without optional fields leaves nothing of the row before it", () => {
  const full = payment(1, { attributes: { age_days: number(4), vip: bool(true) } });
  assert.ok(decode(paymentBytes(full)));
  assert.equal(block.attributes[0], 4);
  assert.equal(block.attributes[3], 1);
  const bare = create(PaymentSchema, {
    transactionId: "t",
    userId: "u",
    merchantId: "m",
    currency: "CHF",
    eventTimeUs: BigInt(NOW_US),
  });
  const bytes = paymentBytes(bare);
  assert.ok(decode(bytes));
  const reused = rowOf(block, 0);
  const fresh = dirtyBlock();
  assert.ok(decodePayment(bytes, 0, bytes.length, fresh, 9, TENANT, SHARDS, NOW_US));
  assert.deepEqual(rowOf(fresh, 9), reused);
  assert.equal(block.latitudeE6[0], LOCATION_NONE);
  assert.equal(block.degraded[0], 4, "no rate for CHF");
  checkRow(block, 0, bytes, bare);
});

test("the last of several values counts, locations merge, unknown fields are skipped", () => {
  const first = paymentBytes(payment(1, { userId: long(500), country: "ZZ", amountMinor: -1n }));
  const second = paymentBytes(payment(2));
  // Fields 100 of each wire type, a group with a group in it, and a location with the latitude alone.
  const unknown = Buffer.from("a00605a10600000000000000" + "00a206020102a5060000" + "0000a306080aab06ac06a406", "hex");
  const latitude = Buffer.from([0x5a, 9, 9, 0, 0, 0, 0, 0, 0, 0x24, 0x40]);
  const bytes = Buffer.concat([first, unknown, second, latitude]);
  assert.ok(decode(bytes), `${block.error[0]} ${block.errorField[0]}`);
  checkRow(block, 0, bytes, fromBinary(PaymentSchema, bytes));
  assert.equal(block.latitudeE6[0], 10e6);
  assert.equal(block.longitudeE6[0], -13.4e6);
});

test("a text emptied by its last value is absent", () => {
  const bytes = Buffer.concat([paymentBytes(payment(1)), Buffer.from([0x12, 0])]);
  assert.deepEqual(refusal(bytes), [ErrorCode.REQUIRED, "user_id"]);
});

test("broken protobuf is MALFORMED", () => {
  const whole = paymentBytes(payment(1));
  const broken: readonly (readonly [string, string])[] = [
    ["wrong wire type of a text", "0801"],
    ["wrong wire type of a number", "220101"],
    ["wrong wire type of the location", "5801"],
    ["wrong wire type in the location", "5a020801"],
    ["field number 0", "0001"],
    ["length past the end", "0a7f"],
    ["length of 2^32", "0a8080808010"],
    ["negative length", "0affffffffffffffffff01"],
    ["varint without an end", "20ffff"],
    ["varint of eleven bytes", "20ffffffffffffffffffff01"],
    ["tag without an end", "80"],
    ["group that never ends", "a306"],
    ["end of no group", "a406"],
    ["wrong end of a group", "a306ac06"],
    ["wire type 7", "a706"],
    ["short fixed64", "a1060000"],
  ];
  for (const [name, hex] of broken) {
    assert.deepEqual(refusal(Buffer.concat([whole, Buffer.from(hex, "hex")])), [ErrorCode.MALFORMED, ""], name);
  }
  const entry = Buffer.from("8201030a05" + "61", "hex");
  assert.deepEqual(refusal(Buffer.concat([whole, entry])), [ErrorCode.MALFORMED, "attributes"]);
});

test("padded varints are read as what they say", () => {
  const whole = paymentBytes(payment(1));
  const bytes = Buffer.concat([whole, Buffer.from("2085808080808080808000", "hex")]);
  assert.ok(decode(bytes));
  assert.equal(block.amountMinor[0], 5);
});

test("the attributes' hash depends on content alone: not on order, overwritten entries or bytes around", () => {
  const hash = (bytes: Buffer): string => {
    assert.ok(decode(bytes), `${block.error[0]} ${block.errorField[0]}`);
    return `${block.attributesHash.hi[0]}:${block.attributesHash.lo[0]}`;
  };
  const only = (attributes: NonNullable<PaymentInit["attributes"]>): Buffer =>
    Buffer.from(toBinary(PaymentSchema, create(PaymentSchema, { attributes })));
  const base = paymentBytes(payment(1));
  const a = only({ age_days: number(1) });
  const b = only({ note: text("hello") });
  const c = only({ vip: bool(false) });
  const abc = hash(Buffer.concat([base, a, b, c]));
  assert.equal(hash(Buffer.concat([c, a, base, b])), abc);
  const old = only({ age_days: number(99) });
  assert.equal(hash(Buffer.concat([old, base, c, b, a])), abc, "the last of two entries counts");
  assert.equal(block.attributes[0], 1);
  const others = [
    [base, a, b],
    [base, a, c],
    [base, old, b, c],
    [base, a, only({ note: text("hellp") }), c],
  ];
  const seen = new Set([abc, ...others.map((parts) => hash(Buffer.concat(parts)))]);
  assert.equal(seen.size, 5);
  // The same value under swapped names must differ.
  const swapped = [only({ n1: number(1), n2: number(2) }), only({ n1: number(2), n2: number(1) })];
  assert.notEqual(hash(Buffer.concat([base, swapped[0]])), hash(Buffer.concat([base, swapped[1]])));
  assert.equal(
    hash(Buffer.concat([base, only({ n1: number(-0) })])),
    hash(Buffer.concat([base, only({ n1: number(0) })])),
  );
});

test("card numbers and addresses by their bytes", () => {
  const card = (t: string): boolean => isCardNumber(Buffer.from(t), 0, t.length);
  for (const t of [
    "4111111111111111",
    "378282246310005",
    "6304000000000000",
    "000000000000",
    "6011000990139424",
    "4111 1111 1111 1111",
    "3782-822463-10005",
  ]) {
    assert.ok(card(t), t);
  }
  for (const t of ["4111111111111112", "79927398713", "41111111111111111111", "tok_41111111111"]) {
    assert.ok(!card(t), t);
  }
  const ip = (t: string): boolean => isIpText(Buffer.from(t), 0, t.length);
  const piece = fc.constantFrom(":", "::", ".", "1", "0", "00", "255", "256", "ffff", "12345", "Ab", "g", "1.2.3.4");
  const made = fc.array(piece, { maxLength: 16 }).map((p) => p.join(""));
  fc.assert(
    fc.property(fc.oneof(made, fc.ipV4(), fc.ipV6()), (t) => assert.equal(ip(t), isIP(t) !== 0 && t.length <= 45, t)),
    { numRuns: 3000 },
  );
  assert.ok(!ip("fe80::1%eth0"));
});

test("codeOf gives the column value of a name", () => {
  assert.ok(decode(paymentBytes(payment(1))));
  assert.equal(block.channel[0], codeOf("ecommerce"));
  assert.equal(block.category[0], codeOf("5411"));
  assert.equal(codeOf(""), 0);
});

test("outcomes: columns and refusals", () => {
  const take = (over: object): [number, string] => {
    const base = { transactionId: "tx-1", userId: "user-7919", outcome: 2, knownTimeUs: BigInt(NOW_US), revision: 7 };
    const message = create(ReportOutcomeRequestSchema, { ...base, ...over } as typeof base & { outcome: 2 });
    const bytes = Buffer.from(toBinary(ReportOutcomeRequestSchema, message));
    decodeOutcome(bytes, 0, bytes.length, block, 5, TENANT, SHARDS, NOW_US);
    return [block.error[5], errorField(block.kind[5], block.errorField[5])];
  };
  assert.deepEqual(take({ retracted: true, tenantId: TENANT.id }), [0, ""]);
  const row = rowOf(block, 5);
  assert.deepEqual([row.kind, row.code, row.revision, row.retracted], [[1], [2], [7], [1]]);
  assert.deepEqual([row.eventTimeUs, row.merchant, row.amountMinor], [[NOW_US], [0, 0], [0]]);
  assert.ok(block.rawLength[5 * RAW_FIELDS + RAW_TRANSACTION] === 4);
  assert.ok(decode(paymentBytes(payment(1)), 6));
  assert.deepEqual(row.user, rowOf(block, 6).user, "a user hashes the same in both");
  assert.deepEqual(row.shard, rowOf(block, 6).shard);
  const { REQUIRED, INVALID, PERMISSION_DENIED } = ErrorCode;
  assert.deepEqual(take({ transactionId: "" }), [REQUIRED, "transaction_id"]);
  assert.deepEqual(take({ userId: "" }), [REQUIRED, "user_id"]);
  assert.deepEqual(take({ outcome: 0 }), [REQUIRED, "outcome"]);
  assert.deepEqual(take({ outcome: 6 }), [INVALID, "outcome"]);
  assert.deepEqual(take({ knownTimeUs: 5n }), [INVALID, "known_time_us"]);
  assert.deepEqual(take({ revision: 0 }), [REQUIRED, "revision"]);
  assert.deepEqual(take({ revision: 65_535 }), [0, ""]);
  assert.deepEqual(take({ revision: 65_536 }), [INVALID, "revision"]);
  assert.deepEqual(take({ tenantId: "x" }), [PERMISSION_DENIED, "tenant_id"]);
});

test("events: columns and refusals", () => {
  const take = (over: object): [number, string] => {
    const base = {
      eventId: "e-1",
      userId: "u",
      kind: 1 as const,
      eventTimeUs: BigInt(NOW_US),
      deviceId: "d",
      ip: "::1",
    };
    const bytes = Buffer.from(
      toBinary(RecordEventRequestSchema, create(RecordEventRequestSchema, { ...base, ...over })),
    );
    decodeEvent(bytes, 0, bytes.length, block, 5, TENANT, SHARDS, NOW_US);
    return [block.error[5], errorField(block.kind[5], block.errorField[5])];
  };
  assert.deepEqual(take({}), [0, ""]);
  const row = rowOf(block, 5);
  assert.deepEqual([row.kind, row.code, row.eventTimeUs, row.merchant], [[2], [1], [NOW_US], [0, 0]]);
  assert.ok(row.device[0] !== 0 && row.ip[0] !== 0 && row.id[0] !== 0);
  assert.deepEqual(take({ kind: 0 }), [ErrorCode.REQUIRED, "kind"]);
  assert.deepEqual(take({ kind: 7 }), [ErrorCode.INVALID, "kind"]);
  assert.deepEqual(take({ eventId: long(65) }), [ErrorCode.INVALID, "event_id"]);
  assert.deepEqual(take({ ip: "x" }), [ErrorCode.INVALID, "ip"]);
  assert.deepEqual(take({ eventTimeUs: 0n }), [ErrorCode.REQUIRED, "event_time_us"]);
});
