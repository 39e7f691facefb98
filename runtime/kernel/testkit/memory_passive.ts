/** A PassiveStore in memory for tests and simulations, with a delay of its reads and damage on purpose. */
import type { PassiveStore } from "../windows/passive_log.ts";

export class MemoryPassive implements PassiveStore {
  end = 0;
  readonly waiting = 0;
  /** Offset of what is kept; what was before is forgotten. */
  #first = 0;
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(4096);
  readonly #delayed: (read: () => Uint8Array) => Promise<Uint8Array>;
  /** Reads so far, delayed and at once. */
  reads = 0;
  readsNow = 0;

  /** `delayed`: when a read is done and told; it may reject. */
  constructor(delayed: (read: () => Uint8Array) => Promise<Uint8Array> = async (read) => read()) {
    this.#delayed = delayed;
  }

  /** Bytes kept. */
  get kept(): number {
    return this.end - this.#first;
  }

  append(bytes: Uint8Array): void {
    const at = this.end - this.#first;
    if (at + bytes.length > this.#bytes.length) {
      const grown = new Uint8Array((at + bytes.length) * 2);
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, at);
    this.end += bytes.length;
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    this.reads++;
    return this.#delayed(() => this.#slice(offset, length));
  }

  readNow(offset: number, length: number): Uint8Array {
    this.readsNow++;
    return this.#slice(offset, length);
  }

  #slice(offset: number, length: number): Uint8Array {
    if (offset < this.#first || offset + length > this.end) throw new Error(`no bytes at ${offset}`);
    return this.#bytes.slice(offset - this.#first, offset - this.#first + length);
  }

  /** Flips one bit of what is kept. */
  damage(bit: number): void {
    const at = Math.floor(bit / 8) % Math.max(1, this.kept);
    this.#bytes[at] ^= 1 << (bit % 8);
  }

  forget(offset: number): void {
    this.#bytes.copyWithin(0, offset - this.#first, this.kept);
    this.#first = offset;
  }
}
