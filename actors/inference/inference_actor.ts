/**
 * The inference actor: one loaded model on one device, scoring feature matrices for the shards of its node, one at a
 * time. It owns the matrices: a caller acquires a buffer, fills its rows, has it scored and releases it. Past its time
 * budget a run is `late`: the caller goes on without scores, while the buffer stays out of use until the run that still
 * reads it has ended. A failing model degrades decisions and never ends the process.
 */
import type { Clock } from "../../runtime/ports.ts";
import type { Engine, EngineBuffer, EngineOptions } from "./engine.ts";
import { HybridEngine } from "./hybrid_engine.ts";
import { type LoadedModel, type ModelCard, ModelError } from "./model.ts";
import type { Device } from "./session.ts";

/** `scored`: the scores are there. `late`, `failed`: none; decide on without the model (degraded: model). */
export type ScoreResult = "scored" | "late" | "failed";

/** Calls `run` once after `ms` milliseconds unless the returned function was called before. */
export interface BudgetTimer {
  after(ms: number, run: () => void): () => void;
}

export interface InferenceOptions {
  readonly model: LoadedModel;
  /** Rows a buffer holds: the largest tick. */
  readonly capacity: number;
  /** Buffers: runs that may be held, waiting and under way at once. */
  readonly buffers: number;
  /** From the call of score() to its result, waiting included. Milliseconds. */
  readonly budget_ms: number;
  readonly timer: BudgetTimer;
  readonly clock: Clock;
  readonly device?: Device;
  /** What the model runs on; HybridEngine.start by default. */
  readonly engine?: (options: EngineOptions) => Promise<Engine>;
  /** Told of each failed run and restart. */
  readonly onError?: (message: string) => void;
}

/** Counters since the start; read, never written, by metrics. */
export interface InferenceCounters {
  /** Runs that gave scores, and their rows. */
  runs: number;
  rows: number;
  /** Scores not there in time. */
  late: number;
  errors: number;
  /** acquire() without a free buffer. */
  refused: number;
  restarts: number;
  /** Time spent in runs, microseconds. */
  busy_us: number;
}

/** Rows and their scores; yours from acquire() to release(). */
export interface ScoreBuffer {
  /** Row-major float32, capacity x features; NaN is a missing value. */
  readonly matrix: Float32Array;
  /** One score a row, 0..1, valid after "scored". */
  readonly scores: Float32Array;
}

/** Engine starts without one good run between them, after which the actor stays failed. */
const RESTARTS_MAX = 5;
const BUFFERS_MAX = 16;

type State = "free" | "held" | "queued" | "running";

class Slot implements ScoreBuffer, EngineBuffer {
  readonly matrix: Float32Array;
  readonly scores: Float32Array;
  readonly index: number;
  state: State = "free";
  /** The caller still reads it. */
  held = false;
  rows = 0;
  /** Settles the caller's promise; null once it is settled. */
  settle: ((result: ScoreResult) => void) | null = null;
  cancel: (() => void) | null = null;

  constructor(index: number, capacity: number, featureCount: number) {
    this.index = index;
    this.matrix = new Float32Array(new SharedArrayBuffer(capacity * featureCount * 4));
    this.scores = new Float32Array(new SharedArrayBuffer(capacity * 4));
  }
}

export class InferenceActor {
  readonly card: ModelCard;
  readonly capacity: number;
  readonly counters: InferenceCounters = {
    runs: 0,
    rows: 0,
    late: 0,
    errors: 0,
    refused: 0,
    restarts: 0,
    busy_us: 0,
  };
  readonly #options: InferenceOptions;
  readonly #slots: readonly Slot[];
  /** Slots waiting for their run, oldest first; never longer than there are slots. */
  readonly #queue: Slot[] = [];
  #engine: Engine | null = null;
  #running = false;
  #closed = false;
  #restartsInARow = 0;

  private constructor(options: InferenceOptions) {
    if (!(options.capacity >= 1 && options.buffers >= 1 && options.buffers <= BUFFERS_MAX && options.budget_ms > 0)) {
      throw new RangeError(`capacity >= 1, buffers 1 to ${BUFFERS_MAX}, budget_ms > 0`);
    }
    this.#options = options;
    this.card = options.model.card;
    this.capacity = options.capacity;
    const features = this.card.feature_names.length;
    this.#slots = Array.from({ length: options.buffers }, (_, i) => new Slot(i, options.capacity, features));
  }

  /** Loads the session and warms it up. Rejects with ModelError("engine") when ONNX Runtime refuses the model. */
  static async start(options: InferenceOptions): Promise<InferenceActor> {
    const actor = new InferenceActor(options);
    actor.#engine = await actor.#startEngine();
    return actor;
  }

  /** What the session runs on; "none" while the engine is down. */
  get provider(): "cpu" | "cuda" | "none" {
    return this.#engine?.provider ?? "none";
  }

