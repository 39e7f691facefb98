/**
 * Messages encoded ahead that are not on their way. One is taken for each send and given back when its bytes are in the
 * kernel; when a slow server keeps them all, copies are made up to a limit.
 */
import { Prng } from "../../deploy/demo/prng.ts";
import { MESSAGE_ROWS, type MessageOptions, PaymentMessage } from "./payment_message.ts";

export class MessagePool {
  readonly #free: PaymentMessage[] = [];
  readonly #all: PaymentMessage[] = [];
  readonly #max: number;

  /** `size` messages are different from each other; at most `max` exist. */
  constructor(options: MessageOptions, size: number, max: number, seed: number) {
    const rng = new Prng(seed, "messages");
    for (let i = 0; i < size; i++) this.#all.push(PaymentMessage.create(options, rng));
    this.#free.push(...this.#all);
    this.#max = max;
  }

  /** Null when all are on their way. */
  take(): PaymentMessage | null {
    const message = this.#free.pop();
    if (message !== undefined) return message;
    if (this.#all.length >= this.#max) return null;
    const copy = this.#all[this.#all.length % 64].clone();
    this.#all.push(copy);
    return copy;
  }

  give(message: PaymentMessage): void {
    this.#free.push(message);
  }

  /** Mean size of a payment with its share of the message, bytes. */
  get payment_bytes(): number {
    let sum = 0;
    for (const m of this.#all) sum += m.bytes.length;
    return sum / this.#all.length / MESSAGE_ROWS;
  }
}
