import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Act, EventLog, type LogEvent, type Stage } from "./event_log.ts";
import { canonical } from "./json.ts";
import { RegistryError, type RegistryErrorCode } from "./registry_error.ts";
import { signedDigest, signModel } from "./signed_model.ts";
import { changed, flipped, keysOf, type Person, person, statement, trustIn } from "./testkit.ts";
import { keyId, Trust } from "./trusted_keys.ts";

const machine = person("installation", "trainer");
const alice = person("alice", "maker");
const bob = person("bob", "approver");
const carol = person("carol", "approver");
const people = [machine, alice, bob, carol];
const trust = trustIn(people);
const [ONE, TWO, OTHER] = ["xgboost_fraud_v2_0", "xgboost_fraud_v2_1", "neural_network_v1_0"];
const AT_US = 1_790_000_000_000_000;

const empty = EventLog.empty("registry.json");
const addOf = (model: string, maker: Person = machine): Act => ({
  action: "add",
  model,
  signed_sha256: signedDigest(signModel(statement(model, maker.name), maker)),
  made_by: maker.name,
  made_key_id: keyId(maker.key),
});
const approve = (model: string): Act => ({ action: "approve", model });
const promote = (model: string, to: "champion" | "challenger", alone = false): Act => ({ action: to, model, alone });
const retire = (model: string): Act => ({ action: "retire", model, reason: "worse on the guard set" });

/** The log after these acts. */
function after(...acts: readonly (readonly [Act, Person])[]): EventLog {
  return acts.reduce((log, [act, by]) => log.append(act, by, AT_US, trust), empty);
}

function refused(run: () => unknown, code: RegistryErrorCode, message = /./): void {
  assert.throws(run, (e) => e instanceof RegistryError && e.code === code && message.test(e.message), code);
}

const full = after(
  [addOf(ONE), alice],
  [approve(ONE), bob],
  [promote(ONE, "champion"), alice],
  [addOf(TWO, alice), alice],
  [approve(TWO), bob],
  [promote(TWO, "challenger"), bob],
  [addOf(OTHER), bob],
  [promote(TWO, "champion"), carol],
  [retire(ONE), alice],
);
const read = (content: string): EventLog => EventLog.parse(content, "registry.json", trust);

describe("the log of a registry", () => {
  test("leads versions through their stages, one champion a family", () => {
    const stages = (log: EventLog) => Object.fromEntries(log.versions.map(({ name, stage }) => [name, stage]));
    assert.deepEqual(stages(full), { [ONE]: "retired", [TWO]: "champion", [OTHER]: "candidate" });
    const first = after([addOf(ONE), alice], [approve(ONE), bob], [promote(ONE, "champion"), alice]);
    assert.equal(first.champion("xgboost_fraud")?.name, ONE);
    assert.equal(first.champion("neural_network"), undefined);
    const replaced = EventLog.parse(JSON.stringify({ format: 1, events: full.events.slice(0, 8) }), "r", trust);
    assert.deepEqual(stages(replaced), { [ONE]: "challenger", [TWO]: "champion", [OTHER]: "candidate" });
    // Back to the one before.
    assert.deepEqual(stages(replaced.append(promote(ONE, "champion"), bob, AT_US, trust)), {
      ...{ [ONE]: "champion", [TWO]: "challenger", [OTHER]: "candidate" },
    });
    const two = full.version(TWO);
    assert.deepEqual([two.made_by, two.added.by, two.approvals.map((a) => a.by)], ["alice", "alice", ["bob"]]);
    assert.equal(full.version(ONE).reason, "worse on the guard set");
  });

  test("refuses every step that its stage does not allow", () => {
    const at: Record<Stage, EventLog> = {
      candidate: after([addOf(ONE), alice]),
      approved: after([addOf(ONE), alice], [approve(ONE), bob]),
      challenger: after([addOf(ONE), alice], [approve(ONE), bob], [promote(ONE, "challenger"), alice]),
      champion: after([addOf(ONE), alice], [approve(ONE), bob], [promote(ONE, "champion"), alice]),
      retired: after([addOf(ONE), alice], [approve(ONE), bob], [retire(ONE), alice]),
    };
    const acts: readonly [Act, Readonly<Partial<Record<Stage, Stage>>>, RegistryErrorCode][] = [
      [addOf(ONE), {}, "exists"],
      [
        approve(ONE),
        { candidate: "approved", approved: "approved", challenger: "challenger", champion: "champion" },
        "transition",
      ],
      [promote(ONE, "challenger"), { approved: "challenger" }, "transition"],
      [promote(ONE, "champion"), { approved: "champion", challenger: "champion" }, "transition"],
      [
        retire(ONE),
        { candidate: "retired", approved: "retired", challenger: "retired", champion: "retired" },
        "transition",
      ],
    ];
    for (const [act, to, code] of acts) {
      for (const [stage, log] of Object.entries(at) as [Stage, EventLog][]) {
        const next = () => log.append(act, carol, AT_US, trust);
        const expected = to[stage];
        if (expected !== undefined) assert.equal(next().version(ONE).stage, expected, `${act.action} at ${stage}`);
        // A candidate that nobody approved is named as such.
        else refused(next, stage === "candidate" && code === "transition" ? "not_approved" : code);
      }
    }
    for (const act of [approve(TWO), promote(TWO, "champion"), retire(TWO)]) {
      refused(() => full.append({ ...act, model: "xgboost_fraud_v9_9" }, bob, AT_US, trust), "unknown_model");
    }
  });
});

