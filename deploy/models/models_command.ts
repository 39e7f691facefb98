/** What each command of `npm run models` does. */
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Act, Version } from "../../actors/inference/registry/event_log.ts";
import { familyOf } from "../../actors/inference/registry/signed_model.ts";
import { ROLES, type Signer } from "../../actors/inference/registry/trusted_keys.ts";
import { given, WrongArgument } from "../commands/arguments.ts";
import { systemClock } from "../node/system_clock.ts";
import { REGISTRY_FOLDER } from "./files.ts";
import { installationSigner, makeKeyFiles, readPublicKey, readSigner } from "./key_files.ts";
import { loadSigned, signFolder, signShipped } from "./model_folder.ts";
import { ModelRegistry } from "./model_registry.ts";
import { history, keyLines, listReport } from "./models_report.ts";
import { DEFAULT_MODEL, SHIPPED_MODELS } from "./shipped.ts";

const text = { type: "string" } as const;

export const MODELS_OPTIONS = {
  registry: { type: "string", default: join("data", REGISTRY_FOLDER) },
  "trusted-keys": text,
  name: text,
  out: text,
  role: text,
  "single-person": text,
  key: text,
  to: text,
  reason: text,
  json: { type: "boolean", default: false },
} as const;

type Texts = Exclude<keyof typeof MODELS_OPTIONS, "registry" | "json">;
type Arguments = { readonly registry: string } & { readonly [name in Texts]?: string | undefined };

/** Lines for people, and the same for programs. */
export interface Answer {
  readonly text: string;
  readonly json: unknown;
  /** Models that are not as signed. */
  readonly refused: number;
}

/** The command has told which models. */
export class NotAsSigned extends Error {
  override name = "NotAsSigned";
}

interface Verified {
  readonly name: string;
  readonly dir: string;
  /** Null: as signed. */
  readonly problem: string | null;
}

const answerOf = (lines: string, json: unknown, refused = 0): Answer => ({ text: lines, json, refused });

export class ModelsCommand {
  readonly #args: Arguments;
  readonly #registry: ModelRegistry;
  readonly #command: string;
  readonly #subject: string | undefined;

  /** Throws WrongArgument. */
  constructor(args: Arguments, [command = "", subject, ...surplus]: readonly string[]) {
    if (surplus.length > 0) throw new WrongArgument(`${surplus[0]} is one argument too many`);
    const more_keys = args["trusted-keys"] === undefined ? [] : [resolve(args["trusted-keys"])];
    this.#args = args;
    this.#registry = new ModelRegistry(resolve(args.registry), { more_keys });
    this.#command = command;
    this.#subject = subject;
  }

  /** Rejects with WrongArgument, RegistryError or ModelError. */
  run(): Promise<Answer> {
    switch (this.#command) {
      case "list":
        return this.#list();
      case "show":
        return this.#show();
      case "verify":
        return this.#verify();
      case "key":
        return this.#key();
      case "trust":
        return this.#trust();
      case "distrust":
        return this.#distrust();
      case "sign":
        return this.#sign();
      case "add":
        return this.#add();
      case "approve":
        return this.#act(({ name }) => ({ action: "approve", model: name }));
      case "promote":
        return this.#promote();
      case "retire":
        return this.#retire();
      default: {
        const commands = "list, show, verify, key, trust, distrust, sign, add, approve, promote, retire";
        throw new WrongArgument(`name a command: ${commands}`);
      }
    }
  }

