/**
 * Golden journals: what nodes of one frame format once wrote, kept as files (proto/frame/golden), and what today's code
 * must make of it: the state of every shard and every decision. File: magic, u32 length and JSON of the head, then each
 * record with its u32 length, journal after journal.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { FEATURES_VERSION, FraudDecider, MATRIX_SHAPE } from "../../actors/decision/decider.ts";
import { Policy, TestCards } from "../../actors/decision/policy.ts";
import { RAW_TRANSACTION, RowBlock } from "../../proto/columns.ts";
import { type FrameHeader, HEADER_BYTES, KIND_ROWS } from "../../proto/frame/frame_header.ts";
import { RowsReader } from "../../proto/frame/rows_reader.ts";
import { SectionOpener } from "../../proto/frame/sealer.ts";
import { tenantIndex } from "../../proto/tenant.ts";
import { JOURNAL_START } from "../../runtime/journal/claim.ts";
import { replay } from "../../runtime/journal/replay.ts";
import type { Journal } from "../../runtime/ports.ts";
import { FrameFolder } from "../../runtime/recovery.ts";
import { Shard } from "../../runtime/shard.ts";
import { journalRow, keyText } from "../oracle/journal_row.ts";
import { newActors, type SimProgram } from "../sim/sim_process.ts";

const MAGIC = "FGGOLD01";

export interface GoldenJournal {
  readonly id: string;
  readonly records: readonly Uint8Array[];
}

/** What comes of the journals of one file. */
export interface Outcome {
  /** Of each shard's actors at the journal's end. */
  readonly digests: readonly string[];
  /** Frames whose feature matrix was compared with what they were decided with. */
  readonly compared: number;
  /** One line for each row: its id, its place, and a hash of all that was journaled of it. */
  readonly rows: readonly string[];
  /** One line for each row of another shard that a frame folded. */
  readonly inbox: readonly string[];
}

function fileOf(format: number, what: string): URL {
  return new URL(`../../proto/frame/golden/format-${format}.${what}`, import.meta.url);
}

export function readGolden(format: number): GoldenJournal[] {
  const bytes = readFileSync(fileOf(format, "journal"));
  if (bytes.toString("latin1", 0, MAGIC.length) !== MAGIC) throw new Error(`format ${format}: no golden journal`);
  let at = MAGIC.length;
  const next = (): Buffer => {
    const length = bytes.readUInt32LE(at);
    at += 4 + length;
    return bytes.subarray(at - length, at);
  };
  const head = JSON.parse(next().toString("utf8")) as { id: string; records: number }[];
  // Copies: columns are read from aligned memory.
  return head.map(({ id, records }) => ({
    id,
    records: Array.from({ length: records }, () => Uint8Array.from(next())),
  }));
}

export function writeGolden(format: number, journals: readonly GoldenJournal[]): void {
  const head = Buffer.from(JSON.stringify(journals.map(({ id, records }) => ({ id, records: records.length }))));
  const parts: Uint8Array[] = [Buffer.from(MAGIC)];
  for (const part of [head, ...journals.flatMap((j) => j.records)]) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(part.length);
    parts.push(length, part);
  }
  writeFileSync(fileOf(format, "journal"), Buffer.concat(parts));
}

export function readExpected(format: number): Outcome {
  return JSON.parse(readFileSync(fileOf(format, "json"), "utf8")) as Outcome;
}

export function writeExpected(format: number, outcome: Outcome): void {
  writeFileSync(fileOf(format, "json"), `${JSON.stringify(outcome, null, 2)}\n`);
}

