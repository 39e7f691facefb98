/**
 * The load's streams over one connection to each node: where messages go round robin, where answers are walked and
 * booked. Whoever sends listens to the answers of its own phase.
 */
import { Flights } from "./flights.ts";
import { GrpcChannel, type GrpcStream } from "./grpc_stream.ts";
import type { Ledger } from "./ledger.ts";
import { batchOf, MESSAGE_ROWS, type PaymentMessage } from "./payment_message.ts";
import { ResponseWalker } from "./response_walker.ts";

const PATH = "/fraudguard.v1.FraudDetection/AnalyzeStream";

/** Called for each answered batch: facts in `flights` (due, first, phase) and `found` (rows, decided). */
export type OnAnswer = (now_ms: number) => void;

export class StreamSet {
  readonly flights = new Flights();
  readonly found = new ResponseWalker();
  /** Why the streams ended; empty while they serve. */
  broken = "";
  /** Answers of batches that nobody waited for. */
  stray = 0;
  onAnswer: OnAnswer = () => {};
  readonly #ledger: Ledger;
  readonly #streams: GrpcStream[] = [];
  readonly #channels: GrpcChannel[] = [];
  #turn = 0;
  #closing = false;

  private constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** `addresses`: host:port each, with commas between; the streams go to one after the other. */
  static async open(addresses: string, api_key: string, streams: number, ledger: Ledger): Promise<StreamSet> {
    const set = new StreamSet(ledger);
    for (const address of addresses.split(",")) set.#channels.push(await GrpcChannel.connect(address));
    const broke = (why: string): void => {
      if (!set.#closing && set.broken === "") set.broken = why;
    };
    for (const channel of set.#channels) channel.onClose(broke);
    for (let i = 0; i < streams; i++) {
      const channel = set.#channels[i % set.#channels.length];
      set.#streams.push(channel.open(PATH, api_key, (b, start, end) => set.#answer(b, start, end), broke));
    }
    return set;
  }

  /** Sends a filled message; `first`: the counter of its first payment. `sent` is called when its bytes are gone. */
  send(message: PaymentMessage, due_ms: number, first: number, phase: number, sent: () => void): void {
    message.setBatch(this.flights.depart(due_ms, first, phase));
    this.#ledger.sent(first, MESSAGE_ROWS);
    this.#streams[this.#turn].write(message.bytes, sent);
    this.#turn = (this.#turn + 1) % this.#streams.length;
  }

  #answer(b: Buffer, start: number, end: number): void {
    this.found.stream(b, start, end);
    if (!this.flights.land(batchOf(this.found.batch_id))) {
      this.stray++;
      return;
    }
    this.#ledger.answered(this.flights.first, MESSAGE_ROWS, this.found);
    this.onAnswer(performance.now());
  }

  close(): void {
    this.#closing = true;
    for (const stream of this.#streams) stream.end();
    for (const channel of this.#channels) channel.close();
  }
}
