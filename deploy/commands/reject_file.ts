/** The rows that an import could not use, one JSON object a line: {file, row, id, reason}. */
import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";

export interface Reject {
  readonly file: string;
  /** 0-based; for CSV the first row below the header is 0. */
  readonly row: number;
  readonly id?: string | undefined;
  readonly reason: string;
}

export class RejectFile {
  readonly #path: string;
  #file = -1;
  /** Length, bytes. */
  bytes: number;

  /** Goes on behind `bytes` bytes of what is there: what lies beyond was written after the last checkpoint. */
  constructor(path: string, bytes: number) {
    this.#path = path;
    this.bytes = bytes;
    if (bytes > 0) ftruncateSync(this.#opened(), bytes);
  }

  add(reject: Reject): void {
    if (this.bytes === 0) ftruncateSync(this.#opened(), 0);
    const line = Buffer.from(`${JSON.stringify(reject)}\n`);
    for (let at = 0; at < line.length; ) {
      const written = writeSync(this.#opened(), line, at, line.length - at, this.bytes);
      at += written;
      this.bytes += written;
    }
  }

  sync(): void {
    if (this.#file >= 0) fsyncSync(this.#file);
  }

  close(): void {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
  }

  #opened(): number {
    if (this.#file < 0) {
      mkdirSync(dirname(this.#path), { recursive: true });
      // Read and write without truncation, made when missing.
      this.#file = openSync(this.#path, this.bytes > 0 ? "r+" : "w+");
    }
    return this.#file;
  }
}
