/**
 * The files of a person's keys: the private one, which only that person can read and no registry ever sees, and the
 * public one beside it, `FILE.pub`, for an administrator to trust. And the key of an installation, which signs what is
 * trained there.
 */
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Fields, parseJson } from "../../actors/inference/registry/json.ts";
import { RegistryError } from "../../actors/inference/registry/registry_error.ts";
import {
  keyId,
  PERSON,
  privateKeyOf,
  publicKeyOf,
  type Signer,
  type TrustedKeys,
} from "../../actors/inference/registry/trusted_keys.ts";
import { codeOf } from "../engines/errors.ts";
import { DATA_DIR } from "../engines/files.ts";
import { alone, KEYS_FILE, REGISTRY_FOLDER, readKeys, readText, writeKeys } from "./files.ts";

/** FILE.pub. */
export interface PublicKeyFile {
  readonly name: string;
  readonly public_key: string;
}

/** Registry of this checkout's data folder: whoever trains here signs with its key, unless a person's is named. */
export const INSTALLATION_REGISTRY = join(DATA_DIR, REGISTRY_FOLDER);
const INSTALLATION = "installation";

/** A key pair in memory only. Throws RegistryError("key") for a name that is none. */
export function newSigner(name: string): { readonly signer: Signer; readonly public_key: string } {
  if (!PERSON.test(name)) throw new RegistryError("key", `a name of 1 to 64 letters, digits, _ . @ -, not ${name}`);
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { signer: { name, key: privateKey }, public_key: publicKey.export({ type: "spki", format: "pem" }) as string };
}

/** Makes FILE (mode 0600) and FILE.pub; what is there already is refused. Rejects with RegistryError. */
export async function makeKeyFiles(name: string, file: string): Promise<PublicKeyFile & { readonly key_id: string }> {
  const { signer, public_key } = newSigner(name);
  await mkdir(dirname(file), { recursive: true });
  await writeNew(file, { name, private_key: pemOf(signer) }, 0o600);
  await writeNew(`${file}.pub`, { name, public_key }, 0o644);
  return { name, public_key, key_id: keyId(signer.key) };
}

async function writeNew(file: string, content: unknown, mode: number): Promise<void> {
  try {
    await writeFile(file, `${JSON.stringify(content, null, 2)}\n`, { mode, flag: "wx", flush: true });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    throw new RegistryError("exists", `${file} is there already: a key is never overwritten, name another file`);
  }
}

/** Rejects with RegistryError("key") when it is no key, or others may read it. */
export async function readSigner(file: string): Promise<Signer> {
  let mode: number;
  let text: string;
  try {
    const opened = await open(file, "r");
    try {
      ({ mode } = await opened.stat());
      text = await opened.readFile("utf8");
    } finally {
      await opened.close();
    }
  } catch (error) {
    throw new RegistryError("key", `${file} cannot be read: ${(error as Error).message}`);
  }
  if ((mode & 0o077) !== 0) {
    throw new RegistryError("key", `${file} can be read by others: chmod 600 it, or make another key if they may have`);
  }
  let content: { name?: unknown; private_key?: unknown } | null;
  try {
    content = JSON.parse(text);
  } catch {
    content = null;
  }
  const { name, private_key } = content ?? {};
  if (typeof name !== "string" || !PERSON.test(name) || typeof private_key !== "string") {
    throw new RegistryError("key", `${file} is no private key: make one with npm run models -- key`);
  }
  return { name, key: privateKeyOf(private_key, file) };
}

/** Rejects with RegistryError. */
export async function readPublicKey(file: string): Promise<PublicKeyFile> {
  const text = await readText(file);
  if (text === null) throw new RegistryError("missing", `${file} is not there: name the .pub file of a key`);
  const fields = new Fields(parseJson(text, file), file, ["name", "public_key"]);
  const public_key = String(fields.value("public_key"));
  publicKeyOf(public_key, file);
  return { name: fields.text("name", PERSON), public_key };
}

/** Throws RegistryError for somebody whom the keys of a registry do not name, or name no more. */
export function requireTrusted(
  signer: Signer,
  keys: TrustedKeys,
  registry_dir: string,
  todo = "have an administrator trust the key (npm run models -- trust FILE.pub --role ROLE)",
): void {
  const own = Object.hasOwn(keys.keys, signer.name) ? keys.keys[signer.name] : undefined;
  const isHis = own?.until_event === null && keyId(publicKeyOf(own.public_key, KEYS_FILE)) === keyId(signer.key);
  const file = join(registry_dir, KEYS_FILE);
  if (!isHis) throw new RegistryError("unknown_key", `${file} does not trust the key of ${signer.name}: ${todo}`);
}

/** The keys with this one as the name's. */
export function withKey(keys: TrustedKeys, name: string, public_key: string): TrustedKeys {
  return { ...keys, keys: { ...keys.keys, [name]: { role: "trainer", public_key, until_event: null } } };
}

/**
 * The key of the installation whose registry is `dir`: `installation.key` in the folder above. It is made at its first
 * use, when the installation trusts it as well. One that is not trusted (any more) is refused. Rejects with
 * RegistryError.
 */
export function installationSigner(dir: string = INSTALLATION_REGISTRY): Promise<Signer> {
  return alone(dir, async () => {
    const file = join(dirname(dir), "installation.key");
    const keys = await readKeys(join(dir, KEYS_FILE));
    if (existsSync(file)) {
      const signer = await readSigner(file);
      requireTrusted(signer, keys, dir, `remove ${file} to have another one made, or sign with --key`);
      return signer;
    }
    // What an earlier key signed stays good: the new one has another name.
    let name = INSTALLATION;
    for (let n = 2; Object.hasOwn(keys.keys, name); n++) name = `${INSTALLATION}-${n}`;
    const { signer, public_key } = newSigner(name);
    // First the trust: a key that nobody trusts would be refused for ever.
    await writeKeys(dir, withKey(keys, name, public_key));
    await writeNew(file, { name, private_key: pemOf(signer) }, 0o600);
    return signer;
  });
}

function pemOf(signer: Signer): string {
  return signer.key.export({ type: "pkcs8", format: "pem" }) as string;
}
