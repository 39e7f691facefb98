/**
 * The judge of a drill, a process of its own that imports nothing of the runtime and the actors: holds the clients'
 * records against the journals, and the windows that decisions were made with against an oracle.
 */

import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { isPayment, ROW_PAYMENT, RowBlock } from "../../proto/columns.ts";
import { HEADER_BYTES, KIND_ROWS, kindOf, verifyFrame } from "../../proto/frame/frame_header.ts";
import { type RowsFacts, RowsReader } from "../../proto/frame/rows_reader.ts";
import type { FramePlace, MatrixShape } from "../../proto/frame/rows_writer.ts";
import { SectionOpener } from "../../proto/frame/sealer.ts";
import type { Tenant } from "../../proto/tenant.ts";
import { type JournalRow, journalRow } from "../oracle/journal_row.ts";
import { OracleActor } from "../oracle/window_oracle.ts";

/** One decision that a client holds. */
export interface Acknowledged {
  readonly id: string;
  readonly outcome: number;
  readonly score: number | null;
}

/** What the judge is given, as a JSON file. */
export interface Case {
  /** host:port each. */
  readonly nats: readonly string[];
  /** Options of the client, where the servers ask for them. */
  readonly login?: {
    readonly user: string;
    readonly pass: string;
    readonly inboxPrefix: string;
    readonly tls: { readonly ca: string };
  };
  readonly shards: number;
  readonly shape: MatrixShape;
  readonly tenants: readonly { readonly id: string; readonly seal_key: string }[];
  readonly acknowledged: readonly Acknowledged[];
  /** Lines of {shard, frame, user, id, columns}: the windows of each decision as the replayed actors have them. */
  readonly windows_file: string;
  readonly windows_us: readonly number[];
  readonly late_tolerance_us: number;
  readonly late_events_max: number;
}

export interface Verdict {
  readonly acked: number;
  readonly lost_acked: number;
  readonly duplicated: number;
  readonly wrong_windows: number;
  /** Acknowledged and in a part of a journal that cannot be read. */
  readonly unreadable_acked: number;
  /** False: a part of a journal cannot be read. */
  readonly whole: boolean;
  readonly decisions_in_journals: number;
  readonly windows_compared: number;
  readonly notes: readonly string[];
}

/** One line of the windows file. NaN is null. */
export interface WindowsLine {
  readonly user: string;
  readonly id: string;
  readonly columns: readonly (number | null)[];
}

const TOLERANCE = 1e-6;
const RAW_TRANSACTION = 0;

interface Found extends JournalRow {
  readonly transaction: string;
}

/** Reads one journal frame by frame, verifying each; ends at the first that is damaged. */
async function readJournal(c: Case, shard: number, notes: string[]): Promise<{ rows: Found[]; whole: boolean }> {
  const link = await connect({ servers: [...c.nats], ...c.login });
  const rows: Found[] = [];
  try {
    const manager = await jetstreamManager(link);
    const info = await manager.streams.info(`FG_J${shard}`);
    const journalId = String(info.config.metadata?.["journal_id"]);
    const tenants = c.tenants.map((t, index) => ({ ...t, index, seal_key: Buffer.from(t.seal_key, "hex") }));
    const opener = new SectionOpener(tenants as unknown as Tenant[], journalId);
    const reader = new RowsReader(c.shape);
    const block = new RowBlock();
    let previousChecksum: Uint8Array | null = null;
    for (let seq = info.state.first_seq; seq <= info.state.last_seq; seq++) {
      const message = await manager.streams.getMessage(`FG_J${shard}`, { seq }).catch(() => null);
      if (message === null) {
        notes.push(`journal ${shard}: sequence ${seq} cannot be read`);
        return { rows, whole: false };
      }
      // A copy of its own memory, aligned for the columns.
      const bytes = Uint8Array.from(message.data);
      const expected = { journalId, shard, frameNumber: seq, previousChecksum, minEpoch: 0 };
      const header = verifyFrame(bytes, expected);
      previousChecksum = header.checksum.slice();
      if (kindOf(bytes) !== KIND_ROWS) continue;
      const facts = reader.read(bytes.subarray(HEADER_BYTES), header.version, block, null, (id) =>
        c.tenants.findIndex((t) => t.id === id),
      );
      const at = { shard, epoch: header.epoch, frame: seq, format: header.version };
      rows.push(...rowsOf(block, facts, c, opener, at));
    }
  } finally {
    await link.close();
  }
  return { rows, whole: true };
}

