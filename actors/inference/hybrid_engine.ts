/**
 * Two sessions of one model: runs of a few rows on the caller's thread, where they cost less than waking another
 * thread does, all others on a thread of their own. Both give the same scores. This is what an inference actor uses
 * unless told otherwise.
 */
import { type Engine, type EngineOptions, InlineEngine, WorkerEngine } from "./engine.ts";

/** Runs up to this many rows stay on the caller's thread: some 40 us, as much as a wake-up on a busy machine. */
export const INLINE_ROWS_MAX = 16;

export class HybridEngine implements Engine {
  readonly #inline: InlineEngine;
  readonly #worker: WorkerEngine;

  private constructor(inline: InlineEngine, worker: WorkerEngine) {
    this.#inline = inline;
    this.#worker = worker;
  }

  /** Rejects with ModelError("engine"). The small runs stay on the CPU on every device. */
  static async start(options: EngineOptions): Promise<HybridEngine> {
    const inline = await InlineEngine.start({ ...options, device: "cpu" });
    try {
      return new HybridEngine(inline, await WorkerEngine.start(options));
    } catch (error) {
      await inline.close();
      throw error;
    }
  }

  get provider(): "cpu" | "cuda" {
    return this.#worker.provider;
  }

  get alive(): boolean {
    return this.#worker.alive;
  }

  /** A run on the caller's thread is over before anybody can ask, so that only the worker's is meant. */
  get answered(): boolean {
    return this.#worker.answered;
  }

  run(buffer: number, rows: number): Promise<boolean> {
    return (rows <= INLINE_ROWS_MAX ? this.#inline : this.#worker).run(buffer, rows);
  }

  async close(): Promise<void> {
    await Promise.all([this.#inline.close(), this.#worker.close()]);
  }
}