describe("who signs in the log of a registry", () => {
  test("approves as a second person only, by name and by key", () => {
    const makers = after([addOf(ONE, bob), alice]);
    refused(() => makers.append(approve(ONE), bob, AT_US, trust), "same_person", /bob made or added/);
    const added = after([addOf(ONE), bob]);
    refused(() => added.append(approve(ONE), bob, AT_US, trust), "same_person");
    // Bob's key under another name is another file of keys; whoever wrote it, the key is known.
    const renamed = { ...bob, name: "robert" };
    const asRobert = trustIn([machine, alice, renamed]);
    assert.throws(() => EventLog.parse(added.text(), "r", asRobert), RegistryError);
    refused(() => added.append(approve(ONE), renamed, AT_US, asRobert), "same_person");
    assert.equal(added.append(approve(ONE), carol, AT_US, trust).version(ONE).stage, "approved");
    const once = added.append(approve(ONE), carol, AT_US, trust);
    refused(() => once.append(approve(ONE), carol, AT_US, trust), "exists", /carol has approved/);
  });

  test("does what the role is for, and nothing when not trusted", () => {
    refused(() => empty.append(addOf(ONE), machine, AT_US, trust), "not_allowed", /installation is trainer/);
    const added = after([addOf(ONE), bob]);
    refused(() => added.append(approve(ONE), alice, AT_US, trust), "not_allowed", /alice is maker/);
    for (const act of [approve(ONE), promote(ONE, "champion", true), retire(ONE)]) {
      const alone = trustIn(people, true);
      refused(() => added.append(act, machine, AT_US, alone), "not_allowed");
      refused(() => added.append(act, person("mallory", "approver"), AT_US, alone), "unknown_key", /mallory/);
    }
  });

  test("promotes alone only where the installation allows it, and says so", () => {
    const added = after([addOf(ONE), alice]);
    refused(() => added.append(promote(ONE, "champion", true), alice, AT_US, trust), "not_approved", /--single-person/);
    refused(() => added.append(promote(ONE, "champion"), alice, AT_US, trust), "not_approved");
    const alone = trustIn(people, true);
    const promoted = added.append(promote(ONE, "champion", true), alice, AT_US, alone);
    const version = promoted.version(ONE);
    assert.deepEqual([version.stage, version.approvals.length], ["champion", 0]);
    assert.match(promoted.text(), /"alone": true/);
    promoted.requireApproved(version, alone);
    // The permission is taken back: the version is used again when somebody has approved it.
    const read2 = read(promoted.text());
    refused(() => read2.requireApproved(read2.version(ONE), trust), "not_approved");
    const approved = read2.append(approve(ONE), bob, AT_US, trust);
    approved.requireApproved(approved.version(ONE), trust);
    assert.equal(approved.version(ONE).stage, "champion");
    refused(() => approved.append(promote(ONE, "challenger", true), bob, AT_US, alone), "transition");
  });

  test("stands for what was signed before the trust ended, and for nothing after", () => {
    const ended = (until_event: number) => {
      const { keys, ...rest } = keysOf(people);
      return new Trust({ ...rest, keys: { ...keys, bob: { ...bob.trusted, until_event } } });
    };
    const log = EventLog.parse(full.text(), "r", ended(7));
    refused(() => log.append(retire(TWO), bob, AT_US, ended(7)), "not_allowed", /not trusted any more since event 7/);
    refused(() => EventLog.parse(full.text(), "r", ended(6)), "not_allowed", /event 6/);
    const model = signModel(statement(TWO, "alice"), alice);
    assert.deepEqual([full.namesBefore(3, model), full.namesBefore(4, model)], [false, true]);
  });
});

describe("a log that was changed", () => {
  const events = full.events;
  const text = full.text();
  const withEvents = (list: readonly unknown[]) => JSON.stringify({ format: 1, events: list });

  test("in any field of any event is refused", () => {
    let n = 0;
    for (const { path, value } of changed({ format: 1, events })) {
      n++;
      assert.throws(() => read(JSON.stringify(value)), RegistryError, path);
    }
    assert.ok(n > 500, `${n} changes`);
  });

  test("by taking out, putting in or exchanging events is refused", () => {
    for (let i = 0; i < events.length - 1; i++) {
      assert.throws(() => read(withEvents(events.toSpliced(i, 1))), RegistryError, `without ${i}`);
      assert.throws(() => read(withEvents(events.toSpliced(i, 0, events[i]))), RegistryError, `twice ${i}`);
      const swapped = events.with(i, events[i + 1]).with(i + 1, events[i]);
      assert.throws(() => read(withEvents(swapped)), RegistryError, `${i} and ${i + 1}`);
    }
    // An event of another log of the same people, in the place of one here.
    const elsewhere = after([addOf(ONE), alice], [approve(ONE), carol]).events[1] as LogEvent;
    assert.throws(() => read(withEvents(events.with(1, elsewhere))), RegistryError);
  });

  test("by losing its newest events reads as it was before: that is not seen", () => {
    assert.equal(read(withEvents(events.slice(0, -1))).version(ONE).stage, "challenger");
  });

  test("by damage gives the one typed error, or the same content", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(7), (at, bit) => {
        try {
          assert.equal(canonical(read(flipped(text, at, bit)).events), canonical(events));
        } catch (error) {
          assert.ok(error instanceof RegistryError, String(error));
        }
      }),
      { numRuns: 500 },
    );
    for (let end = 0; end < text.length - 1; end += 97) refused(() => read(text.slice(0, end)), "format");
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (garbage) => refused(() => read(garbage), "format")));
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { minLength: 1 }), (list) =>
        refused(() => read(withEvents(list)), "format"),
      ),
    );
  });

  test("is not: what was written reads back", () => {
    assert.equal(read(text).text(), text);
  });
});