function rowsOf(b: RowBlock, facts: RowsFacts, c: Case, opener: SectionOpener, at: FramePlace): Found[] {
  const sections = facts.tenants.map((id, i) =>
    opener.open(
      facts.sealed[i],
      c.tenants.findIndex((t) => t.id === id),
      at,
    ),
  );
  const next = new Array<number>(sections.length).fill(0);
  return Array.from({ length: b.n }, (_, r) => {
    const section = facts.tenants.indexOf(c.tenants[b.tenant[r]].id);
    const raw = sections[section][next[section]++];
    return { ...journalRow(b, r, at.shard, at.frame), transaction: raw[RAW_TRANSACTION].toString("utf8") };
  });
}

/** Decisions whose 36 user window columns differ from the oracle's. */
async function wrongWindows(c: Case, rows: readonly Found[]): Promise<{ wrong: number; compared: number }> {
  const users = new Map<string, OracleActor>();
  const codes = new Map<string, number>();
  const expected = new Map<string, number[]>();
  const { windows_us, late_tolerance_us, late_events_max } = c;
  for (const row of rows) {
    if (!isPayment(row.kind)) continue;
    const user = users.get(row.user) ?? new OracleActor({ windows_us, late_tolerance_us, late_events_max });
    users.set(row.user, user);
    const counterparty = codes.get(row.merchant) ?? codes.size + 1;
    codes.set(row.merchant, counterparty);
    const { eventTimeUs: timeUs, amountBase: amount, id, frame } = row;
    const held = user.append({ timeUs, amount, counterparty, id, frame, reversed: false, fraud: false });
    if (held && row.kind === ROW_PAYMENT) expected.set(`${row.user} ${id}`, user.query(timeUs).flat());
  }
  let compared = 0;
  let wrong = 0;
  for await (const line of createInterface({ input: createReadStream(c.windows_file) })) {
    const { user, id, columns } = JSON.parse(line) as WindowsLine;
    const want = expected.get(`${user} ${id}`);
    if (want === undefined || columns.length !== want.length) continue;
    compared++;
    if (columns.some((got, i) => !near(got ?? Number.NaN, want[i]))) wrong++;
  }
  return { wrong, compared };
}

function near(got: number, want: number): boolean {
  return Object.is(got, Math.fround(want)) || Math.abs(got - want) <= TOLERANCE * Math.max(1, Math.abs(want));
}

async function judge(c: Case): Promise<Verdict> {
  const notes: string[] = [];
  const rows: Found[] = [];
  let whole = true;
  for (let shard = 0; shard < c.shards; shard++) {
    const journal = await readJournal(c, shard, notes);
    for (const row of journal.rows) rows.push(row);
    whole &&= journal.whole;
  }
  const decisions = new Map<string, Found>();
  let duplicated = 0;
  for (const row of rows) {
    if (row.kind !== ROW_PAYMENT) continue;
    if (decisions.has(row.transaction)) duplicated++;
    decisions.set(row.transaction, row);
  }
  let missing = 0;
  let changed = 0;
  for (const a of c.acknowledged) {
    const row = decisions.get(a.id);
    if (row === undefined) missing++;
    else if (row.outcome !== a.outcome || !Object.is(row.score, Math.fround(a.score ?? Number.NaN))) changed++;
  }
  if (changed > 0) notes.push(`${changed} acknowledged decisions stand in the journal with another outcome or score`);
  const windows = await wrongWindows(c, rows);
  return {
    acked: c.acknowledged.length,
    lost_acked: (whole ? missing : 0) + changed,
    duplicated,
    wrong_windows: windows.wrong,
    unreadable_acked: whole ? 0 : missing,
    whole,
    decisions_in_journals: decisions.size,
    windows_compared: windows.compared,
    notes,
  };
}

if (import.meta.main) {
  const verdict = await judge(JSON.parse(readFileSync(process.argv[2], "utf8")) as Case);
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
}
