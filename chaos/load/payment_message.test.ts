import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { Prng } from "../../deploy/demo/prng.ts";
import { AnalyzeStreamRequestSchema, PaymentSchema } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { batchOf, MESSAGE_ROWS, merchantId, PaymentMessage, transactionId, userId } from "./payment_message.ts";

const OPTIONS = { id_prefix: "0193f1a2-7c1e-7f00-8a2b-", currency: "EUR", history: false };
const decode = (m: PaymentMessage) => fromBinary(AnalyzeStreamRequestSchema, m.bytes.subarray(5));

test("a patched message decodes to what was patched in, and nothing else changed", () => {
  const message = PaymentMessage.create(OPTIONS, new Prng(5, "message"));
  const before = decode(message);
  const row = fc.record({
    counter: fc.integer({ min: 0, max: 0xffffffff }),
    user: fc.integer({ min: 0, max: 0xffffffff }),
    merchant: fc.integer({ min: 0, max: 0xffffffff }),
    time_us: fc.integer({ min: 2 ** 49, max: 2 ** 53 - 1 }),
  });
  const rows = fc.array(row, { minLength: MESSAGE_ROWS, maxLength: MESSAGE_ROWS });
  fc.assert(
    fc.property(rows, fc.integer({ min: 0, max: 2 ** 35 - 1 - 2 ** 28 }), (values, batch) => {
      message.setBatch(batch);
      values.forEach((v, i) => {
        message.setRow(i, v.counter, v.user, v.merchant, v.time_us);
      });
      const got = decode(message);
      assert.equal(message.bytes.readUInt32BE(1), message.bytes.length - 5);
      assert.equal(batchOf(Number(got.batchId)), batch);
      assert.equal(got.payments.length, MESSAGE_ROWS);
      got.payments.forEach((p, i) => {
        const [v, was] = [values[i], before.payments[i]];
        assert.equal(p.transactionId, transactionId(OPTIONS.id_prefix, v.counter));
        assert.equal(p.userId, userId(v.user));
        assert.equal(p.merchantId, merchantId(v.merchant));
        assert.equal(p.eventTimeUs, BigInt(v.time_us));
        assert.ok(p.cardToken.endsWith(v.user.toString(16).padStart(8, "0")));
        if (was.deviceId !== "") assert.ok(p.deviceId.endsWith(v.user.toString(16).padStart(8, "0")));
        const { amountMinor, currency, ip, channel, merchantCategory, status } = was;
        assert.partialDeepStrictEqual(p, { amountMinor, currency, ip, channel, merchantCategory, status });
        assert.ok(/^[A-Z]{2}$/.test(p.country) && Math.abs(p.location?.latitude ?? 99) <= 90);
        assert.deepEqual(fromBinary(PaymentSchema, message.payment(i)), p);
      });
    }),
    { numRuns: 50 },
  );
});

test("a user always pays from the same place with the same card", () => {
  const message = PaymentMessage.create(OPTIONS, new Prng(5, "message"));
  for (let i = 0; i < MESSAGE_ROWS; i++) message.setRow(i, i, 77, i, 2 ** 50);
  const { payments } = decode(message);
  const [first] = payments;
  assert.ok(payments.every((p) => p.country === first.country && p.cardToken === first.cardToken));
  assert.ok(payments.every((p) => p.location?.latitude === first.location?.latitude));
});

test("payments are as large as real ones; history is marked; a clone is its own", () => {
  const message = PaymentMessage.create({ ...OPTIONS, history: true }, new Prng(5, "message"));
  assert.ok(message.bytes.length / MESSAGE_ROWS > 190 && message.bytes.length / MESSAGE_ROWS < 240);
  assert.equal(decode(message).history, true);
  const clone = message.clone();
  clone.setRow(0, 9, 9, 9, 2 ** 50);
  assert.notEqual(decode(clone).payments[0].userId, decode(message).payments[0].userId);
});
