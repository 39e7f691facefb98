/**
 * The load generator's process: told what to send by its parent, one command at a time, or by a command line.
 */
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { Calls, type CallsResult, type UnaryOptions } from "./calls.ts";
import { HistoryLoop, type HistoryResult } from "./history_loop.ts";
import { MessagePool } from "./message_pool.ts";
import { OpenLoop, type PhaseOptions, type PhaseResult } from "./open_loop.ts";
import { PaymentSource, type SourceOptions } from "./payment_source.ts";
import { StreamSet } from "./stream_set.ts";

export interface OpenOptions extends SourceOptions {
  /** host:port of the node's gRPC server. */
  readonly grpc: string;
  readonly api_key: string;
  readonly streams: number;
}

export interface SavedLedger {
  /** Counters reserved: ids are prefix + 0 .. count - 1. */
  readonly count: number;
  readonly acknowledged: number;
  readonly unknown: number;
}

/** What the parent may ask. `save` writes FOLDER/acknowledged.bin and FOLDER/unknown.bin. */
export type LoadCommand =
  | { readonly what: "open"; readonly options: OpenOptions }
  | { readonly what: "history" }
  | { readonly what: "phase"; readonly options: PhaseOptions }
  | { readonly what: "unary"; readonly options: UnaryOptions }
  | { readonly what: "bulk"; readonly calls: number }
  | { readonly what: "save"; readonly folder: string };
export type LoadAnswer = OpenedLoad | HistoryResult | PhaseResult | CallsResult | SavedLedger;
export interface OpenedLoad {
  readonly payment_bytes: number;
}
/** What the process says. */
export type LoadReport =
  | { readonly kind: "progress"; readonly done: number; readonly total: number }
  | { readonly kind: "answer"; readonly answer: LoadAnswer }
  | { readonly kind: "failed"; readonly message: string };

/** Messages encoded ahead (65,536 payments that differ), and the most that a stalled server makes of them: 110 MB. */
const MESSAGES = 1024;
const MESSAGES_MAX = 8192;

class LoadGenerator {
  readonly #options: OpenOptions;
  readonly source: PaymentSource;
  readonly pool: MessagePool;
  readonly #streams: StreamSet;
  readonly #loop: OpenLoop;
  readonly #calls: Calls;

  private constructor(options: OpenOptions, source: PaymentSource, streams: StreamSet) {
    this.#options = options;
    this.source = source;
    this.#streams = streams;
    const { id_prefix, currency, seed } = options;
    this.pool = new MessagePool({ id_prefix, currency, history: false }, MESSAGES, MESSAGES_MAX, seed);
    this.#loop = new OpenLoop(source, streams, this.pool);
    this.#calls = new Calls(source, this.pool, options.api_key);
  }

  static async open(options: OpenOptions): Promise<LoadGenerator> {
    const source = new PaymentSource(options);
    const streams = await StreamSet.open(options.grpc, options.api_key, options.streams, source.ledger);
    return new LoadGenerator(options, source, streams);
  }

  history(progress: (done: number) => void): Promise<HistoryResult> {
    return new HistoryLoop(this.source, this.#streams).run(progress);
  }

  phase(options: PhaseOptions): Promise<PhaseResult> {
    return this.#loop.run(options);
  }

  unary(options: UnaryOptions): Promise<CallsResult> {
    return this.#calls.unary(options);
  }

  bulk(calls: number): Promise<CallsResult> {
    return this.#calls.bulk(this.#options.grpc, calls);
  }

  save(folder: string): SavedLedger {
    const { acknowledged, unknown, count } = this.source.ledger;
    acknowledged.write(`${folder}/acknowledged.bin`);
    unknown.write(`${folder}/unknown.bin`);
    return { count, acknowledged: acknowledged.count(), unknown: unknown.count() };
  }

  close(): void {
    this.#streams.close();
  }
}

/** 24 characters in front of a run's counters. */
function newIdPrefix(): string {
  return randomUUID().slice(0, 24);
}

function serveParent(say: (report: LoadReport) => void): void {
  let generator: LoadGenerator | null = null;
  const opened = (): LoadGenerator => {
    if (generator === null) throw new Error("open comes first");
    return generator;
  };
  const run = async (command: LoadCommand): Promise<LoadAnswer> => {
    if (command.what === "open") {
      generator = await LoadGenerator.open(command.options);
      return { payment_bytes: generator.pool.payment_bytes };
    }
    if (command.what === "phase") return opened().phase(command.options);
    if (command.what === "unary") return opened().unary(command.options);
    if (command.what === "bulk") return opened().bulk(command.calls);
    if (command.what === "save") return opened().save(command.folder);
    const total = opened().source.people.historyCount;
    let told_ms = 0;
    return opened().history((done) => {
      if (performance.now() - told_ms < 500) return;
      told_ms = performance.now();
      say({ kind: "progress", done, total });
    });
  };
  process.on("message", (command: LoadCommand) => {
    run(command).then(
      (answer) => say({ kind: "answer", answer }),
      (error: unknown) => say({ kind: "failed", message: error instanceof Error ? error.message : String(error) }),
    );
  });
  // The parent is gone: nobody reads the results.
  process.on("disconnect", () => process.exit(1));
}

const HELP = `Sends made-up payments at a fixed rate, whatever the server does; latencies from intended send times.

usage: node chaos/load/main.ts --grpc HOST:PORT --key KEY [--rate 60000] [--seconds 12] [--users 200000]
                               [--merchants 10000] [--step-us 200000] [--streams 4] [--history]
--step-us is the event time from one payment to the next.
--history sends 30 days of known payments first. Prints the result as JSON.
`;

async function commandLine(): Promise<void> {
  const text = (value: string) => ({ type: "string", default: value }) as const;
  const { values } = parseArgs({
    options: {
      grpc: text("127.0.0.1:50051"),
      key: text(""),
      rate: text("60000"),
      seconds: text("12"),
      users: text("200000"),
      merchants: text("10000"),
      "step-us": text("200000"),
      streams: text("4"),
      history: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const now_us = Date.now() * 1000;
  const [seconds, rate, step_us] = [Number(values.seconds), Number(values.rate), Number(values["step-us"])];
  const generator = await LoadGenerator.open({
    grpc: values.grpc,
    api_key: values.key,
    streams: Number(values.streams),
    users: Number(values.users),
    merchants: Number(values.merchants),
    seed: 1,
    id_prefix: newIdPrefix(),
    currency: "EUR",
    event_step_us: step_us,
    event_start_us: now_us - (seconds + 1) * rate * step_us - 31 * 86_400e6,
    event_limit_us: now_us,
  });
  const history = values.history ? await generator.history(() => {}) : undefined;
  const phase = await generator.phase({ name: "command line", rate, seconds });
  process.stdout.write(`${JSON.stringify({ history, ...phase }, null, 2)}\n`);
  generator.close();
}

const parent = process.send?.bind(process);
if (import.meta.main && parent !== undefined) serveParent((report) => parent(report));
else if (import.meta.main) await commandLine();
