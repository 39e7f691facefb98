import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createApiKey } from "../identity/api_key.ts";
import { makeIdentity } from "../identity/identity.ts";
import { loadRateTable } from "../identity/rate_table.ts";
import { startTestGateway, type TestGateway } from "../testkit/test_gateway.ts";
import { BODY_BYTES_MAX, BULK_BODY_BYTES_MAX } from "./json_body.ts";

const TENANT = "t".repeat(64);
/** Names of 64 bytes, as many as a payment may have. */
const ATTRIBUTES = Array.from({ length: 64 }, (_, i) => `attribute_${i}_`.padEnd(64, "n"));

let t: TestGateway;
let key: string;

before(async () => {
  const made = createApiKey();
  key = made.key;
  const attributes = ATTRIBUTES.map((name) => ({ name, type: "string" as const, slot: -1 }));
  const keys = [{ id: made.id, sha256: made.sha256 }];
  const common = { base_currency: "EUR", stand_in: "NONE" as const, deadline_ms: 5000, magic_cards: false };
  const secrets = { [TENANT]: { hash_key: "0123456789abcdef", seal_key: "11".repeat(32) } };
  t = await startTestGateway({
    identity: makeIdentity([{ ...common, id: TENANT, attributes, keys }], secrets, loadRateTable()),
  });
});
after(() => t.gateway.close());

interface Problem {
  readonly detail: string;
  readonly errors: readonly { readonly field: string; readonly code: string }[];
}

async function send(path: string, body: Uint8Array | string, headers: Record<string, string> = {}) {
  const response = await fetch(`http://127.0.0.1:${t.gateway.restPort}/v1/fraud/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    body: Buffer.from(body),
  });
  return { status: response.status, body: (await response.json()) as Problem };
}

function paymentText(over: object = {}): string {
  const payment = { transactionId: "t1", userId: "u", merchantId: "m", amountMinor: 5, currency: "EUR" };
  return JSON.stringify({ ...payment, eventTimeUs: Date.now() * 1000, ...over });
}

test("bytes that are no UTF-8 are refused: two ids would become one", async () => {
  const rows = t.intake.rows;
  for (const id of ["zz\xe9", "zz\xe8"]) {
    for (const path of ["analyze", "bulk-analyze"]) {
      const { status, body } = await send(path, Buffer.from(paymentText({ transactionId: id }), "latin1"));
      assert.deepEqual([status, body.errors[0].code], [400, "NOT_UTF8"]);
      assert.match(body.detail, /send .*UTF-8/);
    }
  }
  // The same through an escape: half a surrogate pair has no UTF-8 either.
  const half = await send("analyze", paymentText({ transactionId: "#" }).replace("#", "zz\\ud800"));
  assert.deepEqual([half.status, half.body.errors[0].field], [400, "transaction_id"]);
  assert.equal(t.intake.rows, rows);
  assert.equal((await send("analyze", paymentText({ transactionId: "zzé" }))).status, 200);
  assert.equal((await send("analyze", `\ufeff${paymentText()}`)).status, 200);
});

test("another charset and a compressed body are 415 with a hint", async () => {
  const type = (value: string) => ({ "content-type": value });
  for (const taken of ["application/json; charset=utf-8", 'application/json;charset="UTF-8"', "APPLICATION/JSON"]) {
    assert.equal((await send("analyze", paymentText(), type(taken))).status, 200, taken);
  }
  assert.equal((await send("analyze", paymentText(), { "content-encoding": "Identity" })).status, 200);
  for (const path of ["analyze", "bulk-analyze", "outcomes", "events"]) {
    const latin = await send(path, paymentText(), type("application/json; a=b; charset=ISO-8859-1"));
    assert.equal(latin.status, 415);
    assert.match(latin.body.detail, /send JSON in UTF-8/);
    const packed = await send(path, paymentText(), { "content-encoding": "gzip" });
    assert.equal(packed.status, 415);
    assert.match(packed.body.detail, /send it uncompressed/);
  }
});

test("keys that change prototypes and empty bodies stay refused", async () => {
  for (const body of ['{"__proto__":{"a":1}}', '{"a":{"constructor":{"prototype":{}}}}', "", "\ufeff", " "]) {
    const answer = await send("analyze", body);
    assert.deepEqual([answer.status, answer.body.errors[0].code], [400, "MALFORMED"], body);
    assert.match(answer.body.detail, /^Body /);
  }
});

/** JSON with each character of each text as an escape: six bytes for one. */
function escaped(value: unknown): string {
  if (typeof value === "string") {
    return `"${[...value].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")}"`;
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([name, member]) => `${escaped(name)}:${escaped(member)}`);
  return `{${members.join(",")}}`;
}

test("a payment at every limit of the proto fits, with each byte escaped; past the limit 413 names it", async () => {
  const [id, text] = ["i".repeat(128), "x".repeat(32)];
  const payment = {
    transactionId: "i".repeat(64),
    userId: id,
    merchantId: id,
    amountMinor: "100000000000",
    currency: "EUR",
    eventTimeUs: String(Date.now() * 1000),
    cardToken: id,
    deviceId: id,
    ip: "0000:0000:0000:0000:0000:ffff:255.255.255.255",
    country: "DE",
    location: { latitude: -12.345678901234567, longitude: -123.45678901234567 },
    channel: text,
    merchantCategory: text,
    payeeAccount: id,
    status: "AUTHORISED",
    attributes: Object.fromEntries(ATTRIBUTES.map((name) => [name, "v".repeat(256)])),
    tenantId: TENANT,
  };
  const body = escaped({ payment });
  assert.ok(body.length > 128_000 && body.length < BODY_BYTES_MAX, String(body.length));
  assert.equal((await send("analyze", body)).status, 200);
  const room = " ".repeat(BODY_BYTES_MAX - body.length);
  assert.equal((await send("analyze", body + room)).status, 200);
  for (const path of ["analyze", "outcomes", "events"]) {
    const over = await send(path, `${body} ${room}`);
    assert.equal(over.status, 413);
    assert.match(over.body.detail, new RegExp(`larger than the ${BODY_BYTES_MAX} bytes`));
  }
  assert.equal((await send("bulk-analyze", `{"payments":[${paymentText()}]${room}${room}}`)).status, 200);
  const bulk = await send("bulk-analyze", " ".repeat(BULK_BODY_BYTES_MAX + 1));
  assert.equal(bulk.status, 413);
  assert.match(bulk.body.detail, new RegExp(`larger than the ${BULK_BODY_BYTES_MAX} bytes`));
});
