/**
 * Sealed sections: the raw identifiers of one tenant's rows in a frame, compressed and encrypted, which no fold reads.
 * AES-256-GCM with a key derived from the tenant's key and the journal's id; the nonce is (shard, epoch, frame number),
 * used once because a frame number is formed once in an epoch. Sealed text: u8 form (0 as it is, 1 zstd), then for each
 * row of the tenant its RAW_FIELDS fields, each with its length. Compression pays where entity columns and inbox rows
 * take their share of the frame (several shards); with one shard the frame is within its budget without.
 */
import { createCipheriv, createDecipheriv, createHash, createSecretKey, type KeyObject } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { RAW_FIELDS, RAW_MESSAGE, type RowBlock } from "../columns.ts";
import type { Tenant } from "../tenant.ts";
import type { Nonce, Sealer } from "./rows_writer.ts";

const TAG_BYTES = 16;
const FORM_PLAIN = 0;
const FORM_ZSTD = 1;
const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** The section does not open: a wrong key, or damaged. */
export class SealBroken extends Error {
  override name = "SealBroken";
}

export class SectionSealer implements Sealer {
  readonly #ids: Buffer[];
  readonly #keys: KeyObject[];
  readonly #nonce = Buffer.alloc(12);
  readonly #compress: boolean;
  #plain = Buffer.alloc(1 << 19);
  #at = 0;

  constructor(tenants: readonly Tenant[], journalId: string, compress: boolean) {
    this.#compress = compress;
    this.#ids = tenants.map((t) => Buffer.from(t.id));
    this.#keys = tenants.map((t) =>
      createSecretKey(createHash("sha256").update(t.seal_key).update(journalId).digest()),
    );
  }

  tenantId(index: number): Uint8Array {
    return this.#ids[index];
  }

  seal(b: RowBlock, rows: Uint16Array, n: number, tenant: number, out: Uint8Array, at: number, nonce: Nonce): number {
    this.#plain[0] = this.#compress ? FORM_ZSTD : FORM_PLAIN;
    this.#at = 1;
    for (let i = 0; i < n; i++) if (b.tenant[rows[i]] === tenant) this.#row(b, rows[i]);
    const cipher = createCipheriv("aes-256-gcm", this.#keys[tenant], this.#nonceOf(nonce));
    let end = at;
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

  /** The raw fields of each row of the section, in row order: RAW_FIELDS buffers a row, empty without. */
  open(section: Uint8Array, tenant: number, nonce: Nonce): Buffer[][] {
    let plain: Buffer;
    try {
      const cipher = createDecipheriv("aes-256-gcm", this.#keys[tenant], this.#nonceOf(nonce));
      cipher.setAuthTag(section.subarray(section.length - TAG_BYTES));
      const text = Buffer.concat([cipher.update(section.subarray(0, section.length - TAG_BYTES)), cipher.final()]);
      plain = text[0] === FORM_ZSTD ? zstdDecompressSync(text.subarray(1)) : text.subarray(1);
    } catch (e) {
      throw new SealBroken(`the sealed section does not open: ${(e as Error).message}`);
    }
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

  #nonceOf(n: Nonce): Buffer {
    this.#nonce.writeUInt16LE(n.shard, 0);
    this.#nonce.writeUInt32LE(n.epoch, 2);
    this.#nonce.writeUIntLE(n.frame, 6, 6);
    return this.#nonce;
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

function copy(from: Uint8Array, start: number, length: number, to: Buffer, at: number): number {
  to.set(from.subarray(start, start + length), at);
  return length;
}
