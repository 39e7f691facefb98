/**
 * Sealed sections: the raw identifiers of one tenant's rows in a frame, compressed and encrypted, which no fold reads.
 * AES-256-GCM with a key derived from the tenant's key and the journal's id. A section: nonce (12 random bytes), sealed
 * text, tag (16 bytes); where the frame stands is authenticated with it, so a section opens at its place only. The
 * nonce must not follow from the place: a journal restored to a point in time goes on with the same key at places that
 * were written before. In format 1 it did (shard, epoch, frame number), and is not in the section.
 *
 * Sealed text: u8 form (0 as it is, 1 zstd), then for each row of the tenant its RAW_FIELDS fields, each with its
 * length. Compression pays where entity columns and inbox rows take their share of the frame (several shards); with one
 * shard the frame is within its budget without.
 */
import { createCipheriv, createDecipheriv, createHash, createSecretKey, type KeyObject } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { RAW_FIELDS, RAW_MESSAGE, type RowBlock } from "../columns.ts";
import type { Tenant } from "../tenant.ts";
import type { FramePlace, Sealer } from "./rows_writer.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PLACE_BYTES = 12;
const FORM_PLAIN = 0;
const FORM_ZSTD = 1;
const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** The section does not open: a wrong key, or damaged. */
export class SealBroken extends Error {
  override name = "SealBroken";
}

/** Fills bytes with what nobody can foresee. */
export type FillRandom = (bytes: Uint8Array) => void;

export class SectionSealer implements Sealer {
  readonly #ids: Buffer[];
  readonly #keys: KeyObject[];
  readonly #fillRandom: FillRandom;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  readonly #compress: boolean;
  #plain = Buffer.alloc(1 << 19);
  #at = 0;

  constructor(tenants: readonly Tenant[], journalId: string, compress: boolean, fillRandom: FillRandom) {
    this.#compress = compress;
    this.#fillRandom = fillRandom;
    this.#ids = tenants.map((t) => Buffer.from(t.id));
    this.#keys = keysOf(tenants, journalId);
  }

  tenantId(index: number): Uint8Array {
    return this.#ids[index];
  }

  seal(
    b: RowBlock,
    rows: Uint16Array,
    n: number,
    tenant: number,
    out: Uint8Array,
    at: number,
    place: FramePlace,
  ): number {
    this.#plain[0] = this.#compress ? FORM_ZSTD : FORM_PLAIN;
    this.#at = 1;
    for (let i = 0; i < n; i++) if (b.tenant[rows[i]] === tenant) this.#row(b, rows[i]);
    let end = at;
    let nonce = placeOf(place);
    if (place.format >= 2) {
      nonce = this.#nonce;
      this.#fillRandom(nonce);
      out.set(nonce, end);
      end += NONCE_BYTES;
    }
    const cipher = createCipheriv("aes-256-gcm", this.#keys[tenant], nonce);
    if (place.format >= 2) cipher.setAAD(placeOf(place));
    const put = (text: Uint8Array) => {
      out.set(text, end);
      end += text.length;
    };
    if (this.#compress) {
      put(cipher.update(this.#plain.subarray(0, 1)));
      put(cipher.update(zstdCompressSync(this.#plain.subarray(1, this.#at), LEVEL)));
    } else put(cipher.update(this.#plain.subarray(0, this.#at)));
    put(cipher.final());
    out.set(cipher.getAuthTag(), end);
    return end + TAG_BYTES;
  }

  #row(b: RowBlock, r: number): void {
    const bytes = b.batches[b.batch[r]].bytes;
    const from = r * RAW_FIELDS;
    let need = 5 * RAW_FIELDS;
    for (let k = 0; k < RAW_FIELDS; k++) need += b.rawLength[from + k];
    if (this.#at + need > this.#plain.length) {
      const grown = Buffer.alloc(2 * (this.#plain.length + need));
      this.#plain.copy(grown, 0, 0, this.#at);
      this.#plain = grown;
    }
    const p = this.#plain;
    let at = this.#at;
    for (let k = 0; k < RAW_FIELDS; k++) {
      const start = b.rawStart[from + k];
      const length = b.rawLength[from + k];
      if (length < 255) p[at++] = length;
      else {
        p[at++] = 255;
        p.writeUInt32LE(length, at);
        at += 4;
      }
      if (k === RAW_MESSAGE && length > 0) at += copy(bytes, start, length, p, at);
      else for (let i = 0; i < length; i++) p[at++] = bytes[start + i];
    }
    this.#at = at;
  }
}

/** Opens sealed sections of one journal. */
export class SectionOpener {
  readonly #keys: KeyObject[];

  constructor(tenants: readonly Tenant[], journalId: string) {
    this.#keys = keysOf(tenants, journalId);
  }

  /** The raw fields of each row of a section, in order: RAW_FIELDS buffers a row, empty without. Throws SealBroken. */
  open(section: Uint8Array, tenant: number, place: FramePlace): Buffer[][] {
    const from = place.format >= 2 ? NONCE_BYTES : 0;
    const end = section.length - TAG_BYTES;
    if (end < from) throw new SealBroken(`a sealed section of ${section.length} bytes`);
    let plain: Buffer;
    try {
      const nonce = from > 0 ? section.subarray(0, from) : placeOf(place);
      const cipher = createDecipheriv("aes-256-gcm", this.#keys[tenant], nonce);
      if (from > 0) cipher.setAAD(placeOf(place));
      cipher.setAuthTag(section.subarray(end));
      const text = Buffer.concat([cipher.update(section.subarray(from, end)), cipher.final()]);
      plain = text[0] === FORM_ZSTD ? zstdDecompressSync(text.subarray(1)) : text.subarray(1);
    } catch (e) {
      throw new SealBroken(`the sealed section does not open: ${(e as Error).message}`);
    }
    return fieldsOf(plain);
  }
}

function fieldsOf(plain: Buffer): Buffer[][] {
  const rows: Buffer[][] = [];
  for (let at = 0; at < plain.length; ) {
    const fields: Buffer[] = [];
    for (let k = 0; k < RAW_FIELDS; k++) {
      let length = plain[at++];
      if (length === 255) {
        length = plain.readUInt32LE(at);
        at += 4;
      }
      fields.push(plain.subarray(at, at + length));
      at += length;
    }
    rows.push(fields);
  }
  return rows;
}

function keysOf(tenants: readonly Tenant[], journalId: string): KeyObject[] {
  return tenants.map((t) => createSecretKey(createHash("sha256").update(t.seal_key).update(journalId).digest()));
}

function placeOf({ shard, epoch, frame }: FramePlace): Buffer {
  const place = Buffer.allocUnsafe(PLACE_BYTES);
  place.writeUInt16LE(shard, 0);
  place.writeUInt32LE(epoch, 2);
  place.writeUIntLE(frame, 6, 6);
  return place;
}

function copy(from: Uint8Array, start: number, length: number, to: Buffer, at: number): number {
  to.set(from.subarray(start, start + length), at);
  return length;
}
