/**
 * What a node says of itself to all others, and what an owner says to the node that it hands a shard over to.
 *
 *   announcement: boot text | number varint | weight f64 | leaving u8 |
 *                 count u8, then (shard u8, epoch varint) of each shard owned | count u8, then each shard followed u8 |
 *                 count u8, then each shard with a damaged journal u8
 *   hand-over:    shard u8 | epoch varint
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

export interface Announcement {
  /** Name of the node. */
  readonly from: string;
  /** Id of this start of its process, 1..255 bytes. */
  readonly boot: string;
  /** Rises with each announcement of a boot; below 2^53. */
  readonly number: number;
  /** Share of the shards that it wants, beside the weights of others: 0 or more. */
  readonly weight: number;
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

/** RangeError when a field is out of its range, or a shard is named twice in one list. */
export function writeAnnouncement(a: Announcement): Uint8Array {
  if (!isWeight(a.weight)) throw new RangeError(`not a weight: ${a.weight}`);
  const lists = [a.owned.map((o) => o.shard), a.following, a.damaged];
  if (!lists.every(isDistinct)) throw new RangeError("a shard twice");
  const w = new ByteWriter(256);
  writeHead(w, WIRE_ANNOUNCEMENT, a.from);
  writeText(w, a.boot, 1);
  w.varint(a.number);
  w.f64(a.weight);
  w.u8(a.leaving ? 1 : 0);
  w.u8(a.owned.length);
  for (const { shard, epoch } of a.owned) {
    writeShard(w, shard);
    w.varint(epoch);
  }
  w.u8(a.following.length);
  for (const shard of a.following) writeShard(w, shard);
  w.u8(a.damaged.length);
  for (const shard of a.damaged) writeShard(w, shard);
  return finished(w);
}

/** Throws WireDamaged. */
export function readAnnouncement(reader: ByteReader, from: string): Announcement {
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
    readEnd(reader);
    return { from, boot, number, weight, leaving, owned, following, damaged };
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

function isDistinct(shards: readonly number[]): boolean {
  return new Set(shards).size === shards.length;
}

function isWeight(weight: number): boolean {
  return Number.isFinite(weight) && weight >= 0;
}
