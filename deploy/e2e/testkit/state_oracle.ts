/**
 * Compares the actors of a recovered or quiet node with the oracle: windows of every user and merchant by one pass over
 * the journals' rows, computed from scratch and without anything of the runtime or the actors.
 */
import assert from "node:assert/strict";
import type { FraudActors } from "../../../actors/decision/shard_actors.ts";
import type { JournalRow } from "../../../chaos/oracle/journal_row.ts";
import { OracleActor, type OracleEvent, type OracleOptions } from "../../../chaos/oracle/window_oracle.ts";
import { ROW_EVENT, ROW_OUTCOME } from "../../../proto/columns.ts";
import { OutcomeKind } from "../../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Shard } from "../../../runtime/shard.ts";

const MINUTE_US = 60e6;
const DAY_US = 86_400e6;
/** As in the contract: 1 min, 5 min, 1 h, 24 h, 7 d, 30 d. */
const WINDOWS_US = [MINUTE_US, 5 * MINUTE_US, 60 * MINUTE_US, DAY_US, 7 * DAY_US, 30 * DAY_US];
const COLUMNS = WINDOWS_US.length * 6;
/** Standard deviations: float32 against an exact value. */
const TOLERANCE = 1e-6;

/** Newer events that a late one may have, as in the contract. */
const LATE_EVENTS_MAX = 16_384;

const OPTIONS: OracleOptions = { windows_us: WINDOWS_US, late_tolerance_us: 3600e6, late_events_max: LATE_EVENTS_MAX };
const RISK = { delay_us: 7 * DAY_US, windows_us: [DAY_US, 7 * DAY_US, 30 * DAY_US] };

interface Expected {
  readonly users: Map<string, OracleActor>;
  readonly merchants: Map<string, OracleActor>;
}

/** Told of each payment after it was appended to its user. */
type OnPayment = (row: JournalRow, user: OracleActor) => void;

/** Folds the rows in journal order; a merchant's events come in order of time, which equals any order of arrival. */
function foldRows(rows: readonly JournalRow[], onPayment: OnPayment = () => {}): Expected {
  const fold = new OracleFold();
  for (const row of rows) {
    if (row.kind === ROW_OUTCOME) fold.outcome(row);
    else if (row.kind === ROW_EVENT) actor(fold.users, row.user, OPTIONS);
    else fold.payment(row, onPayment);
  }
  return fold;
}

class OracleFold implements Expected {
  readonly users = new Map<string, OracleActor>();
  readonly merchants = new Map<string, OracleActor>();
  readonly #revisions = new Map<string, number>();
  readonly #events = new Map<string, { user: OracleEvent; merchant: OracleEvent }>();
  readonly #codes = new Map<string, number>();

  payment(row: JournalRow, onPayment: OnPayment): void {
    const user = this.#event(row, row.merchant);
    const merchant = this.#event(row, row.user);
    const actorOfUser = actor(this.users, row.user, OPTIONS);
    const held = actorOfUser.append(user);
    actor(this.merchants, row.merchant, { ...OPTIONS, delayed: RISK }).append(merchant);
    if (!held) return;
    this.#events.set(`${row.user} ${row.id}`, { user, merchant });
    onPayment(row, actorOfUser);
  }

