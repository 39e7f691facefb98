/**
 * A registry of models: a folder with one folder for each version, the log (registry.json) and the keys that the
 * installation believes (trusted_keys.json). Changes are made by one process at a time, and each is one file replaced
 * as a whole: a crash leaves the stage before or the stage after.
 */
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Act, EventLog, type Version } from "../../actors/inference/registry/event_log.ts";
import { RegistryError } from "../../actors/inference/registry/registry_error.ts";
import { signedDigest } from "../../actors/inference/registry/signed_model.ts";
import {
  keyId,
  publicKeyOf,
  type Role,
  type Signer,
  Trust,
  type TrustedKeys,
} from "../../actors/inference/registry/trusted_keys.ts";
import { copyKept } from "../backup/folder.ts";
import { syncFolder } from "../backup/segment.ts";
import { writeFileAtomic } from "../engines/files.ts";
import { alone, KEYS_FILE, LOG_FILE, readKeys, readText, SIGNATURE_FILE, writeKeys } from "./files.ts";
import type { PublicKeyFile } from "./key_files.ts";
import { loadSigned, type VerifiedModel } from "./model_folder.ts";
import { SHIPPED_MODELS } from "./shipped.ts";

/** What a registry holds at one moment, verified but for the models' files. */
export interface Contents {
  readonly keys: TrustedKeys;
  readonly log: EventLog;
  /** Who may sign entries of the log. */
  readonly trust: Trust;
  /** Who may sign models: besides, who signs shipped ones, and the keys of other files that were named. */
  readonly model_trust: Trust;
}

export interface RegistryOptions {
  /** Files of keys that models, but no entries of the log, may be signed with. */
  readonly more_keys?: readonly string[] | undefined;
  /** How long a change waits for another process's. */
  readonly lock_wait_ms?: number;
}

export class ModelRegistry {
  readonly dir: string;
  readonly #options: RegistryOptions;

  constructor(dir: string, options: RegistryOptions = {}) {
    this.dir = dir;
    this.#options = options;
  }

