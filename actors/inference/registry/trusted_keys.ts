/**
 * Whom an installation believes: the public keys of trusted_keys.json with their names and roles. Who may write that
 * file decides everything else, so it belongs to the administrator of the installation.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { canonical, Fields, parseJson } from "./json.ts";
import { RegistryError } from "./registry_error.ts";

/**
 * What a key may sign. `trainer`: models, nothing else (a machine's key). `maker`: also which versions are added,
 * promoted and retired. `approver`: also what others made.
 */
export const ROLES = ["trainer", "maker", "approver"] as const;
export type Role = (typeof ROLES)[number];

export type TrustedKey = {
  readonly role: Role;
  /** PEM (SPKI) of an Ed25519 key. */
  readonly public_key: string;
  /** Null: in use. Else its signatures count only in the log's events before this one, counted from 0. */
  readonly until_event: number | null;
};

/** trusted_keys.json. */
export type TrustedKeys = {
  readonly format: 1;
  /** Versions may become champion without anybody's approval; the log says of each that it did. */
  readonly single_person: boolean;
  readonly keys: Readonly<Record<string, TrustedKey>>;
};

export const NO_KEYS: TrustedKeys = { format: 1, single_person: false, keys: {} };
export const PERSON = /^[a-zA-Z0-9][\w.@-]{0,63}$/;
export const KEY_ID = /^[0-9a-f]{32}$/;
const PEM = /^-----BEGIN PUBLIC KEY-----\n[\w+/=\n]{40,200}\n-----END PUBLIC KEY-----\n$/;

/** Who signs: a name and that person's private key. */
export interface Signer {
  readonly name: string;
  readonly key: KeyObject;
}

/** 32 hex digits by which signatures name a key, private or public. */
export function keyId(key: KeyObject): string {
  const its = key.type === "private" ? createPublicKey(key) : key;
  const der = its.export({ type: "spki", format: "der" });
  return createHash("sha256").update(der).digest("hex").slice(0, 32);
}

/** A public Ed25519 key; throws RegistryError("format") naming `where`. */
export function publicKeyOf(pem: string, where: string): KeyObject {
  return ed25519(() => createPublicKey(PEM.test(pem) ? pem : ""), "format", `${where} is no public Ed25519 key (PEM)`);
}

/** A private Ed25519 key; throws RegistryError("key") naming `where`, never its text. */
export function privateKeyOf(pem: string, where: string): KeyObject {
  return ed25519(() => createPrivateKey(pem), "key", `${where} is no private Ed25519 key (PEM)`);
}

function ed25519(make: () => KeyObject, code: "format" | "key", message: string): KeyObject {
  try {
    const key = make();
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch {
    // Whatever the library says of it, it is no such key.
  }
  throw new RegistryError(code, message);
}

/** Throws RegistryError("format") naming `where`. */
export function parseTrustedKeys(text: string, where: string): TrustedKeys {
  const fields = new Fields(parseJson(text, where), where, ["format", "single_person", "keys"]);
  if (fields.value("format") !== 1)
    throw new RegistryError("format", `${where} is not of format 1, which is read here`);
  const all = new Fields(fields.value("keys"), fields.place("keys"));
  const names = new Map<string, string>();
  const keys: Record<string, TrustedKey> = {};
  for (const name of all.names(PERSON)) {
    const place = all.place(name);
    const one = new Fields(all.value(name), place, ["role", "public_key", "until_event"]);
    const public_key = one.text("public_key", PEM);
    const id = keyId(publicKeyOf(public_key, one.place("public_key")));
    // Under two names somebody could approve what is theirs.
    const other = names.get(id);
    if (other !== undefined) throw new RegistryError("format", `${where}: ${other} and ${name} have the same key`);
    names.set(id, name);
    const until_event = one.value("until_event") === null ? null : one.whole("until_event");
    keys[name] = { role: one.oneOf("role", ROLES), public_key, until_event };
  }
  return { format: 1, single_person: fields.flag("single_person"), keys };
}

/** A key as it is looked up by the id that a signature names. */
export interface KnownKey {
  readonly name: string;
  readonly role: Role;
  readonly key: KeyObject;
  readonly until_event: number | null;
}

/** What was signed: a purpose, so that a signature of one kind is none of another, and the content. */
function signedBytes(purpose: string, content: unknown): Buffer {
  return Buffer.from(`fraudguard/${purpose}/1\n${canonical(content)}`);
}

/** Base64 of an Ed25519 signature. */
export function signContent(purpose: string, content: unknown, key: KeyObject): string {
  return sign(null, signedBytes(purpose, content), key).toString("base64");
}

const SIGNATURE_TEXT = /^[A-Za-z0-9+/]{86}==$/;

export class Trust {
  readonly single_person: boolean;
  readonly #keys = new Map<string, KnownKey>();

  /** Of the installation's file, and of files that are believed beside it. */
  constructor(own: TrustedKeys, ...others: readonly TrustedKeys[]) {
    this.single_person = own.single_person;
    for (const { keys } of [...others, own]) {
      for (const [name, { role, public_key, until_event }] of Object.entries(keys)) {
        const key = publicKeyOf(public_key, name);
        this.#keys.set(keyId(key), { name, role, key, until_event });
      }
    }
  }

  /** Who signed `content`. Throws RegistryError: unknown_key, tampered; `what` begins its message. */
  signerOf(
    purpose: string,
    content: unknown,
    { by, key_id, signature }: { readonly by: string; readonly key_id: string; readonly signature: string },
    what: string,
  ): KnownKey {
    const known = this.#keys.get(key_id);
    if (known === undefined) {
      const todo = "have an administrator trust the key (npm run models -- trust), or use another model";
      throw new RegistryError(
        "unknown_key",
        `${what} is signed by ${by} with key ${key_id}, not trusted here: ${todo}`,
      );
    }
    const bytes = Buffer.from(signature, "base64");
    // Base64 has several texts for the same bytes; one is allowed.
    const isText = SIGNATURE_TEXT.test(signature) && bytes.toString("base64") === signature;
    if (known.name !== by || !isText || !verify(null, signedBytes(purpose, content), known.key, bytes)) {
      const said = `${what} is not what ${known.name} (key ${key_id}) signed`;
      throw new RegistryError(
        "tampered",
        `${said}: it was changed; restore it from where it was made, or sign it again`,
      );
    }
    return known;
  }
}
