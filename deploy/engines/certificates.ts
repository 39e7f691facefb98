/**
 * X.509 certificates for local servers, written as DER here because Node has no maker of them and a machine need not
 * have openssl: an authority of our own and certificates that it signs (ECDSA P-256, SHA-256, version 3).
 */
import { createSign, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { chmod, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./errors.ts";
import { writeFileAtomic } from "./files.ts";

/** A certificate (PEM) and its private key. */
export interface Certified {
  readonly name: string;
  readonly certificate: string;
  readonly key: KeyObject;
}

/** Names that a certificate is good for. */
export interface AltNames {
  readonly dns: readonly string[];
  /** Dotted, version 4. */
  readonly ips: readonly string[];
}

/** PEM files of a server, and of the authority that its clients trust. */
export interface TlsFiles {
  readonly ca_file: string;
  readonly cert_file: string;
  readonly key_file: string;
}

const VALID_YEARS = 20;

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
const TRUE = der(0x01, Buffer.of(0xff));

function nameOf(text: string): Buffer {
  return sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(text)))));
}

function startOf(year: number): Buffer {
  return der(0x18, Buffer.from(`${year}0101000000Z`));
}

function alternatives(names: AltNames): Buffer {
  const dns = names.dns.map((name) => der(0x82, Buffer.from(name)));
  const ips = names.ips.map((ip) => der(0x87, Buffer.from(ip.split(".").map(Number))));
  return sequence(ALT_NAME, der(0x04, sequence(...dns, ...ips)));
}

/** `names` null: an authority's. */
function signed(name: string, own: KeyObject, issuer: string, signer: KeyObject, names: AltNames | null): string {
  const year = new Date().getUTCFullYear();
  const serial = randomBytes(8);
  // Positive, and without a leading zero byte.
  serial[0] = (serial[0] & 0x3f) | 0x40;
  const authority = sequence(CONSTRAINTS, TRUE, der(0x04, sequence(TRUE)));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, serial),
    ECDSA_SHA256,
    nameOf(issuer),
    sequence(startOf(year - 1), startOf(year + VALID_YEARS)),
    nameOf(name),
    own.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(names === null ? authority : alternatives(names))),
  );
  const signature = createSign("sha256").update(body).sign(signer);
  const whole = sequence(body, ECDSA_SHA256, der(0x03, Buffer.of(0), signature));
  const lines = whole.toString("base64").replace(/.{64}/g, "$&\n").trimEnd();
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/** A new authority that signs itself. */
export function makeAuthority(name: string): Certified {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { name, certificate: signed(name, publicKey, name, privateKey, null), key: privateKey };
}

/** A new certificate that `authority` vouches for. */
export function certify(authority: Certified, name: string, names: AltNames): Certified {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { name, certificate: signed(name, publicKey, authority.name, authority.key, names), key: privateKey };
}

/**
 * The certificate of servers on this machine (loopback), kept in `dir` with its authority's; made at the first call.
 * The authority's key is not kept: who wants another certificate removes the folder and gives clients the new ca.pem.
 */
export async function keptCertificates(dir: string): Promise<TlsFiles> {
  const files: TlsFiles = {
    ca_file: join(dir, "ca.pem"),
    cert_file: join(dir, "server.pem"),
    key_file: join(dir, "server.key"),
  };
  try {
    // Written last: when it is there, the others are.
    await readFile(files.ca_file);
    return files;
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  await mkdir(dir, { recursive: true });
  await chmod(dir, 0o700);
  const authority = makeAuthority("FraudGuard local authority");
  const server = certify(authority, "FraudGuard local server", { dns: ["localhost"], ips: ["127.0.0.1"] });
  await writeFileAtomic(files.key_file, server.key.export({ type: "pkcs8", format: "pem" }).toString(), 0o600);
  await writeFileAtomic(files.cert_file, server.certificate, 0o600);
  await writeFileAtomic(files.ca_file, authority.certificate, 0o600);
  return files;
}