  /** A free buffer, or null: all are in use, or the engine is down. Then decide without the model. */
  acquire(): ScoreBuffer | null {
    if (this.#engine !== null && !this.#closed) {
      for (const slot of this.#slots) {
        if (slot.state !== "free") continue;
        slot.state = "held";
        slot.held = true;
        return slot;
      }
    }
    this.counters.refused++;
    return null;
  }

  /**
   * Scores the first `rows` rows. Never rejects; once for each acquire(). Until release() the matrix may be read after
   * any result, and the scores after "scored".
   */
  score(buffer: ScoreBuffer, rows: number): Promise<ScoreResult> {
    const slot = buffer as Slot;
    if (slot.state !== "held" || !slot.held) throw new Error("score() needs a buffer from acquire(), once");
    if (!(rows >= 1 && rows <= this.capacity)) throw new RangeError(`rows must be 1 to ${this.capacity}`);
    slot.rows = rows;
    return new Promise((resolve) => {
      slot.settle = resolve;
      slot.state = "queued";
      slot.cancel = this.#options.timer.after(this.#options.budget_ms, () => this.#late(slot));
      this.#queue.push(slot);
      this.#next();
    });
  }

  /** Gives the buffer back; it is acquired again once no run reads it. */
  release(buffer: ScoreBuffer): void {
    const slot = buffer as Slot;
    if (!slot.held) throw new Error("released twice");
    if (slot.settle !== null) throw new Error("released before its score was settled");
    slot.held = false;
    if (slot.state === "held") slot.state = "free";
  }

  /** Ends the thread; what waits is "failed". */
  async close(): Promise<void> {
    this.#closed = true;
    for (const slot of this.#queue.splice(0)) this.#settle(slot, "failed");
    const engine = this.#engine;
    this.#engine = null;
    await engine?.close();
  }

  #settle(slot: Slot, result: ScoreResult): void {
    const settle = slot.settle;
    slot.settle = null;
    slot.cancel?.();
    slot.cancel = null;
    slot.state = slot.held ? "held" : "free";
    settle?.(result);
  }

  #late(slot: Slot): void {
    // The scores are there, only this thread was busy elsewhere: #ended is due next.
    if (slot.state === "running" && this.#engine?.answered) return;
    this.counters.late++;
    const waiting = this.#queue.indexOf(slot);
    if (waiting >= 0) {
      // Nobody wants these scores any more: the run is not started.
      this.#queue.splice(waiting, 1);
      this.#settle(slot, "late");
      return;
    }
    const settle = slot.settle;
    slot.settle = null;
    slot.cancel = null;
    settle?.("late");
  }

  #next(): void {
    if (this.#running || this.#queue.length === 0) return;
    const engine = this.#engine;
    if (engine === null) {
      for (const slot of this.#queue.splice(0)) this.#settle(slot, "failed");
      return;
    }
    const slot = this.#queue.shift() as Slot;
    slot.state = "running";
    this.#running = true;
    const startedUs = this.#options.clock.monotonicUs();
    engine.run(slot.index, slot.rows).then((scored) => this.#ended(engine, slot, scored, startedUs));
  }

  #ended(engine: Engine, slot: Slot, scored: boolean, startedUs: number): void {
    this.#running = false;
    this.counters.busy_us += this.#options.clock.monotonicUs() - startedUs;
    if (scored) {
      this.counters.runs++;
      this.counters.rows += slot.rows;
      this.#restartsInARow = 0;
    } else this.counters.errors++;
    // A late run has no one waiting: settling it only frees the slot, if the caller has released it.
    this.#settle(slot, scored ? "scored" : "failed");
    if (!engine.alive && this.#engine === engine) this.#restart();
    this.#next();
  }

  #restart(): void {
    this.#engine = null;
    if (this.#closed) return;
    if (this.#restartsInARow >= RESTARTS_MAX) {
      this.#options.onError?.(`the inference engine ended ${RESTARTS_MAX} times without a good run: given up`);
      return;
    }
    this.#restartsInARow++;
    this.counters.restarts++;
    this.#startEngine().then(
      (engine) => {
        if (this.#closed) void engine.close();
        else this.#engine = engine;
      },
      (error: Error) => {
        this.#options.onError?.(`the inference engine does not start: ${error.message}`);
        this.#restart();
      },
    );
  }

  async #startEngine(): Promise<Engine> {
    const { model, device } = this.#options;
    const options: EngineOptions = {
      onnx: model.onnx,
      device: device ?? "auto",
      featureCount: model.card.feature_names.length,
      // The last buffer is the warm-up's: it is in no caller's hands.
      buffers: [...this.#slots, new Slot(this.#slots.length, this.capacity, model.card.feature_names.length)],
      onError: (message) => this.#options.onError?.(message),
    };
    const engine = await (this.#options.engine ?? HybridEngine.start)(options);
    // The first runs allocate ONNX Runtime's arena: once for a single row, once for the largest tick.
    for (const rows of [1, this.capacity]) {
      if (!(await engine.run(this.#slots.length, rows))) {
        await engine.close();
        throw new ModelError("engine", "the warm-up run failed");
      }
    }
    return engine;
  }
}
