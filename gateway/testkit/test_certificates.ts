/**
 * Certificates for the TLS tests, made here so that the tests need no tool: one self-signed authority that signs a
 * server's and a client's certificate (ECDSA P-256, X.509 v3, written as DER by hand).
 */
import { createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body]);
  const size = body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), body]);
}

const sequence = (...parts: Uint8Array[]) => der(0x30, ...parts);
const oid = (...bytes: number[]) => der(0x06, Buffer.from(bytes));
const ECDSA_SHA256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
const COMMON_NAME = oid(0x55, 0x04, 0x03);
const ALT_NAME = oid(0x55, 0x1d, 0x11);
const CONSTRAINTS = oid(0x55, 0x1d, 0x13);

function name(text: string): Buffer {
  return sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(text)))));
}

function time(year: number): Buffer {
  return der(0x18, Buffer.from(`${year}0101000000Z`));
}

function certificate(subject: string, key: KeyObject, issuer: string, signer: KeyObject, authority: boolean): string {
  const year = new Date().getUTCFullYear();
  const alternative = sequence(ALT_NAME, der(0x04, sequence(der(0x82, Buffer.from("localhost")))));
  const constraints = sequence(
    CONSTRAINTS,
    der(0x01, Buffer.of(0xff)),
    der(0x04, sequence(der(0x01, Buffer.of(0xff)))),
  );
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(1 + Math.floor(Math.random() * 126))),
    ECDSA_SHA256,
    name(issuer),
    sequence(time(year - 1), time(year + 1)),
    name(subject),
    key.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(authority ? constraints : alternative)),
  );
  const signature = createSign("sha256").update(body).sign(signer);
  const whole = sequence(body, ECDSA_SHA256, der(0x03, Buffer.of(0), signature));
  const lines = whole.toString("base64").replace(/.{64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/** PEM files in `folder`: ca.pem, server.pem + server.key, client.pem + client.key, stranger.pem + stranger.key. */
export function writeTestCertificates(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const pair = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [ca, foreign] = [pair(), pair()];
  writeFileSync(
    join(folder, "ca.pem"),
    certificate("test authority", ca.publicKey, "test authority", ca.privateKey, true),
  );
  for (const [who, signer, issuer] of [
    ["server", ca, "test authority"],
    ["client", ca, "test authority"],
    ["stranger", foreign, "another authority"],
  ] as const) {
    const own = pair();
    writeFileSync(join(folder, `${who}.pem`), certificate(who, own.publicKey, issuer, signer.privateKey, false));
    writeFileSync(join(folder, `${who}.key`), own.privateKey.export({ type: "pkcs8", format: "pem" }));
  }
}
