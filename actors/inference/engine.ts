/**
 * What an inference actor runs its model on: a thread of its own, or (for comparison, and where threads are not worth
 * their memory) the caller's. An engine owns the session and scores one buffer at a time; features and scores lie in
 * memory shared with its thread and are never copied.
 */
import { Worker } from "node:worker_threads";
import { ModelError } from "./model.ts";
import { type Device, ModelSession } from "./session.ts";

/** Features and scores of one run, in shared memory. */
export interface EngineBuffer {
  /** Row-major, rows x features. */
  readonly matrix: Float32Array;
  readonly scores: Float32Array;
}

export interface EngineOptions {
  readonly onnx: Uint8Array;
  readonly device: Device;
  readonly featureCount: number;
  readonly buffers: readonly EngineBuffer[];
  /** Told the text of each error of a run, and of the engine's end. */
  readonly onError: (message: string) => void;
}

export interface Engine {
  readonly provider: "cpu" | "cuda";
  /** False once the engine has ended by itself; it runs no more. */
  readonly alive: boolean;
  /** True when the run under way has its answer, which the caller's thread has not come round to yet. */
  readonly answered: boolean;
  /** Scores `rows` rows of buffer number `buffer`; true when its scores are there. Never rejects. One at a time. */
  run(buffer: number, rows: number): Promise<boolean>;
  close(): Promise<void>;
}

/** Slots of the shared control words. */
export const CONTROL = { request: 0, buffer: 1, rows: 2, response: 3, failed: 4, stop: 5 } as const;
const CONTROL_WORDS = 6;

export interface WorkerData {
  readonly onnx: Uint8Array;
  readonly device: Device;
  readonly featureCount: number;
  readonly control: Int32Array;
  readonly buffers: readonly EngineBuffer[];
}

export type WorkerMessage =
  | { readonly kind: "ready"; readonly provider: "cpu" | "cuda" }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "error"; readonly message: string };

/** Runs on the caller's thread: a run blocks it, so that no time budget can cut it short. */
export class InlineEngine implements Engine {
  readonly alive = true;
  readonly answered = false;
  readonly #session: ModelSession;
  readonly #options: EngineOptions;

  private constructor(session: ModelSession, options: EngineOptions) {
    this.#session = session;
    this.#options = options;
  }

  /** Rejects with ModelError("engine"). */
  static async start(options: EngineOptions): Promise<InlineEngine> {
    try {
      return new InlineEngine(await ModelSession.create(options.onnx, options.device, options.featureCount), options);
    } catch (error) {
      throw new ModelError("engine", (error as Error).message);
    }
  }

  get provider(): "cpu" | "cuda" {
    return this.#session.provider;
  }

  async run(buffer: number, rows: number): Promise<boolean> {
    try {
      const { matrix, scores } = this.#options.buffers[buffer];
      await this.#session.run(matrix, rows, scores);
      return true;
    } catch (error) {
      this.#options.onError((error as Error).message);
      return false;
    }
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

/** Runs on a thread of its own. */
export class WorkerEngine implements Engine {
  provider: "cpu" | "cuda" = "cpu";
  alive = true;
  readonly #worker: Worker;
  readonly #control: Int32Array;
  readonly #onError: (message: string) => void;
  readonly #ended: Promise<void>;
  #sequence = 0;

  private constructor(options: EngineOptions) {
    this.#onError = options.onError;
    this.#control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
    const { onnx, device, featureCount } = options;
    // Only the shared memory goes over: what else a buffer's object holds is its owner's.
    const buffers = options.buffers.map(({ matrix, scores }) => ({ matrix, scores }));
    const workerData: WorkerData = { onnx, device, featureCount, control: this.#control, buffers };
    this.#worker = new Worker(new URL("./session_worker.ts", import.meta.url), { workerData, name: "inference" });
    this.#ended = new Promise((resolve) => {
      this.#worker.on("exit", () => {
        this.#end();
        resolve();
      });
    });
  }

  /** Rejects with ModelError("engine") when the thread or its session does not come up. */
  static start(options: EngineOptions): Promise<WorkerEngine> {
    const engine = new WorkerEngine(options);
    return new Promise((resolve, reject) => {
      engine.#worker.on("message", (message: WorkerMessage) => {
        if (message.kind === "ready") {
          engine.provider = message.provider;
          resolve(engine);
        } else if (message.kind === "refused") reject(new ModelError("engine", message.message));
        else options.onError(message.message);
      });
      engine.#worker.on("error", (error: Error) => {
        options.onError(`the inference thread failed: ${error.message}`);
        reject(new ModelError("engine", error.message));
      });
      engine.#worker.on("exit", () => {
        reject(new ModelError("engine", "the inference thread ended before it was ready"));
      });
    });
  }

  get answered(): boolean {
    return Atomics.load(this.#control, CONTROL.response) === this.#sequence;
  }

  async run(buffer: number, rows: number): Promise<boolean> {
    if (!this.alive) return false;
    const control = this.#control;
    const before = this.#sequence;
    const sequence = (before + 1) | 0;
    this.#sequence = sequence;
    control[CONTROL.buffer] = buffer;
    control[CONTROL.rows] = rows;
    Atomics.store(control, CONTROL.request, sequence);
    Atomics.notify(control, CONTROL.request);
    const wait = Atomics.waitAsync(control, CONTROL.response, before);
    if (wait.async) await wait.value;
    return Atomics.load(control, CONTROL.failed) === 0;
  }

  /** The thread has ended: whoever waits for it is told that the run failed. */
  #end(): void {
    const wanted = !this.alive;
    this.alive = false;
    Atomics.store(this.#control, CONTROL.failed, 1);
    Atomics.store(this.#control, CONTROL.response, this.#sequence);
    Atomics.notify(this.#control, CONTROL.response);
    if (!wanted) this.#onError("the inference thread has ended");
  }

  /**
   * The thread ends itself after the run under way. It is never terminated: ONNX Runtime's binding aborts the whole
   * process when its thread is stopped inside a run.
   */
  async close(): Promise<void> {
    this.alive = false;
    Atomics.store(this.#control, CONTROL.stop, 1);
    Atomics.add(this.#control, CONTROL.request, 1);
    Atomics.notify(this.#control, CONTROL.request);
    await this.#ended;
  }
}
