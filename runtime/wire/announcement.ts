/**
 * What a node says of itself to all others, and what an owner says to the node that it hands a shard over to.
 *
 *   announcement: boot text | number varint | weight f64 | leaving u8 |
 *                 count u8, then (shard u8, epoch varint) of each shard owned | count u8, then each shard followed u8 |
 *                 count u8, then each shard with a damaged journal u8 |
 *                 role u8: 0 all, 1 gateway, 2 shard | newest journal format that it reads u8 | what later code adds
 *   hand-over:    shard u8 | epoch varint
 *
 * Format 1 of an announcement ends behind the damaged journals, and its readers drop one that does not. From format 2
 * on readers leave what stands behind the fields they know, so fields can be added at the end.
 */
import { type ByteReader, ByteWriter } from "../kernel/bytes.ts";
import {
  decoding,
  finished,
  readBoolean,
  readEnd,
  readShard,
  readText,
  SHARDS_MAX,
  WIRE_ANNOUNCEMENT,
  WIRE_HAND_OVER,
  WireDamaged,
  writeHead,
  writeShard,
  writeText,
} from "./wire_head.ts";

/** What a node does: owns and follows shards, takes payments, or both. In the order of their numbers in frames. */
export const NODE_ROLES = ["all", "gateway", "shard"] as const;
export type NodeRole = (typeof NODE_ROLES)[number];

export interface Announcement {
  /** Name of the node. */
  readonly from: string;
  /** Id of this start of its process, 1..255 bytes. */
  readonly boot: string;
  /** Rises with each announcement of a boot; below 2^53. */
  readonly number: number;
  /** Share of the shards that it wants, beside the weights of others: 0 or more. */
  readonly weight: number;
  /** A gateway owns and follows nothing, whatever its weight. */
  readonly role: NodeRole;
  /** Newest format of journals that it reads: 1 or more. Nobody writes a newer one while it is there. */
  readonly reads_format: number;
  /** It gives its shards away and wants none. */
  readonly leaving: boolean;
  readonly owned: readonly { readonly shard: number; readonly epoch: number }[];
  /** Shards that it follows up to the journal's tail. */
  readonly following: readonly number[];
  /** Shards whose journals it found damaged: nobody may begin to own them. */
  readonly damaged: readonly number[];
}

/** An owner has released a shard: claim it now. */
export interface HandOver {
  readonly from: string;
  readonly shard: number;
  /** Of the owner that released it. */
  readonly epoch: number;
}

/** In the order of their numbers. */
export const ANNOUNCEMENT_OLDEST = 1;
const ANNOUNCEMENT_NEWEST = 2;

/** RangeError when a field is out of its range, or a shard is named twice in one list. */
export function writeAnnouncement(a: Announcement, format = ANNOUNCEMENT_NEWEST): Uint8Array {
  if (!isWeight(a.weight)) throw new RangeError(`not a weight: ${a.weight}`);
  const lists = [a.owned.map((o) => o.shard), a.following, a.damaged];
  if (!lists.every(isDistinct)) throw new RangeError("a shard twice");
  const w = new ByteWriter(256);
  writeHead(w, WIRE_ANNOUNCEMENT, a.from, format);
  writeText(w, a.boot, 1);
  w.varint(a.number);
  w.f64(a.weight);
  // Format 1 has no roles: a gateway is a node that wants no shards.
  w.u8(a.leaving || (format === ANNOUNCEMENT_OLDEST && a.role === "gateway") ? 1 : 0);
  w.u8(a.owned.length);
  for (const { shard, epoch } of a.owned) {
    writeShard(w, shard);
    w.varint(epoch);
  }
  w.u8(a.following.length);
  for (const shard of a.following) writeShard(w, shard);
  w.u8(a.damaged.length);
  for (const shard of a.damaged) writeShard(w, shard);
  if (format === ANNOUNCEMENT_OLDEST) return finished(w);
  w.u8(NODE_ROLES.indexOf(a.role));
  w.u8(a.reads_format);
  return finished(w);
}

/** Throws WireDamaged. */
export function readAnnouncement(reader: ByteReader, from: string, format: number): Announcement {
  return decoding(() => {
    const boot = readText(reader, 1);
    const number = reader.varint();
    const weight = reader.f64();
    if (!isWeight(weight)) throw new WireDamaged(`not a weight: ${weight}`);
    const leaving = readBoolean(reader);
    const owned = readList(reader, () => ({ shard: readShard(reader), epoch: reader.varint() }));
    const following = readList(reader, () => readShard(reader));
    const damaged = readList(reader, () => readShard(reader));
    if (![owned.map((o) => o.shard), following, damaged].every(isDistinct)) throw new WireDamaged("a shard twice");
    const said = { from, boot, number, weight, leaving, owned, following, damaged };
    if (format === ANNOUNCEMENT_OLDEST) {
      readEnd(reader);
      return { ...said, role: "all", reads_format: 1 };
    }
    const role = readRole(reader);
    const reads_format = reader.u8();
    if (reads_format === 0) throw new WireDamaged("journal formats begin with 1");
    return { ...said, role, reads_format };
  });
}

/** RangeError when a field is out of its range. */
export function writeHandOver(h: HandOver): Uint8Array {
  const w = new ByteWriter(128);
  writeHead(w, WIRE_HAND_OVER, h.from);
  writeShard(w, h.shard);
  w.varint(h.epoch);
  return finished(w);
}

/** Throws WireDamaged. */
export function readHandOver(reader: ByteReader, from: string): HandOver {
  return decoding(() => {
    const shard = readShard(reader);
    const epoch = reader.varint();
    readEnd(reader);
    return { from, shard, epoch };
  });
}

function readList<T>(reader: ByteReader, item: () => T): T[] {
  const count = reader.u8();
  if (count > SHARDS_MAX) throw new WireDamaged(`${count} shards, there are at most ${SHARDS_MAX}`);
  return Array.from({ length: count }, item);
}

function readRole(reader: ByteReader): NodeRole {
  const role = NODE_ROLES[reader.u8()];
  if (role === undefined) throw new WireDamaged("an unknown role");
  return role;
}

function isDistinct(shards: readonly number[]): boolean {
  return new Set(shards).size === shards.length;
}

function isWeight(weight: number): boolean {
  return Number.isFinite(weight) && weight >= 0;
}
