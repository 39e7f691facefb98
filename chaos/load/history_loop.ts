/**
 * Sends what is known before the run as fast as the node takes it: a closed loop with a few megabytes on their way.
 * What the node sheds is sent again a little later, with the same ids.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Prng } from "../../deploy/demo/prng.ts";
import { MESSAGE_ROWS, PaymentMessage } from "./payment_message.ts";
import type { PaymentSource } from "./payment_source.ts";
import type { StreamSet } from "./stream_set.ts";

export interface HistoryResult {
  readonly payments: number;
  readonly seconds: number;
  readonly per_s: number;
  /** Batches that were shed and sent again. */
  readonly repeated_batches: number;
  /** Of the history's last payment. */
  readonly event_time: string;
}

/** Messages on their way: 1.7 MB, 8,192 payments. Later ones of the same user must not overtake by an hour. */
const IN_FLIGHT = 128;
/** No answer for so long ends the run. */
const SILENCE_MS = 60_000;
const RETRY_MS = 5;
const TEMPLATES = 256;

export class HistoryLoop {
  readonly #source: PaymentSource;
  readonly #streams: StreamSet;
  readonly #templates: readonly PaymentMessage[];

  constructor(source: PaymentSource, streams: StreamSet) {
    this.#source = source;
    this.#streams = streams;
    const { id_prefix, currency, seed } = source.options;
    const rng = new Prng(seed, "history");
    const options = { id_prefix, currency, history: true };
    this.#templates = Array.from({ length: TEMPLATES }, () => PaymentMessage.create(options, rng));
  }

  /** `progress` is called now and then with the payments recorded so far. */
  async run(progress: (done: number) => void): Promise<HistoryResult> {
    const { flights, found } = this.#streams;
    const stretch = this.#source.historyStretch();
    if (stretch.count % MESSAGE_ROWS !== 0) throw new RangeError(`${stretch.count} payments fill no whole messages`);
    const total = stretch.count / MESSAGE_ROWS;
    const again: number[] = [];
    let answered_ms = performance.now();
    let done = 0;
    let repeated = 0;
    found.clear();
    this.#streams.onAnswer = (now_ms) => {
      answered_ms = now_ms;
      if (found.decided === MESSAGE_ROWS) {
        done++;
        return;
      }
      again.push((flights.first - stretch.first) / MESSAGE_ROWS);
      repeated++;
    };
    const start_ms = performance.now();
    for (let next = 0; done < total; ) {
      if (this.#streams.broken !== "") throw new Error(`the streams broke: ${this.#streams.broken}`);
      const shed = again.length > 0;
      while (flights.outstanding < IN_FLIGHT && (again.length > 0 || next < total)) {
        const at = again.pop() ?? next++;
        // A copy of always the same one: what is sent again must have the same amounts.
        const message = this.#templates[at % TEMPLATES].clone();
        this.#source.fillHistory(message, stretch, at * MESSAGE_ROWS);
        const first = stretch.first + at * MESSAGE_ROWS;
        this.#streams.send(message, performance.now(), first, 0, () => {});
      }
      progress(done * MESSAGE_ROWS);
      if (performance.now() - answered_ms > SILENCE_MS) throw new Error(`no answer for ${SILENCE_MS / 1000} s`);
      await delay(shed ? RETRY_MS : 1);
    }
    progress(stretch.count);
    const seconds = (performance.now() - start_ms) / 1000;
    return {
      payments: stretch.count,
      seconds: Math.round(seconds * 10) / 10,
      per_s: Math.round(stretch.count / seconds),
      repeated_batches: repeated,
      event_time: new Date(this.#source.timeline.end_us / 1000).toISOString(),
    };
  }
}
