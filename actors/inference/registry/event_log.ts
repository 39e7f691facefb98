/**
 * The log of a registry: who added, approved, promoted and retired which version, each entry signed by its person and
 * naming the entry before it. Stages are not written anywhere: they are what the entries come to. So nobody changes
 * one, takes one out or puts one in without its being seen. Not seen is a log that lost its newest entries.
 */
import { digest, Fields, parseJson } from "./json.ts";
import { RegistryError } from "./registry_error.ts";
import { familyOf, MODEL_NAME, SHA256, type SignedModel, signedDigest } from "./signed_model.ts";
import { KEY_ID, keyId, PERSON, type Role, type Signer, signContent, type Trust } from "./trusted_keys.ts";

/** A family has at most one champion; the one before it becomes a challenger. `retired` is the end. */
export type Stage = "candidate" | "approved" | "challenger" | "champion" | "retired";

/** What is done to a version. */
export type Act =
  | {
      readonly action: "add";
      readonly model: string;
      /** Of signature.json: binds the files to the log. */
      readonly signed_sha256: string;
      readonly made_by: string;
      readonly made_key_id: string;
    }
  | { readonly action: "approve"; readonly model: string }
  | {
      readonly action: "champion" | "challenger";
      readonly model: string;
      /** Nobody else had approved it. */
      readonly alone: boolean;
    }
  | { readonly action: "retire"; readonly model: string; readonly reason: string };

export type LogEvent = {
  readonly act: Act;
  readonly by: string;
  readonly key_id: string;
  /** By the clock of who signed it, microseconds since 1970. */
  readonly at_us: number;
  /** Of the entry before, hex; zeros for the first. */
  readonly previous: string;
  /** Base64. */
  readonly signature: string;
};

interface Person {
  readonly by: string;
  readonly key_id: string;
  readonly at_us: number;
}

/** What the log says of a version. */
export interface Version {
  readonly name: string;
  readonly stage: Stage;
  readonly signed_sha256: string;
  readonly made_by: string;
  readonly made_key_id: string;
  readonly added: Person;
  readonly approvals: readonly Person[];
  /** Why it was retired; empty before. */
  readonly reason: string;
}

const PURPOSE = "event";
const FIRST = "0".repeat(64);
const REASON = /^[\x20-\x7e]{1,200}$/;

/** Fields of each act beside `action` and `model`. */
const ACT_FIELDS = {
  add: ["signed_sha256", "made_by", "made_key_id"],
  approve: [],
  champion: ["alone"],
  challenger: ["alone"],
  retire: ["reason"],
} as const;
const ACTIONS = Object.keys(ACT_FIELDS) as (keyof typeof ACT_FIELDS)[];

/** Stages from which each act may be done; `add` is of what is not there. */
const FROM: Readonly<Record<Exclude<Act["action"], "add">, readonly Stage[]>> = {
  // Of a champion, too: it may have become one alone.
  approve: ["candidate", "approved", "challenger", "champion"],
  champion: ["candidate", "approved", "challenger"],
  challenger: ["candidate", "approved"],
  retire: ["candidate", "approved", "challenger", "champion"],
};

const ROLES_FOR: Readonly<Record<Act["action"], readonly Role[]>> = {
  add: ["maker", "approver"],
  approve: ["approver"],
  champion: ["maker", "approver"],
  challenger: ["maker", "approver"],
  retire: ["maker", "approver"],
};

export class EventLog {
  readonly events: readonly LogEvent[];
  readonly #versions: ReadonlyMap<string, Version>;
  readonly #where: string;

  private constructor(events: readonly LogEvent[], versions: ReadonlyMap<string, Version>, where: string) {
    this.events = events;
    this.#versions = versions;
    this.#where = where;
  }

  static empty(where: string): EventLog {
    return new EventLog([], new Map(), where);
  }

  /** Reads and verifies every entry. Throws RegistryError naming `where` and the entry, counted from 0. */
  static parse(text: string, where: string, trust: Trust): EventLog {
    const fields = new Fields(parseJson(text, where), where, ["format", "events"]);
    const list = fields.value("events");
    if (fields.value("format") !== 1 || !Array.isArray(list)) {
      throw new RegistryError("format", `${where} is not {"format": 1, "events": [...]}, which is read here`);
    }
    const events = list.map((value, i) => eventOf(value, `${where}: event ${i}`));
    const versions = new Map<string, Version>();
    events.forEach((event, i) => {
      const previous = i === 0 ? FIRST : digest(events[i - 1]);
      if (event.previous !== previous) {
        const said = `${where}: event ${i} does not follow event ${i - 1}`;
        throw new RegistryError("tampered", `${said}: one was changed, or is missing; restore the file from a backup`);
      }
      apply(versions, event, i, trust, where);
    });
    return new EventLog(events, versions, where);
  }