  async #list(): Promise<Answer> {
    const contents = await this.#registry.read();
    const { keys, log } = contents;
    const json = { single_person: keys.single_person, versions: log.versions, keys: keyLines(keys) };
    return answerOf(listReport(contents), json);
  }

  async #show(): Promise<Answer> {
    const contents = await this.#registry.read();
    const version = contents.log.version(given("NAME", this.#subject));
    const { signed } = await this.#registry.load(version, contents);
    const json = { ...version, ...signed.model, history: history(version, contents) };
    return answerOf(`${JSON.stringify(json, null, 2)}\n`, json);
  }

  async #verify(): Promise<Answer> {
    const [registry, subject] = [this.#registry, this.#subject];
    const contents = await registry.read();
    const { log, model_trust } = contents;
    const results: Verified[] = [];
    const check = async (name: string, dir: string, load: () => Promise<unknown>): Promise<void> => {
      const problem = await load().then(
        () => null,
        (e: Error) => e.message,
      );
      results.push({ name, dir, problem });
    };
    const checkFolder = (dir: string) => check(dir, dir, () => loadSigned(dir, model_trust, log));
    const chosen = log.versions.filter(({ name }) => subject === undefined || name === subject);
    for (const v of chosen) await check(v.name, registry.folderOf(v.name), () => registry.load(v, contents));
    if (subject === undefined) await checkFolder(resolve(DEFAULT_MODEL));
    else if (chosen.length === 0) {
      if (!existsSync(subject)) throw new WrongArgument(`${subject} is no version of ${registry.dir}, and no folder`);
      await checkFolder(resolve(subject));
    }
    const lines = results.map(({ name, problem }) =>
      problem === null ? `as signed  ${name}\n` : `REFUSED    ${problem}\n`,
    );
    const refused = results.filter(({ problem }) => problem !== null).length;
    return answerOf(lines.join(""), { models: results }, refused);
  }

  async #key(): Promise<Answer> {
    const out = resolve(given("out", this.#args.out));
    const made = await makeKeyFiles(given("name", this.#args.name), out);
    const next = `let an administrator trust it: npm run models -- trust ${out}.pub --role ${ROLES.join("|")}`;
    return answerOf(`key ${made.key_id} of ${made.name} in ${out}: for nobody else\n${next}\n`, made);
  }

  async #trust(): Promise<Answer> {
    const single = this.#args["single-person"];
    const file = this.#subject;
    if (single !== undefined && single !== "on" && single !== "off") {
      throw new WrongArgument("--single-person takes on or off");
    }
    if (single === undefined && file === undefined) throw new WrongArgument("trust takes FILE.pub or --single-person");
    if (file !== undefined) {
      const role = ROLES.find((one) => one === this.#args.role);
      if (role === undefined) throw new WrongArgument(`--role takes ${ROLES.join(", ")}`);
      await this.#registry.trust(await readPublicKey(file), role);
    }
    if (single !== undefined) await this.#registry.setSinglePerson(single === "on");
    return this.#list();
  }

  async #distrust(): Promise<Answer> {
    await this.#registry.distrust(given("NAME", this.#subject));
    return this.#list();
  }

  async #sign(): Promise<Answer> {
    const dir = resolve(given("DIR", this.#subject));
    const { key } = this.#args;
    const now_us = systemClock.wallUs();
    const isShipped = key === undefined && dirname(dir) === resolve(SHIPPED_MODELS);
    const signer = () => (key === undefined ? installationSigner(this.#registry.dir) : readSigner(key));
    const signed = isShipped ? await signShipped(dir, now_us) : await signFolder(dir, await signer(), now_us);
    return answerOf(`${signed.model.name}: signed by ${signed.model.lineage.created_by}\n`, signed);
  }

  async #add(): Promise<Answer> {
    const folder = resolve(given("DIR", this.#subject));
    return done(await this.#registry.add(folder, await this.#person(), systemClock.wallUs()));
  }

  async #act(what: (version: Version) => Act): Promise<Answer> {
    const name = given("NAME", this.#subject);
    return done(await this.#registry.act(what, name, await this.#person(), systemClock.wallUs()));
  }

  #promote(): Promise<Answer> {
    const { to } = this.#args;
    if (to !== "champion" && to !== "challenger") throw new WrongArgument("--to takes champion or challenger");
    return this.#act(({ name, approvals }) => ({ action: to, model: name, alone: approvals.length === 0 }));
  }

  #retire(): Promise<Answer> {
    const reason = given("reason", this.#args.reason);
    return this.#act(({ name }) => ({ action: "retire", model: name, reason }));
  }

  #person(): Promise<Signer> {
    return readSigner(given("key", this.#args.key));
  }
}

function done(version: Version): Answer {
  const { name, stage, approvals } = version;
  const isChampion = stage === "champion";
  const alone = isChampion && approvals.length === 0 ? ", by one person alone" : "";
  const note = isChampion ? `; nodes use it as ${familyOf(name)} from their next start on` : "";
  return answerOf(`${name}: ${stage}${alone}${note}\n`, version);
}
