/**
 * A search for a stored decision in shards of another node, and what it found.
 *
 *   find:  request varint | tenant text | id u64 | user u64 | count u8, then each shard u8
 *   found: request varint | result u8 | length u32 and the decision's bytes
 */
import { type ByteReader, ByteWriter } from "../kernel/bytes.ts";
import {
  decoding,
  finished,
  readEnd,
  readShard,
  readText,
  SHARDS_MAX,
  WIRE_FIND,
  WIRE_FOUND,
  WireDamaged,
  writeHead,
  writeShard,
  writeText,
} from "./wire_head.ts";

export interface FindRequest {
  readonly from: string;
  /** The asker's number of this request, below 2^53. */
  readonly request: number;
  /** Id of the tenant, 1..255 bytes. */
  readonly tenant: string;
  /** Keyed hash of the transaction's id. */
  readonly idHi: number;
  readonly idLo: number;
  /** Keyed hash of the user, (0, 0) when it is not known. */
  readonly userHi: number;
  readonly userLo: number;
  /** Where to search: at most 64. */
  readonly shards: readonly number[];
}

/** `unavailable`: one of the shards is not served there, so nothing is known. */
export type FindResult = "found" | "none" | "unavailable";

export interface FindAnswer {
  readonly from: string;
  readonly request: number;
  readonly result: FindResult;
  /** What was found, in the form that asker and asked agree on; empty without. Of a frame read: a view on it. */
  readonly bytes: Uint8Array;
}

/** Their places are their numbers on the wire. */
const RESULTS: readonly FindResult[] = ["found", "none", "unavailable"];

/** RangeError when a field is out of its range. */
export function writeFind(f: FindRequest): Uint8Array {
  if (f.shards.length > SHARDS_MAX) throw new RangeError(`${f.shards.length} shards, at most ${SHARDS_MAX}`);
  const w = new ByteWriter(256);
  writeHead(w, WIRE_FIND, f.from);
  w.varint(f.request);
  writeText(w, f.tenant, 1);
  w.u64(f.idHi, f.idLo);
  w.u64(f.userHi, f.userLo);
  w.u8(f.shards.length);
  for (const shard of f.shards) writeShard(w, shard);
  return finished(w);
}

/** Throws WireDamaged. */
export function readFind(reader: ByteReader, from: string): FindRequest {
  return decoding(() => {
    const request = reader.varint();
    const tenant = readText(reader, 1);
    const idLo = reader.u64lo();
    const idHi = reader.hi();
    const userLo = reader.u64lo();
    const userHi = reader.hi();
    const count = reader.u8();
    if (count > SHARDS_MAX) throw new WireDamaged(`${count} shards, there are at most ${SHARDS_MAX}`);
    const shards = Array.from({ length: count }, () => readShard(reader));
    readEnd(reader);
    return { from, request, tenant, idHi, idLo, userHi, userLo, shards };
  });
}

/** RangeError when a field is out of its range. */
export function writeFound(f: FindAnswer): Uint8Array {
  const w = new ByteWriter(128 + f.bytes.length);
  writeHead(w, WIRE_FOUND, f.from);
  w.varint(f.request);
  w.u8(RESULTS.indexOf(f.result));
  w.u32(f.bytes.length);
  w.bytes(f.bytes);
  return finished(w);
}

/** Throws WireDamaged. */
export function readFound(reader: ByteReader, from: string): FindAnswer {
  return decoding(() => {
    const request = reader.varint();
    const number = reader.u8();
    const result = RESULTS[number];
    if (result === undefined) throw new WireDamaged(`unknown result ${number}`);
    const bytes = reader.bytes(reader.u32());
    readEnd(reader);
    return { from, request, result, bytes };
  });
}
