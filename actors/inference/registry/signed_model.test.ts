import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { canonical } from "./json.ts";
import { RegistryError, type RegistryErrorCode } from "./registry_error.ts";
import { checkFile, familyOf, modelSigner, parseSignedModel, type SignedModel, signModel } from "./signed_model.ts";
import { changed, flipped, keysOf, person, statement, trustIn } from "./testkit.ts";
import { KEY_ID, keyId, parseTrustedKeys, privateKeyOf, signContent, Trust } from "./trusted_keys.ts";

const alice = person("alice", "maker");
const eve = person("eve", "approver");
const trust = trustIn([alice]);
const signed = signModel(statement("xgboost_fraud_v2_1", "alice"), alice);
const text = JSON.stringify(signed, null, 2);

function refusal(run: () => unknown, codes: readonly RegistryErrorCode[], message = /./): RegistryError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof RegistryError, String(error));
    assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`);
    assert.match(error.message, message);
    return error;
  }
  return assert.fail("nothing was refused");
}

const check = (content: string): SignedModel => {
  const read = parseSignedModel(content, "signature.json");
  modelSigner(read, trust, "signature.json");
  return read;
};

describe("a signed model", () => {
  test("reads back as it was signed, whatever the order of its fields", () => {
    assert.deepEqual(check(text), signed);
    const turned = Object.fromEntries(Object.entries(signed).reverse());
    assert.deepEqual(check(JSON.stringify(turned)), signed);
    assert.equal(modelSigner(signed, trust, "").name, "alice");
    assert.match(signed.key_id, KEY_ID);
    assert.equal(familyOf(signed.model.name), "xgboost_fraud");
  });

  test("with any field changed, left out or added is refused", () => {
    let n = 0;
    for (const { path, value } of changed(signed)) {
      n++;
      // An empty text would be a good parameter, was it signed.
      assert.throws(() => check(JSON.stringify(value)), RegistryError, path);
    }
    assert.ok(n > 100, `${n} changes`);
  });

  test("by a key that is not trusted, or under another's name, is refused", () => {
    const hers = signModel(statement("xgboost_fraud_v2_1", "eve"), eve);
    refusal(() => modelSigner(hers, trust, "signature.json"), ["unknown_key"], /eve.*models -- trust/);
    // Eve says that it is Alice's, with her own key and with Alice's id.
    const { model } = signed;
    const forged = {
      ...signed,
      key_id: keyId(eve.key),
      signature: signContent("model", { model, key_id: "" }, eve.key),
    };
    refusal(() => modelSigner(forged, trust, "f"), ["unknown_key"]);
    const content = { model, key_id: signed.key_id };
    const again = { ...signed, signature: signContent("model", content, eve.key) };
    refusal(() => modelSigner(again, trust, "f"), ["tampered"]);
    // A trusted key signs in its own name only.
    const both = trustIn([alice, eve]);
    const key_id = keyId(eve.key);
    const inHerName = { ...signed, key_id, signature: signContent("model", { model, key_id }, eve.key) };
    refusal(() => modelSigner(inHerName, both, "f"), ["tampered"], /eve/);
    // What was signed for another purpose is no model.
    const asEvent = { ...signed, signature: signContent("event", content, alice.key) };
    refusal(() => modelSigner(asEvent, trust, "f"), ["tampered"]);
  });
});

describe("what is signed", () => {
  test("has a signature of one text only", () => {
    // The last character before == holds four bits that mean nothing.
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const last = signed.signature.at(-3) as string;
    const other = alphabet[alphabet.indexOf(last) ^ 1];
    const signature = `${signed.signature.slice(0, -3)}${other}==`;
    assert.deepEqual(Buffer.from(signature, "base64"), Buffer.from(signed.signature, "base64"));
    refusal(() => modelSigner({ ...signed, signature }, trust, "f"), ["tampered"]);
  });

  test("names the file that is not the one that was signed, and what to do", () => {
    const bytes = Buffer.from("model");
    refusal(() => checkFile(signed, "model.onnx", bytes, "/m/model.onnx"), ["tampered"], /^\/m\/model\.onnx.*restore/);
    refusal(() => checkFile(signed, "other.bin", bytes, "/m/other.bin"), ["tampered"], /other\.bin is not among/);
    refusal(() => checkFile(signed, "toString", bytes, "/m/toString"), ["tampered"], /not among/);
  });

  test("that is damaged gives the one typed error, or the same content", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(7), (at, bit) => {
        try {
          assert.equal(canonical(check(flipped(text, at, bit))), canonical(signed));
        } catch (error) {
          assert.ok(error instanceof RegistryError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
    for (let end = 0; end < text.length; end += 7) refusal(() => check(text.slice(0, end)), ["format"]);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.jsonValue().map((v) => JSON.stringify(v)),
          fc.string(),
          fc.json(),
        ),
        (garbage) => {
          refusal(() => check(garbage), ["format"]);
        },
      ),
    );
    refusal(() => check(`${"[".repeat(200_000)}`), ["format"]);
    refusal(() => check(text.replace('"parameters": {', '"parameters": {"__proto__": 1,')), ["format"]);
  });

  test("as canonical text is the same for the same content, and other for another", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const one = canonical(a);
        assert.equal(canonical(JSON.parse(one)), one);
        const isSame = JSON.stringify(JSON.parse(one)) === JSON.stringify(JSON.parse(canonical(b)));
        assert.equal(canonical(b) === one, isSame);
      }),
    );
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, undefined, () => 1, 1n]) {
      assert.throws(() => canonical({ value }), TypeError);
    }
  });
});

describe("trusted keys", () => {
  const file = JSON.stringify(keysOf([alice, eve]));
  const read = (content: string) => parseTrustedKeys(content, "trusted_keys.json");

  test("read back, and a damaged file is the one typed error", () => {
    assert.deepEqual(read(file), keysOf([alice, eve]));
    for (let end = 0; end < file.length; end += 3) refusal(() => read(file.slice(0, end)), ["format"]);
    fc.assert(
      fc.property(fc.nat(), fc.nat(7), (at, bit) => {
        try {
          new Trust(read(flipped(file, at, bit)));
        } catch (error) {
          assert.ok(error instanceof RegistryError, String(error));
        }
      }),
      { numRuns: 1000 },
    );
    for (const { path, value } of changed(keysOf([alice]))) {
      const isShape = /left out|with more/.test(path) && path !== "/keys/alice left out";
      if (isShape) assert.throws(() => read(JSON.stringify(value)), RegistryError, path);
    }
  });

  test("refuse one key under two names, a private key, and a key of another kind", () => {
    const twice = { ...keysOf([alice]).keys, "alice-again": alice.trusted };
    refusal(() => read(JSON.stringify({ ...keysOf([]), keys: twice })), ["format"], /alice and alice-again/);
    const withKey = (public_key: string) =>
      JSON.stringify({ ...keysOf([]), keys: { alice: { ...alice.trusted, public_key } } });
    const secret = alice.key.export({ type: "pkcs8", format: "pem" }) as string;
    assert.ok(!refusal(() => read(withKey(secret)), ["format"]).message.includes(secret.slice(30, 60)));
    const x25519 = generateKeyPairSync("x25519").publicKey.export({ type: "spki", format: "pem" }) as string;
    refusal(() => read(withKey(x25519)), ["format"], /Ed25519/);
    refusal(() => privateKeyOf("nothing", "alice.key"), ["key"], /alice\.key/);
  });
});