  outcome(row: JournalRow): void {
    const id = `${row.user} ${row.id}`;
    if ((this.#revisions.get(id) ?? 0) >= row.revision) return;
    this.#revisions.set(id, row.revision);
    const about = this.#events.get(id);
    if (about === undefined) return;
    if (row.code === OutcomeKind.REVERSAL) {
      about.user.reversed = true;
      about.merchant.reversed = true;
    } else about.merchant.fraud = isFraud(row);
  }

  #event(row: JournalRow, counterparty: string): OracleEvent {
    const code = this.#codes.get(counterparty) ?? this.#codes.size + 1;
    this.#codes.set(counterparty, code);
    const { eventTimeUs: timeUs, amountBase: amount, id, frame } = row;
    return { timeUs, amount, counterparty: code, id, frame, reversed: false, fraud: false };
  }
}

function isFraud(row: JournalRow): boolean {
  return !row.retracted && (row.code === OutcomeKind.CHARGEBACK || row.code === OutcomeKind.CONFIRMED_FRAUD);
}

function actor(all: Map<string, OracleActor>, key: string, options: OracleOptions): OracleActor {
  let found = all.get(key);
  if (found === undefined) {
    found = new OracleActor(options);
    all.set(key, found);
  }
  return found;
}

/** Fails at the first actor whose windows differ. Returns how many were compared. */
export function assertStateEquals(
  shards: readonly Shard[],
  rows: readonly JournalRow[],
): { users: number; merchants: number } {
  const { users, merchants } = foldRows(rows);
  const known = { users: 0, merchants: 0 };
  for (const s of shards) {
    const actors = s.actors as FraudActors;
    actors.users.recallAll();
    known.users += actors.users.windows.actors;
    known.merchants += actors.merchants.windows.actors;
  }
  assert.deepEqual(known, { users: users.size, merchants: merchants.size }, "actors known");
  for (const [key, expected] of users) {
    const [hi, lo] = key.split(":").map(Number);
    const { windows } = (shards[hi % shards.length].actors as FraudActors).users;
    compare(`user ${key}`, windows, hi, lo, expected, false);
  }
  for (const [key, expected] of merchants) {
    const [hi, lo] = key.split(":").map(Number);
    const { windows } = (shards[hi % shards.length].actors as FraudActors).merchants;
    compare(`merchant ${key}`, windows, hi, lo, expected, true);
  }
  return known;
}

type Windows = FraudActors["users"]["windows"];

/** At the newest event, an hour later, and where its labels are known. */
function compare(what: string, w: Windows, hi: number, lo: number, expected: OracleActor, labels: boolean): void {
  const slot = w.find(hi, lo);
  assert.notEqual(slot, -1, `${what} is not known`);
  assert.equal(w.newestUs(slot), expected.newestUs, `${what}: newest event`);
  // A user of whom only events are known has no payments to compare.
  if (expected.events.length === 0) return;
  const out = new Float32Array(COLUMNS + 6);
  for (const timeUs of [expected.newestUs, expected.newestUs + 3600e6, expected.newestUs + 8 * DAY_US]) {
    w.query(slot, timeUs, out, 0, labels ? COLUMNS : -1);
    const columns = expected.query(timeUs).flat();
    for (const [i, value] of columns.entries()) assertNear(out[i], value, `${what}: column ${i} at ${timeUs}`);
    if (!labels) continue;
    const risk = expected.queryDelayed(timeUs).flat();
    for (const [i, value] of risk.entries()) assertNear(out[COLUMNS + i], value, `${what}: risk ${i} at ${timeUs}`);
  }
}

function assertNear(actual: number, expected: number, what: string): void {
  if (Object.is(actual, Math.fround(expected))) return;
  const near = Math.abs(actual - expected) <= TOLERANCE * Math.max(1, Math.abs(expected));
  if (!near) assert.fail(`${what} is ${actual}, the oracle says ${expected}`);
}

/** A decided row as the shard saw it: the user's 36 window columns. */
export interface SeenRow {
  readonly user: string;
  readonly id: string;
  readonly columns: Float32Array;
}

/** Holds the columns of every decided payment against the oracle at that payment's place in the journal. */
export function assertUserColumns(seen: readonly SeenRow[], rows: readonly JournalRow[]): void {
  const columns = new Map(seen.map((s) => [`${s.user} ${s.id}`, s.columns]));
  let compared = 0;
  foldRows(rows, (row, user) => {
    const got = columns.get(`${row.user} ${row.id}`);
    if (got === undefined) return;
    compared++;
    for (const [i, value] of user.query(row.eventTimeUs).flat().entries()) {
      assertNear(got[i], value, `column ${i} at the decision of ${row.user} ${row.id}`);
    }
  });
  assert.equal(compared, seen.length, "decisions compared");
}