  /** The log with one more entry. Throws RegistryError when the act is not this person's, or not to be done now. */
  append(act: Act, signer: Signer, at_us: number, trust: Trust): EventLog {
    if ("alone" in act && act.alone && !trust.single_person) throw notApproved(`${this.#where}: ${act.model}`);
    const last = this.events.at(-1);
    const content = { act, by: signer.name, key_id: keyId(signer.key), at_us, previous: last ? digest(last) : FIRST };
    const event = { ...content, signature: signContent(PURPOSE, content, signer.key) };
    const versions = new Map(this.#versions);
    apply(versions, event, this.events.length, trust, this.#where);
    return new EventLog([...this.events, event], versions, this.#where);
  }

  /** The whole file. */
  text(): string {
    return `${JSON.stringify({ format: 1, events: this.events }, null, 1)}\n`;
  }

  get versions(): readonly Version[] {
    return [...this.#versions.values()];
  }

  /** Throws RegistryError("unknown_model"). */
  version(name: string): Version {
    const found = this.#versions.get(name);
    if (found !== undefined) return found;
    throw new RegistryError("unknown_model", `${this.#where} has no version ${name}: see npm run models -- list`);
  }

  champion(family: string): Version | undefined {
    return this.versions.find(({ name, stage }) => stage === "champion" && familyOf(name) === family);
  }

  /** Throws RegistryError("not_approved") for what one person made champion alone where that is not allowed. */
  requireApproved({ name, approvals }: Version, trust: Trust): void {
    if (approvals.length === 0 && !trust.single_person) throw notApproved(`${this.#where}: ${name}`);
  }

  /** Whether the log names this model at an entry before `event`. */
  namesBefore(event: number, signed: SignedModel): boolean {
    const sha256 = signedDigest(signed);
    return this.events.slice(0, event).some(({ act }) => act.action === "add" && act.signed_sha256 === sha256);
  }
}

function notApproved(what: string): RegistryError {
  const todo = "have a second person approve it (npm run models -- approve), or allow it (trust --single-person on)";
  return new RegistryError("not_approved", `${what}: nobody but who made it has approved it: ${todo}`);
}

/** Verifies entry number `index` and does to the versions what it says. */
function apply(versions: Map<string, Version>, event: LogEvent, index: number, trust: Trust, where: string): void {
  const what = `${where}: event ${index} (${event.act.action} ${event.act.model})`;
  const { signature, ...content } = event;
  const who = trust.signerOf(PURPOSE, content, { by: event.by, key_id: event.key_id, signature }, what);
  if (who.until_event !== null && index >= who.until_event) {
    throw new RegistryError(
      "not_allowed",
      `${what}: ${who.name} is not trusted any more since event ${who.until_event}`,
    );
  }
  const roles = ROLES_FOR[event.act.action];
  if (!roles.includes(who.role)) {
    throw new RegistryError(
      "not_allowed",
      `${what}: ${who.name} is ${who.role}, it takes a key of ${roles.join(" or ")}`,
    );
  }
  const { act } = event;
  const person: Person = { by: event.by, key_id: event.key_id, at_us: event.at_us };
  const before = versions.get(act.model);
  if (act.action === "add") {
    if (before !== undefined)
      throw new RegistryError("exists", `${what}: it is there already; give it another version`);
    const { model: name, signed_sha256, made_by, made_key_id } = act;
    const made = { name, signed_sha256, made_by, made_key_id };
    versions.set(name, { ...made, stage: "candidate", added: person, approvals: [], reason: "" });
    return;
  }
  if (before === undefined) throw new RegistryError("unknown_model", `${what}: there is no such version: add it first`);
  if (!FROM[act.action].includes(before.stage)) {
    throw new RegistryError("transition", `${what}: it is ${before.stage}, which is no stage for that`);
  }
  change(versions, before, act, person, what);
}

function change(
  versions: Map<string, Version>,
  before: Version,
  act: Exclude<Act, { action: "add" }>,
  person: Person,
  what: string,
): void {
  const { name } = before;
  switch (act.action) {
    case "approve":
      checkSecond(before, person, what);
      versions.set(name, {
        ...before,
        stage: before.stage === "candidate" ? "approved" : before.stage,
        approvals: [...before.approvals, person],
      });
      return;
    case "champion":
    case "challenger": {
      if (act.alone !== (before.approvals.length === 0)) {
        if (!act.alone) throw notApproved(what);
        throw new RegistryError("format", `${what}: it is approved, so nobody promotes it alone`);
      }
      if (act.action === "champion") {
        for (const other of versions.values()) {
          const isBefore = other.stage === "champion" && familyOf(other.name) === familyOf(name);
          if (isBefore) versions.set(other.name, { ...other, stage: "challenger" });
        }
      }
      versions.set(name, { ...before, stage: act.action });
      return;
    }
    case "retire":
      versions.set(name, { ...before, stage: "retired", reason: act.reason });
  }
}

/** Who approves is neither who made it nor who added it, nor who approved it before; by name and by key. */
function checkSecond(version: Version, { by, key_id }: Person, what: string): void {
  const { made_by, made_key_id, added, approvals } = version;
  const its = [{ by: made_by, key_id: made_key_id }, added];
  if (its.some((one) => one.by === by || one.key_id === key_id)) {
    throw new RegistryError("same_person", `${what}: ${by} made or added it: somebody else has to approve it`);
  }
  if (approvals.some((one) => one.by === by))
    throw new RegistryError("exists", `${what}: ${by} has approved it already`);
}

function eventOf(value: unknown, where: string): LogEvent {
  const fields = new Fields(value, where, ["act", "by", "key_id", "at_us", "previous", "signature"]);
  return {
    act: actOf(fields.value("act"), fields.place("act")),
    by: fields.text("by", PERSON),
    key_id: fields.text("key_id", KEY_ID),
    at_us: fields.whole("at_us"),
    previous: fields.text("previous", SHA256),
    signature: fields.text("signature", /^.{88}$/),
  };
}

function actOf(value: unknown, where: string): Act {
  const action = new Fields(value, where).oneOf("action", ACTIONS);
  const fields = new Fields(value, where, ["action", "model", ...ACT_FIELDS[action]]);
  const model = fields.text("model", MODEL_NAME);
  switch (action) {
    case "add":
      return {
        action,
        model,
        signed_sha256: fields.text("signed_sha256", SHA256),
        made_by: fields.text("made_by", PERSON),
        made_key_id: fields.text("made_key_id", KEY_ID),
      };
    case "approve":
      return { action, model };
    case "retire":
      return { action, model, reason: fields.text("reason", REASON) };
    default:
      return { action, model, alone: fields.flag("alone") };
  }
}