  /** Rejects with RegistryError when a file is damaged, or a signature is not good. */
  async read(): Promise<Contents> {
    const keys = await readKeys(join(this.dir, KEYS_FILE));
    const others = [await readKeys(join(SHIPPED_MODELS, KEYS_FILE))];
    for (const file of this.#options.more_keys ?? []) others.push(await readKeys(file));
    const trust = new Trust(keys);
    const where = join(this.dir, LOG_FILE);
    const text = await readText(where);
    const log = text === null ? EventLog.empty(where) : EventLog.parse(text, where, trust);
    return { keys, log, trust, model_trust: new Trust(keys, ...others) };
  }

  folderOf(name: string): string {
    return join(this.dir, name);
  }

  /** A version with all its files checked, and against the log. Rejects with RegistryError or ModelError. */
  async load(version: Version, { log, model_trust }: Contents): Promise<VerifiedModel> {
    const folder = this.folderOf(version.name);
    const verified = await loadSigned(folder, model_trust, log);
    if (signedDigest(verified.signed) === version.signed_sha256) return verified;
    const where = join(folder, SIGNATURE_FILE);
    throw new RegistryError("tampered", `${where} is not the one that ${version.added.by} added: restore the folder`);
  }

  /** Copies a signed model in, as a candidate. Rejects with RegistryError or ModelError. */
  add(folder: string, signer: Signer, at_us: number): Promise<Version> {
    return this.#alone(async () => {
      const { log, trust, model_trust } = await this.read();
      const partial = join(this.dir, "adding.partial");
      try {
        // Says which of the folder's files is wrong; what counts is the copy, for somebody may write to the folder.
        const { files } = (await loadSigned(folder, model_trust, log)).signed.model;
        await rm(partial, { recursive: true, force: true });
        for (const file of [...Object.keys(files), SIGNATURE_FILE])
          await copyKept(join(folder, file), join(partial, file));
        const { signed, signer: by } = await loadSigned(partial, model_trust, log);
        const { name } = signed.model;
        const made = { made_by: by.name, made_key_id: signed.key_id };
        const act: Act = { action: "add", model: name, signed_sha256: signedDigest(signed), ...made };
        const next = log.append(act, signer, at_us, trust);
        // A folder that the log does not name is what a crash left of an earlier try.
        await rm(this.folderOf(name), { recursive: true, force: true });
        await rename(partial, this.folderOf(name));
        await syncFolder(this.dir);
        return await this.#write(next, name);
      } finally {
        await rm(partial, { recursive: true, force: true });
      }
    });
  }

  /** Approves, promotes or retires. Rejects with RegistryError. */
  act(what: (version: Version) => Act, name: string, signer: Signer, at_us: number): Promise<Version> {
    return this.#alone(async () => {
      const contents = await this.read();
      const version = contents.log.version(name);
      const act = what(version);
      // Nobody vouches for files that are not what was added.
      if (act.action !== "retire") await this.load(version, contents);
      return this.#write(contents.log.append(act, signer, at_us, contents.trust), name);
    });
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    return alone(this.dir, work, this.#options.lock_wait_ms);
  }

  async #write(log: EventLog, name: string): Promise<Version> {
    await writeFileAtomic(join(this.dir, LOG_FILE), log.text());
    return log.version(name);
  }

  /** Trusts a key, or gives it another role. Another key of a name that has one is refused with RegistryError. */
  trust({ name, public_key }: PublicKeyFile, role: Role): Promise<TrustedKeys> {
    return this.#changeKeys((keys) => {
      const before = keys.keys[name];
      if (before !== undefined && idOf(before.public_key) !== idOf(public_key)) {
        const todo = "give the new one another name (alice-2), so that both can be told apart";
        throw new RegistryError("exists", `${join(this.dir, KEYS_FILE)}: ${name} has another key: ${todo}`);
      }
      const twin = Object.entries(keys.keys).find(([n, k]) => n !== name && idOf(k.public_key) === idOf(public_key));
      if (twin !== undefined) throw new RegistryError("exists", `${twin[0]} has this key: one key is one person's`);
      return { ...keys, keys: { ...keys.keys, [name]: { role, public_key, until_event: null } } };
    });
  }

  /** What the key signed so far stays good, what comes is refused. Rejects with RegistryError. */
  distrust(name: string): Promise<TrustedKeys> {
    return this.#changeKeys((keys, { events }) => {
      const before = keys.keys[name];
      if (before === undefined) throw new RegistryError("unknown_key", `${join(this.dir, KEYS_FILE)} has no ${name}`);
      if (before.until_event !== null) return keys;
      return { ...keys, keys: { ...keys.keys, [name]: { ...before, until_event: events.length } } };
    });
  }

  setSinglePerson(single_person: boolean): Promise<TrustedKeys> {
    return this.#changeKeys((keys) => ({ ...keys, single_person }));
  }

  /** Throws RegistryError when entries that stand would not be their persons' any more. */
  #requireStanding(log: EventLog, keys: TrustedKeys): void {
    try {
      EventLog.parse(log.text(), join(this.dir, LOG_FILE), new Trust(keys));
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      const todo = "end the key with distrust, and trust a new one under another name";
      throw new RegistryError(error.code, `${error.message}. That was allowed until now: ${todo}`);
    }
  }

  #changeKeys(change: (keys: TrustedKeys, log: EventLog) => TrustedKeys): Promise<TrustedKeys> {
    return this.#alone(async () => {
      const { keys, log } = await this.read();
      const changed = change(keys, log);
      this.#requireStanding(log, changed);
      await writeKeys(this.dir, changed);
      return changed;
    });
  }
}

function idOf(public_key: string): string {
  return keyId(publicKeyOf(public_key, KEYS_FILE));
}