/** Replays the journals with this code. Throws what a node that cannot serve them would. */
export async function replayed(journals: readonly GoldenJournal[], program: SimProgram): Promise<Outcome> {
  const digests: string[] = [];
  const rows: string[] = [];
  const inbox: string[] = [];
  let compared = 0;
  const { ruleSet, tenants } = program;
  const decider = new FraudDecider(null, ruleSet, new Policy(ruleSet), new TestCards(tenants.length), () => {});
  for (const [id, golden] of journals.entries()) {
    const shard = new Shard(id, journals.length, offline(id, golden), newActors());
    const folder = new FrameFolder(shard, journals.length, decider, FEATURES_VERSION, tenantIndex(tenants));
    const take = lines(program, golden.id, id, rows, inbox);
    const fold = (header: FrameHeader, bytes: Uint8Array): void => {
      folder.fold(header, bytes);
      if (header.kind === KIND_ROWS) take(header, bytes);
    };
    await replay(shard.journal, JOURNAL_START, fold, () => Promise.reject(new Error("a file is always there")));
    digests.push(shard.actors.digest());
    compared += folder.compared;
  }
  return { digests, compared, rows, inbox };
}

/** Writes what a frame says down, raw texts included. */
function lines(program: SimProgram, journalId: string, shard: number, rows: string[], inbox: string[]) {
  const { tenants } = program;
  const indexOf = tenantIndex(tenants);
  const reader = new RowsReader(MATRIX_SHAPE);
  const opener = new SectionOpener(tenants, journalId);
  const b = new RowBlock();
  return (header: FrameHeader, bytes: Uint8Array): void => {
    const frame = header.frameNumber;
    const facts = reader.read(bytes.subarray(HEADER_BYTES), header.version, b, null, indexOf);
    const place = { shard, epoch: header.epoch, frame, format: header.version };
    const texts = facts.tenants.map((tenant, i) => opener.open(facts.sealed[i], indexOf(tenant), place));
    for (let r = 0; r < b.n; r++) {
      const raw = texts[facts.tenants.indexOf(tenants[b.tenant[r]].id)].shift() as Buffer[];
      const entities = [reader.hasMerchantColumns(r), reader.hasDeviceColumns(r)].map(Number).join("");
      const facts_ = [b.degraded[r], b.flags[r], b.standing[r], b.labelAction[r], entities];
      const keys = [b.card, b.device, b.ip, b.payee, b.rules].map((k) => keyText(k.hi[r], k.lo[r]));
      const place = `${b.latitudeE6[r]}:${b.longitudeE6[r]}`;
      const said = Object.values(journalRow(b, r, shard, frame));
      const values = [
        ...said,
        b.amountMinor[r],
        ...facts_,
        ...keys,
        place,
        b.attributes[r * 4],
        b.reasonFeature[r * 3],
      ];
      const hash = short(`${values.join(" ")} ${raw.join(" ")}`);
      rows.push(`${raw[RAW_TRANSACTION].toString("utf8")} ${shard}:${frame}:${r} ${hash}`);
    }
    const t = reader.inbox;
    for (let i = 0; i < t.n; i++) {
      const keys = `${keyText(t.hi[i], t.lo[i])} ${keyText(t.userHi[i], t.userLo[i])}`;
      const facts_ = `${t.kind[i]} ${t.flag[i]} ${t.timeUs[i]} ${t.amount[i]}`;
      inbox.push(`${shard}:${frame}:${i} ${t.source[i]}:${t.frame[i]} ${short(`${keys} ${facts_}`)}`);
    }
  };
}

function short(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

/** A journal that only stands there. */
function offline(shard: number, { id, records }: GoldenJournal): Journal {
  const message = (sequence: number) => ({ sequence, bytes: records[sequence - 1] });
  return {
    shard,
    id,
    appends_max: 1,
    append: () => Promise.reject(new Error("a golden journal is only read")),
    tail: () => Promise.resolve(message(records.length)),
    read: (sequence) => Promise.resolve(sequence > records.length ? null : message(sequence)),
    async *readFrom(first) {
      for (let sequence = first; sequence <= records.length; sequence++) yield message(sequence);
    },
    state: () => Promise.resolve({ firstSequence: 1, lastSequence: records.length, bytes: 0 }),
  };
}
